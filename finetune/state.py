"""What a training run tells of itself, and what a checkpoint holds of it beside tensors."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """Told after every step. `done` is 0 to 1; losses in nats a token; `left` seconds to go."""

    step: int
    tokens: int
    done: float
    loss: float
    validation: float | None
    seconds: float
    left: float


@dataclass(frozen=True)
class Result:
    """`folder` is what was made: a peft adapter, or a whole model for a full fine-tune.

    `ended`: "done", "early" (no better loss for `patience` validations) or "cancelled", which
    leaves only a checkpoint: `folder` does not exist. `before` and `validation` are losses on the
    answers of the validation samples, of the base and of what was saved, as of `best_step`.
    """

    folder: Path
    ended: str
    step: int
    tokens: int
    seconds: float
    best_step: int
    before: float | None
    validation: float | None
    processes: int


@dataclass
class State:
    """What a checkpoint holds beside tensors."""

    step: int = 0
    position: int = 0
    tokens: int = 0
    seconds: float = 0.0
    validated: int = -1
    before: float | None = None
    validation: float | None = None
    best: float | None = None
    best_step: int | None = None
    worse: int = 0
