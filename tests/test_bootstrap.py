"""Intervals hold what they must, and cover the truth as often as they say."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.bootstrap import Interval, difference, interval

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


def bounds(found: Interval) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


@given(VALUES, st.integers(0, 5))
@settings(deadline=None)
def test_an_interval_holds_the_mean_and_lies_within_the_values(
    values: list[float], seed: int
) -> None:
    found = interval(values, seed=seed, draws=200)
    low, high = bounds(found)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= low <= found.mean <= high <= max(values) + slack
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert (found.n, found.clusters) == (len(values), len(values))


@given(VALUES)
@settings(deadline=None)
def test_the_same_values_give_the_same_interval(values: list[float]) -> None:
    assert interval(values, draws=50) == interval(values, draws=50)


@given(VALUES)
@settings(deadline=None)
def test_a_variant_differs_from_itself_by_exactly_nothing(values: list[float]) -> None:
    found = difference(values, values, draws=50)
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert not found.above(0)
    assert not found.below(0)


def test_a_difference_is_paired() -> None:
    """Holes differ far more than the variants do; each hole is its own yardstick."""
    rng = random.Random(1)
    first = [rng.gauss(0, 100) for _ in range(50)]
    second = [value + 1 for value in first]
    low, high = bounds(difference(first, second))
    assert low == pytest.approx(1)
    assert high == pytest.approx(1)


def test_a_difference_has_the_sign_of_second_less_first() -> None:
    assert difference([0, 0, 0], [1, 1, 1]).above(0)
    assert difference([1, 1, 1], [0, 0, 0]).below(0)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """95% in theory; the percentile bootstrap of 150 Bernoulli draws comes a little short."""
    rng = np.random.default_rng(7)
    covered = 0
    for trial in range(400):
        low, high = bounds(interval(rng.binomial(1, 0.3, 150).tolist(), seed=trial, draws=400))
        covered += low <= 0.3 <= high
    assert 0.91 < covered / 400 < 0.98


def test_holes_of_one_file_are_drawn_together() -> None:
    """Ten holes a file that all agree are worth one: only clusters give honest coverage."""
    rng = np.random.default_rng(3)
    covered = {"clusters": 0, "holes": 0}
    for trial in range(200):
        files = np.repeat(np.arange(40), 10)
        values = np.repeat(rng.binomial(1, 0.5, 40), 10).tolist()
        for name, clusters in (("clusters", files.tolist()), ("holes", None)):
            low, high = bounds(interval(values, clusters, seed=trial, draws=300))
            covered[name] += low <= 0.5 <= high
    assert covered["clusters"] / 200 > 0.9
    assert covered["holes"] / 200 < 0.6


def test_one_file_tells_nothing_of_others() -> None:
    found = interval([1, 1, 1, 1], ["a.py"] * 4)
    assert (found.mean, found.low, found.high, found.n, found.clusters) == (1, None, None, 4, 1)
    assert not found.above(0)


def test_weights_make_a_mean_per_token() -> None:
    found = interval([1.0, 3.0], weights=[3, 1])
    assert found.mean == pytest.approx(1.5)
    assert bounds(found) == pytest.approx((1.0, 3.0))


@given(VALUES, st.floats(0.1, 100))
@settings(deadline=None)
def test_equal_weights_are_no_weights(values: list[float], weight: float) -> None:
    plain = interval(values, draws=50)
    weighted = interval(values, weights=[weight] * len(values), draws=50)
    scale = max(1.0, *map(abs, values))
    assert weighted.mean == pytest.approx(plain.mean, abs=1e-9 * scale)
    assert bounds(weighted) == pytest.approx(bounds(plain), abs=1e-9 * scale)


@pytest.mark.parametrize(
    ("values", "clusters", "weights"),
    [
        ([], None, None),
        ([1.0, float("nan")], None, None),
        ([1.0, float("inf")], None, None),
        ([1.0, 2.0], ["a"], None),
        ([1.0, 2.0], None, [1.0]),
        ([1.0, 2.0], None, [1.0, 0.0]),
    ],
)
def test_what_has_no_mean_is_refused(
    values: list[float], clusters: list[str] | None, weights: list[float] | None
) -> None:
    with pytest.raises(AssertionError):
        interval(values, clusters, weights)


def test_unequal_lengths_are_no_pairs() -> None:
    with pytest.raises(AssertionError):
        difference([1.0], [1.0, 2.0])
