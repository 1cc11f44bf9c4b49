"""What goes into the engine and what comes out: one request, its chunks, its usage."""

from dataclasses import dataclass, field
from typing import Literal

# "superseded": a newer request of the same document took its place.
FinishReason = Literal["stop", "length", "cancelled", "superseded"]
# The lower number goes first.
FIRST, CHAT, LAST = 0, 5, 9


@dataclass(frozen=True)
class Request:
    """Token ids to continue, and how.

    `heal` is text that the prompt was cut short of: the first tokens are constrained so that
    the answer begins with it, and it is left out of the answer. `temperature` 0 is greedy.
    A text of `stop` ends the answer before it. `seed` None draws a fresh one. `adapter` names
    the adapter that answers; empty is the base model. `prediction` is a text that the answer may
    well be: a draft, which changes how fast the answer comes and nothing else. `logprobs` asks
    for log-probabilities of each token and of so many alternatives. `document` names what is
    being edited: a newer request takes an older one's place. `priority` is 0 to 9, 0 goes first.
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
    logprobs: int | None = None
    document: str = ""
    priority: int = FIRST


@dataclass
class Usage:
    """Counts in tokens; `cached_tokens` is the part of the prompt found in the KV cache."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(frozen=True)
class Logprob:
    """A token of the answer: its bytes, its natural log-probability, and the best tokens there."""

    token: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True)
class Chunk:
    """A piece of the answer. The last one has a `finish` reason or an `error`.

    `logprobs`, if they were asked for, are of the tokens picked since the last chunk.
    """

    text: str = ""
    finish: FinishReason | None = None
    error: str = ""
    usage: Usage = field(default_factory=Usage)
    logprobs: tuple[Logprob, ...] = ()

    @property
    def last(self) -> bool:
        return self.finish is not None or bool(self.error)
