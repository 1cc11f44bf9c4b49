"""A guess at the next tokens, and who makes them."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Draft:
    """Tokens that may come next. `keys` say, for each, what its chance is looked up by:
    (source, how many tokens before it matched); see `speculate.Acceptance`."""

    tokens: list[int] = field(default_factory=list)
    keys: list[tuple[str, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)


class Drafter(Protocol):
    """One sequence's source of drafts. A small model that runs ahead would be another one."""

    def feed(self, token: int) -> None:
        """The answer's next token, whoever guessed it."""
        ...

    def draft(self, most: int) -> Draft:
        """At most `most` tokens that may follow."""
        ...
