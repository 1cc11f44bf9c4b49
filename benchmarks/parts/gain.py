"""How much more one row saves than another, of the same files: a ratio with its interval.

Files are drawn with what both rows made of them (the paired cluster bootstrap, Davison and Hinkley
1997, section 3.8), because keys of one file are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class Gain:
    """`ratio` - 1 is the gain; the bounds are None where the files are too few to tell."""

    ratio: float | None
    low: float | None
    high: float | None
    files: int

    def __str__(self) -> str:
        if self.ratio is None:
            return "no ratio: the other one saves nothing"
        text = f"{self.ratio - 1:+.0%}"
        if self.low is None or self.high is None:
            return f"{text} ({self.files} files are too few for an interval)"
        return f"{text} (95% interval {self.low - 1:+.0%} to {self.high - 1:+.0%})"


def gain(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Gain:
    """The ratio of the sums, of one value a file in the same order."""
    assert len(ours) == len(theirs), "paired values"
    files = len(ours)
    if sum(theirs) <= 0:
        return Gain(None, None, None, files)
    ratio = sum(ours) / sum(theirs)
    picks = np.random.default_rng(seed).integers(0, files, (DRAWS, files))
    above, below = np.asarray(ours)[picks].sum(1), np.asarray(theirs)[picks].sum(1)
    known = below > 0
    if files < 2 or known.mean() < LEVEL:
        return Gain(ratio, None, None, files)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(above[known] / below[known], tails)
    return Gain(ratio, float(low), float(high), files)
