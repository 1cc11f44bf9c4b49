"""A chat answer put together from the events of its stream, or from one whole body."""

import json
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from completion.chat_tools import parsed
from completion.messages import Finish, ToolCall

REPEATS = 3
SHORTEST_LOOP, LONGEST_PIECE = 120, 600  # characters


@dataclass
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class Gathering:
    """What has come of an answer. `done` once the server said that this was all."""

    text: str = ""
    refusal: str = ""
    finish: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    done: bool = False
    _calls: dict[int, _Call] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.text or self.refusal or self._calls)

    def add(self, event: dict[str, Any]) -> str:
        """Take in an event; returns its piece of text. Raises TypeError or KeyError or
        AttributeError for what is not in OpenAI's form."""
        self.usage = event.get("usage") or self.usage
        piece = ""
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            piece += delta.get("content") or ""
            self.refusal += delta.get("refusal") or ""
            for position, told in enumerate(delta.get("tool_calls") or ()):
                self._add_call(told, position)
            self.finish = choice.get("finish_reason") or self.finish
        self.text += piece
        return piece

    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(call.id or f"call_{index + 1}", call.name, parsed(call.arguments))
            for index, call in sorted(self._calls.items())
        )

    def ended(self) -> Finish:
        """Why it ended, in our words; servers have others for what they add."""
        if self.refusal:
            return "refusal"
        if self.finish == "loop":
            return "loop"
        if not (self.done or self.finish):
            return "cut"
        if self._calls and self.finish in ("", "stop", "function_call"):
            return "tool_calls"
        known = self.finish in get_args(Finish)
        return cast("Finish", self.finish) if known else "stop"

    def _add_call(self, told: dict[str, Any], position: int) -> None:
        """A piece names its call by index. Servers that send whole calls may leave that out, or
        give all the same; then a new id begins a new call."""
        index = told.get("index")
        index = position if index is None else int(index)
        id = told.get("id") or ""
        if id and index in self._calls and self._calls[index].id not in ("", id):
            found = [key for key, call in self._calls.items() if call.id == id]
            index = found[0] if found else max(self._calls) + 1
        call = self._calls.setdefault(index, _Call())
        function = told.get("function") or {}
        call.id = call.id or id
        call.name = call.name or function.get("name") or ""
        arguments = function.get("arguments") or ""
        call.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)


def loop_in(text: str) -> int:
    """Where a text begins to say again and again what it has just said; -1 if it does not.

    Small models do, and would go on to the limit. A loop is `REPEATS` times the same at the end,
    of `SHORTEST_LOOP` characters in all, with some words in it.
    """
    for period in range(SHORTEST_LOOP // REPEATS, min(LONGEST_PIECE, len(text) // REPEATS) + 1):
        piece = text[-period:]
        # Most periods differ in one character already.
        if text[-2 * period] != piece[0] or not text.endswith(piece * REPEATS):
            continue
        if sum(map(str.isalpha, piece)) * 4 >= period:
            return len(text) - (REPEATS - 1) * period
    return -1
