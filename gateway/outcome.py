"""What became of one request: counts, times and who answered. Nothing of what was said."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from gateway.config import Backend
from gateway.fields import CHARACTERS_PER_TOKEN, Ask

MOST_TOKENS = 2**31 - 1  # of one request; more is no count
# "answered": in full; "cancelled": the client went; "refused": by us or by the back end;
# "failed": nobody answered, the client got an error; "cut": an answer broke off, with an error.
End = Literal["answered", "cancelled", "refused", "failed", "cut"]


@dataclass
class Outcome:
    """`tries` counts back ends asked; `estimated` tells that tokens were not counted by one.
    `cost` is in the settings' currency, `saved` what a cached answer did not cost."""

    user: str
    tenant: str
    kind: str
    end: End = "failed"
    status: int = 0
    code: str = ""
    model: str = ""
    backend: str = ""
    tries: int = 0
    stands_in: bool = False
    cache_hit: bool = False
    estimated: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    saved: float = 0.0
    first_ms: float | None = None
    began: float = field(default_factory=time.monotonic)
    total_ms: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def first(self) -> None:
        """The first byte of an answer is about to go out."""
        if self.first_ms is None:
            self.first_ms = (time.monotonic() - self.began) * 1000

    def ended(self) -> None:
        self.total_ms = (time.monotonic() - self.began) * 1000

    def count(self, usage: dict[str, Any], ask: Ask, events: int) -> None:
        """Tokens as the server counted them, or about as many if it was not heard out."""
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if _is_count(prompt) and _is_count(completion):
            self.prompt_tokens, self.completion_tokens = prompt, completion
            details = usage.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, dict) else 0
            self.cached_tokens = cached if _is_count(cached) else 0
        else:
            self.prompt_tokens = ask.size // CHARACTERS_PER_TOKEN
            self.completion_tokens, self.estimated = events, True

    def price(self, backend: Backend) -> float:
        """Of its tokens there."""
        tokens_in, tokens_out = self.prompt_tokens, self.completion_tokens
        return (tokens_in * backend.price_in + tokens_out * backend.price_out) / 1e6


def _is_count(told: object) -> TypeGuard[int]:
    """A server that counts below nothing would give a user tokens back that were never theirs."""
    return type(told) is int and 0 <= told <= MOST_TOKENS
