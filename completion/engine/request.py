"""What goes into the engine and what comes out: one request, its chunks, its usage."""

from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Request:
    """Token ids to continue, and how.

    `heal` is text that the prompt was cut short of: the first tokens are constrained so that
    the answer begins with it, and it is left out of the answer. `temperature` 0 is greedy.
    A text of `stop` ends the answer before it. `seed` None draws a fresh one. `adapter` names
    the adapter that answers; empty is the base model. `prediction` is text that the answer is
    expected to be close to; it makes a true guess fast and changes nothing else.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    heal: str = ""
    adapter: str = ""
    prediction: str = ""


@dataclass
class Usage:
    """Counts in tokens; `cached_tokens` is the part of the prompt found in the KV cache,
    `accepted_tokens` of the `drafted_tokens` that were guessed and verified were right."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(frozen=True)
class Chunk:
    """A piece of the answer. The last one has a `finish` reason or an `error`."""

    text: str = ""
    finish: FinishReason | None = None
    error: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def last(self) -> bool:
        return self.finish is not None or bool(self.error)
