"""What goes into the engine and what comes out: one request, its chunks, its usage."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # numpy, which the server's start must not wait for
    from completion.engine.memory import Recall

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
    the adapter that answers; empty is the base model. `prediction` is text that the answer is
    expected to be close to; it makes a true guess fast and changes nothing else. `logprobs` asks
    for the log-probability of each token and of that many likeliest ones beside it. `n` is how
    many answers `Decoder.candidates` starts. `document` names what is being edited: a newer request
    takes an older one's place. `priority` is FIRST to LAST. `memory` is mixed into what the model
    says. `salt` is of those who may learn of each other: requests of another salt share no cache
    and no document with this one.
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
    n: int = 1
    document: str = ""
    priority: int = FIRST
    memory: "Recall | None" = None
    salt: str = ""

    def numbered(self, number: int) -> "Request":
        """The request for answer `number` of `n`: each draws from a seed of its own."""
        seed = None if self.seed is None else (self.seed + number) % 2**63
        return replace(self, n=1, seed=seed)


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


@dataclass
class Work:
    """Tokens of prompts that were computed and tokens that were picked, whoever they were for:
    of requests that were cancelled or that nobody waited for as well, which no answer's usage
    tells."""

    read: int = 0
    written: int = 0


@dataclass(frozen=True)
class TokenLogprob:
    """What the model thought of a token, in nats, and which ones it thought likeliest.

    Under the model's own distribution with the request's hooks; before temperature, top-p and
    healing.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Chunk:
    """A piece of the answer. The last one has a `finish` reason or an `error`.

    `logprobs` are those of its tokens, where the request asked for them; the end's is with them,
    as a choice among answers must know it. A token's text may come
    in a later chunk, or never, if it is part of a character or of a stop text.
    """

    text: str = ""
    finish: FinishReason | None = None
    error: str = ""
    usage: Usage = field(default_factory=Usage)
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def last(self) -> bool:
        return self.finish is not None or bool(self.error)

    def after(self, earlier: "Chunk") -> "Chunk":
        """Both as one: what the earlier one says of its tokens and its text, then the rest."""
        return replace(
            self, text=earlier.text + self.text, logprobs=earlier.logprobs + self.logprobs
        )
