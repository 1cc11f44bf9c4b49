"""What is said between us and a chat model: messages, tools, calls, answers and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
# stop: it said all. length: at the limit of tokens. tool_calls: it waits for their results.
# cut: the stream broke or time ran out, and this is what had come. refusal: it would not.
# content_filter: the server would not. loop: it said the same again and again, and was stopped.
Finish = Literal["stop", "length", "tool_calls", "cut", "refusal", "content_filter", "loop"]


@dataclass(frozen=True)
class ToolCall:
    """`arguments` are a text where the model did not write a JSON object: what it wrote."""

    id: str
    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """One turn. Only the assistant has `tool_calls`; a tool's result names its call."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True)
class Tool:
    """`parameters` is the JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Usage:
    """Tokens, and what they cost at the prices in the settings (0 where none is set).

    `guessed` where the server told no counts and they are estimated from characters.
    """

    prompt: int = 0
    completion: int = 0
    cost: float = 0.0
    guessed: bool = False

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cost + other.cost,
            self.guessed or other.guessed,
        )


@dataclass(frozen=True)
class Said:
    """An answer. `text` is without the calls, also where a model wrote them into its text."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    usage: Usage = Usage()

    @property
    def message(self) -> Message:
        """This answer as a turn of the conversation."""
        return Message("assistant", self.text, self.calls)
