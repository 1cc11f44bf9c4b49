"""What one question to the model brought: a text to insert, or why there is none."""

from dataclasses import dataclass, field
from typing import Any

from completion.hole import Kind


@dataclass
class Reply:
    """`text` goes in at the cursor; "" with the `reason` why there is nothing.

    `model` answered. `tokens`: where each ends in the text, in characters, and its nats; () from
    a server that does not tell.
    `details` are for the trace, `ms` the stages' milliseconds. `id` is that of the trace event
    that first showed it, up to its character `end`; "" if nobody has seen it yet.
    """

    text: str
    reason: str = ""
    model: str = ""
    kind: Kind = "statement"
    tokens: tuple[tuple[int, float], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    id: str = ""
    end: int = 0

    def after(self, typed: int) -> list[tuple[int, float]]:
        """The tokens that go past what was typed, in characters, and begin in the text; their
        ends count from there."""
        starts = (0, *(end for end, _ in self.tokens))
        return [
            (end - typed, nats)
            for start, (end, nats) in zip(starts, self.tokens, strict=False)
            if end > typed and start < len(self.text)
        ]

    def logprobs(self, typed: int, characters: int) -> list[float]:
        """Nats of the tokens of so many characters after what was typed."""
        tokens = self.after(typed)
        starts = (0, *(end for end, _ in tokens))
        pairs = zip(starts, tokens, strict=False)
        return [nats for start, (_, nats) in pairs if start < characters]
