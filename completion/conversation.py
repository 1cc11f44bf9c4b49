"""Questions about a workspace and their answers: context, prompt, model and history together.

    conversation = Conversation(chat, root)
    answer = await conversation.ask("What does Pager do?", on_text=print)

Used alike by the command line, the language server and other front ends.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from completion import chat_prompts
from completion.chat import Chat, OnText
from completion.chat_context import Selection, gather
from completion.chat_history import History
from completion.chat_prompts import Part, Prompt, Task
from completion.index import Index
from completion.messages import Message, Said

# Tokens of a prompt that a chat template adds around the conversation, and some to spare.
_SPARE = 64
# An answer may take this share of a small context.
_ANSWER_SHARE = 4


@dataclass(frozen=True)
class Answer:
    """`prompt` tells what the model saw, and what there was no room for."""

    said: Said
    prompt: Prompt

    @property
    def text(self) -> str:
        return self.said.text


class Conversation:
    """One at a time. `index` None: no context but what is given. `history` None: none is kept."""

    def __init__(
        self, chat: Chat, index: Index | None = None, history: History | None = None
    ) -> None:
        self.chat = chat
        self._index = index
        self._history = history

    async def ask(
        self,
        asked: str,
        selections: Sequence[Selection] = (),
        task: Task = "ask",
        *,
        parts: Sequence[Part] = (),
        on_text: OnText | None = None,
    ) -> Answer:
        """The answer to a question or task about selected code, `parts` (a diff, standard input)
        and what retrieval finds.

        What came before it was cancelled is kept in the history. Raises TandemError.
        """
        fitted = await asyncio.to_thread(self.prompt, asked, selections, task, parts)
        came: list[str] = []

        def on_piece(piece: str) -> None:
            came.append(piece)
            if on_text is not None:
                on_text(piece)

        prediction = selections[0].text if task in ("edit", "document", "fix") else ""
        question = _question(asked, selections, task)
        note = "interrupted"
        text = ""
        try:
            said = await self.chat.say(
                fitted.messages,
                max_tokens=self._answer_tokens(),
                prediction=prediction,
                on_text=on_piece,
            )
            note, text = ("" if said.finish == "stop" else said.finish), said.text
        finally:
            text = text or "".join(came)
            if self._history is not None and text:
                self._history.add(Message("user", question))
                self._history.add(Message("assistant", text), note)
        return Answer(said, fitted)

    def prompt(
        self,
        asked: str,
        selections: Sequence[Selection] = (),
        task: Task = "ask",
        parts: Sequence[Part] = (),
    ) -> Prompt:
        """What the model would be told. Blocking: looks into the index."""
        count = self.chat.count
        # A change speaks for itself: chunks with the same words are no help to judge it.
        index = None if task in ("review", "commit") else self._index
        found = [*parts, *gather(asked, selections, index, count)]
        history = self._history.messages() if self._history is not None else []
        budget = self.chat.context - self._answer_tokens() - _SPARE
        return chat_prompts.prompt(task, asked, found, history, budget=budget, count=count)

    def _answer_tokens(self) -> int:
        return min(self.chat.options.max_tokens, self.chat.context // _ANSWER_SHARE)


def _question(asked: str, selections: Sequence[Selection], task: Task) -> str:
    """As the history keeps it: short, without the code."""
    places = ", ".join(one.name(None) for one in selections)
    words = asked if task == "ask" else " ".join(filter(None, [f"/{task}", places, asked]))
    return words.strip()
