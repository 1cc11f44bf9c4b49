"""What the model gets to read: the task, the notes, and as many of the last turns as fit."""

from dataclasses import dataclass, field, replace

from completion.chat import Message
from sandbox.agent.reflect import Reflection
from sandbox.ends import ends

MOST = 48_000  # characters, about 12,000 tokens
_NOTES = 8  # reflections that are kept
LEAST = 600  # characters of a message that are kept where the context is very small


@dataclass
class Conversation:
    """A turn is an answer of the model and what came of it. Turns go whole, as servers refuse the
    result of a call that nobody made."""

    system: str
    task: str
    most: int = MOST
    notes: list[Reflection] = field(default_factory=list)
    turns: list[list[Message]] = field(default_factory=list)
    _clip: int = field(default=0, init=False)  # characters of a message; 0: all
    _kept: int = field(default=0, init=False)  # turns, when it was last put together
    _size: int = field(default=0, init=False)

    def add(self, *turn: Message) -> None:
        self.turns.append(list(turn))

    def note(self, one: Reflection) -> None:
        self.notes.append(one)

    def messages(self, *last: Message) -> list[Message]:
        """The newest turns that fit, one at least, behind the task; `last` is said once only."""
        left = self.most - len(self.task) - len(self.system)
        kept: list[list[Message]] = []
        for whole in reversed(self.turns):
            turn = [self._clipped(one) for one in whole]
            left -= sum(map(size, turn))
            if left < 0 and kept:
                break
            kept.append(turn)
        self._kept, self._size = len(kept), self.most - left
        head = [Message("system", self.system), Message("user", self._task(len(kept)))]
        return [*head, *(one for turn in reversed(kept) for one in turn), *last]

    def shorten(self) -> bool:
        """Keep half as much from now on, of the last turn too if it is the only one; False where
        nothing can be left out any more."""
        if self._kept > 1:
            self.most = self._size // 2
            return True
        longest = max((len(one.content) for turn in self.turns[-1:] for one in turn), default=0)
        clip = min(longest, self._clip or longest) // 2
        if max(clip, LEAST) >= (self._clip or longest):
            return False
        self._clip = max(clip, LEAST)
        return True

    def _clipped(self, message: Message) -> Message:
        if not 0 < self._clip < len(message.content):
            return message
        return replace(message, content=ends(message.content, self._clip))

    def _task(self, kept: int) -> str:
        parts = [self.task]
        if self.notes:
            parts.append("What was tried before, and why it failed:")
            parts += [f"- {note}" for note in self.notes[-_NOTES:]]
        if dropped := len(self.turns) - kept:
            parts.append(f"({dropped} earlier turns are left out; open files again if need be.)")
        return "\n".join(parts)


def size(message: Message) -> int:
    """In characters, its calls included."""
    return len(message.content) + sum(len(str(call.arguments)) for call in message.tool_calls)
