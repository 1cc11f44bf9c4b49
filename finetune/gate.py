"""The gate: is an adapter good enough to be used without asking? From its figures alone.

An adapter passes if its gain on held-out code is above zero beyond chance, and what it was not
tuned for does not suffer. Chance is what a 95% interval over the holes leaves open.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Fewer holes than this make intervals that are narrow by accident.
LEAST_HOLES = 30
# On the general set (code of others): how much worse may it be, as a share of all holes?
GENERAL_MARGIN = 0.02
# And how much worse must the interval rule out? Wider, as few holes make wide intervals.
GENERAL_LIMIT = 0.05


@dataclass(frozen=True)
class Figures:
    """Adapter less base on the same holes with the same prompts, as shares (0.05: 5 points).

    `gain` is the difference in exact match on held-out code, `general` on code of others; `low`
    and `high` bound their 95% intervals. `chat_kept` is None where chat was not checked.
    """

    gain_low: float
    gain_mean: float
    gain_high: float
    holes: int
    general_low: float
    general_mean: float
    general_high: float
    general_holes: int
    chat_kept: bool | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Figures | None":
        """None if a figure is missing or no share, or an interval's ends are not in order."""
        try:
            figures = cls(**{key: data[key] for key in cls.__dataclass_fields__ if key in data})
        except TypeError:
            return None
        return figures if figures._sound() else None

    def _sound(self) -> bool:
        gain = (self.gain_low, self.gain_mean, self.gain_high)
        general = (self.general_low, self.general_mean, self.general_high)
        return (
            all(_share(number) for number in (*gain, *general))
            and list(gain) == sorted(gain)
            and list(general) == sorted(general)
            and all(type(n) is int and n >= 0 for n in (self.holes, self.general_holes))
            and (self.chat_kept is None or isinstance(self.chat_kept, bool))
        )


@dataclass(frozen=True)
class Verdict:
    """`refusals` are the reasons against, in words; none means that the adapter passes."""

    refusals: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.refusals


def judge(figures: Figures | None, chat: bool = False) -> Verdict:
    """Hold figures against the gate. With `chat`, chat must have been checked and kept."""
    if figures is None:
        return Verdict(("it has no figures, or damaged ones",))
    f = figures
    checks = {
        f"it was tried on {f.holes} held-out holes, fewer than {LEAST_HOLES}": (
            f.holes < LEAST_HOLES
        ),
        f"its gain on held-out holes is {points(f.gain_mean)} "
        f"({points(f.gain_low)} to {points(f.gain_high)}), not above zero beyond chance": (
            f.gain_low <= 0
        ),
        f"the general set has {f.general_holes} holes, fewer than {LEAST_HOLES}": (
            f.general_holes < LEAST_HOLES
        ),
        f"on the general set it changes {points(f.general_mean)}; "
        f"at most {points(-GENERAL_MARGIN)} is allowed": f.general_mean < -GENERAL_MARGIN,
        f"on the general set a loss of {points(f.general_low)} is not ruled out; "
        f"it must be above {points(-GENERAL_LIMIT)}": f.general_low < -GENERAL_LIMIT,
        "chat got worse": f.chat_kept is False,
        "chat was not checked": chat and f.chat_kept is None,
    }
    return Verdict(tuple(reason for reason, holds in checks.items() if holds))


def points(share: float) -> str:
    """A share as percentage points with its sign."""
    return f"{100 * share:+.1f} points"


def _share(value: Any) -> bool:
    """Or a difference of two shares; the JSON may hold anything, NaN too."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -1 <= value <= 1
