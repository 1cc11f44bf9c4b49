"""What the model gets to read: the task, the notes, and as many of the last turns as fit."""

from dataclasses import dataclass, field

from completion.chat import Message
from sandbox.agent.reflect import Reflection

MOST = 48_000  # characters, about 12,000 tokens
_NOTES = 8  # reflections that are kept


@dataclass
class Conversation:
    """A turn is an answer of the model and what came of it. Turns go whole, as servers refuse the
    result of a call that nobody made."""

    system: str
    task: str
    most: int = MOST
    notes: list[Reflection] = field(default_factory=list)
    turns: list[list[Message]] = field(default_factory=list)
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
        for turn in reversed(self.turns):
            left -= sum(map(size, turn))
            if left < 0 and kept:
                break
            kept.append(turn)
        self._kept, self._size = len(kept), self.most - left
        head = [Message("system", self.system), Message("user", self._task(len(kept)))]
        return [*head, *(one for turn in reversed(kept) for one in turn), *last]

    def shorten(self) -> bool:
        """Keep half as much from now on; False where no turn can be left out any more."""
        if self._kept < 2:
            return False
        self.most = self._size // 2
        return True

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
