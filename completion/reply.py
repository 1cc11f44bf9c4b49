"""What one question to the model brought: a text to insert, or why there is none."""

from dataclasses import dataclass, field
from typing import Any

from completion.hole import Kind


@dataclass
class Reply:
    """`text` goes in at the cursor; "" with the `reason` why there is nothing.

    `model` answered. `logprobs`: nats of the text's tokens, () from a server that does not tell.
    `details` are for the trace, `ms` the stages' milliseconds. `id` is that of the trace event
    that first showed it, "" if nobody has seen it yet.
    """

    text: str
    reason: str = ""
    model: str = ""
    kind: Kind = "statement"
    logprobs: tuple[float, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    id: str = ""
