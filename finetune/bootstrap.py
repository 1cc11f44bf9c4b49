"""Means with 95% percentile bootstrap intervals (Efron 1979), over holes that share files.

Holes of one file are alike, so whole files are drawn, not single holes (the cluster bootstrap,
Davison and Hinkley 1997, section 3.8): an interval over holes alone would be too narrow.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over `n` values of `clusters` files, and the bounds of its interval.

    The bounds are None where there is but one file: it says nothing of how others would do.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    clusters: int

    def above(self, bound: float) -> bool:
        """Whether the whole interval lies above `bound`."""
        return self.low is not None and self.low > bound

    def below(self, bound: float) -> bool:
        return self.high is not None and self.high < bound


def interval(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """The mean of `values`, weighted if weights are given (a mean per token over holes).

    `clusters` names each value's file; without it each value is its own. The same arguments
    give the same interval; values need one of finite size and a weight above zero.
    """
    x = np.asarray(values, np.float64)
    w = np.ones_like(x) if weights is None else np.asarray(weights, np.float64)
    assert len(x) == len(w) > 0, "one weight a value, and at least one value"
    assert np.isfinite(x).all(), "values are finite"
    assert (w > 0).all(), "weights are above zero"
    _, member = _numbered(range(len(x)) if clusters is None else clusters)
    assert len(member) == len(x), "one cluster a value"
    count = int(member.max()) + 1
    sums = np.bincount(member, x * w, count)
    sizes = np.bincount(member, w, count)
    mean = float(sums.sum() / sizes.sum())
    if count < 2:
        return Interval(mean, None, None, len(x), count)
    drawn = _drawn(count, seed, draws)
    means = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # Equal values do not sum up to equal means in every order.
    return Interval(mean, min(float(low), mean), max(float(high), mean), len(x), count)


def difference(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """The mean of `second` less `first`, paired: both are of the same holes in the same order."""
    assert len(first) == len(second), "paired values"
    paired = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    return interval(paired.tolist(), clusters, weights, seed, draws)


def _numbered(names: Sequence[Hashable]) -> tuple[dict[Hashable, int], np.ndarray]:
    """Numbers for names in order of appearance, and the number of each."""
    numbers: dict[Hashable, int] = {}
    member = [numbers.setdefault(name, len(numbers)) for name in names]
    return numbers, np.array(member, np.int64)


def _drawn(count: int, seed: int, draws: int) -> np.ndarray:
    """How often each of `count` clusters is in each draw [draws, count]."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, count, (draws, count))
    rows = np.arange(draws)[:, None] * count
    return np.bincount((picks + rows).ravel(), minlength=draws * count).reshape(draws, count)
