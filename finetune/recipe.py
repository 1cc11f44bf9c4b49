"""What a training run does, as plain values: JSON-able, validated, equal for equal runs."""

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from tandem.errors import UsageError

Method = Literal["full", "lora", "qlora"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Recipe:
    """Exactly one of `minutes`, `steps` and `tokens` (above 0) says how long to train.

    `minutes` counts everything a run does: loading, validation and saving too. Warm-up is in
    steps; the rate is constant after it, and falls to zero over the last `decay_share` of the
    run. `rows` are ids of tokens whose embeddings a full fine-tune trains; the rest stay frozen.
    """

    method: Method = "lora"
    minutes: float = 0.0
    steps: int = 0
    tokens: int = 0
    rank: int = 16
    alpha: float = 32.0
    learning_rate: float = 5e-4
    warmup_steps: int = 20
    decay_share: float = 0.5
    weight_decay: float = 0.01
    beta2: float = 0.99  # of Adam; small steps are noisy, so the second moment is a long mean
    clip: float = 1.0
    tokens_per_step: int = 2048
    row_tokens: int = 2048  # tokens in one forward pass; a step may take several
    rows: tuple[int, ...] = ()
    seed: int = 0
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    validations: int = 10  # spread evenly over the run; the last one is at its end
    validation_tokens: int = 16_384
    patience: int = 0  # validations in a row without a better loss; 0: never stop early
    save_minutes: float = 5.0

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise UsageError(f"There is no method {self.method!r}.", "Use full, lora or qlora.")
        if self.precision not in get_args(Precision):
            raise UsageError(
                f"There is no precision {self.precision!r}.", "Use auto, float32 or bfloat16."
            )
        if sum(value > 0 for value in (self.minutes, self.steps, self.tokens)) != 1:
            raise UsageError("How long to train is not clear.", "Give minutes, steps or tokens.")
        for name in ("rank", "alpha", "learning_rate", "clip", "tokens_per_step", "row_tokens"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}.", "It must be above zero.")
        for name in ("minutes", "steps", "tokens", "warmup_steps", "weight_decay", "validations"):
            self._not_negative(name)
        for name in ("validation_tokens", "patience", "save_minutes", "seed"):
            self._not_negative(name)
        if not 0 < self.beta2 < 1:
            raise UsageError(f"beta2 is {self.beta2}.", "It is between 0 and 1.")
        if not 0 <= self.decay_share <= 1:
            raise UsageError(f"decay_share is {self.decay_share}.", "It is a share, from 0 to 1.")
        if self.rows and self.method != "full":
            raise UsageError(
                f"{self.method} does not train embeddings.", "Leave rows out, or use method full."
            )

    def _not_negative(self, name: str) -> None:
        if not getattr(self, name) >= 0:
            raise UsageError(f"{name} is {getattr(self, name)}.", "It must not be below zero.")

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """From `as_json`. Raises UsageError for a name or a type that does not belong."""
        known = {field.name: field.default for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise UsageError(f"A recipe has no {name!r}.", f"It has: {', '.join(known)}.")
            wanted = type(known[name])
            right = isinstance(value, list | tuple if wanted is tuple else wanted)
            right |= wanted is float and isinstance(value, int)
            if not right or (isinstance(value, bool) and wanted is not bool):
                raise UsageError(f"{name} is {value!r}.", f"It must be of type {wanted.__name__}.")
        return cls(**{**values, "rows": tuple(values.get("rows", ()))})

    def as_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))

    def differences(self, other: "Recipe") -> list[str]:
        """Names of the fields that change what is learned and differ."""
        free = {"save_minutes"}
        return [
            field.name
            for field in fields(self)
            if field.name not in free and getattr(self, field.name) != getattr(other, field.name)
        ]

    def but(self, **changes: Any) -> "Recipe":
        return replace(self, **changes)
