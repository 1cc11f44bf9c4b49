"""How many developers one replica serves: the simulation, against what can be told by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.parts.sizing import Asked, Rates, answer_times, arrivals, most

RATES = Rates(1000.0, {1: 10.0, 4: 20.0})


def test_one_request_takes_its_reading_and_its_writing() -> None:
    assert answer_times([(0.0, Asked(0, 500, 20))], RATES, 4) == [pytest.approx(2.5)]


def test_two_at_once_share_what_is_written_and_read_one_after_the_other() -> None:
    pair = [(0.0, Asked(0, 0, 10)), (0.0, Asked(0, 0, 10))]
    rate = RATES.each(2)
    assert 10.0 > rate > 5.0
    assert answer_times(pair, RATES, 4) == [pytest.approx(10 / rate)] * 2
    assert answer_times(pair, RATES, 1) == [pytest.approx(1.0), pytest.approx(2.0)]
    read = [(0.0, Asked(0, 1000, 10)), (0.0, Asked(0, 1000, 10))]
    assert sorted(answer_times(read, RATES, 4))[0] > 2.0 - 1e-9


def test_rates_between_and_beyond_what_was_measured() -> None:
    assert RATES.each(1) == 10.0
    assert RATES.each(4) == 5.0
    assert RATES.each(8) == 2.5
    assert RATES.each(2) * 2 == pytest.approx(10 + 10 / 3)
    assert Rates(1.0, {2: 10.0}).each(1) == 5.0


def test_who_types_all_the_time_asks_as_was_recorded() -> None:
    coming = arrivals([Asked(2.0, 1, 1)], 1, 20.0, 1.0, 0)
    assert [moment for moment, _ in coming] == [pytest.approx(2.0 * n) for n in range(1, 10)]
    half = arrivals([Asked(1.0, 1, 1)], 50, 600.0, 0.5, 0)
    assert 0.35 < len(half) / (50 * 600) < 0.65


def test_more_developers_fit_where_answers_may_take_longer_or_come_faster() -> None:
    asked = [Asked(1.0, 200, 10)]
    few = most(asked, RATES, 4, 2.0, 0.5, seconds=300)
    assert 0 < few < most(asked, RATES, 4, 5.0, 0.5, seconds=300)
    fast = Rates(10_000.0, {1: 100.0, 4: 200.0})
    assert few < most(asked, fast, 4, 2.0, 0.5, seconds=300)
    assert most(asked, RATES, 4, 0.5, 0.5, seconds=300) == 0


def test_prompts_that_are_not_kept_are_read_as_a_whole() -> None:
    asked = [Asked(1.0, 1, 1, prompt=500)]
    few = arrivals(asked, 10, 60.0, 1.0, 0, kept=10)
    assert {one.read for _, one in few} == {1}
    half = [one.read for _, one in arrivals(asked, 20, 60.0, 1.0, 0, kept=10)]
    assert {*half} == {1, 500}
    assert 0.3 < half.count(500) / len(half) < 0.7


requests = st.lists(
    st.tuples(st.floats(0, 20), st.integers(0, 2000), st.integers(0, 50)), max_size=30
)


@given(requests, st.integers(1, 6))
@settings(deadline=None)
def test_every_request_is_answered_and_none_sooner_than_alone(
    told: list[tuple[float, int, int]], slots: int
) -> None:
    coming = sorted(
        ((moment, Asked(0, read, written)) for moment, read, written in told),
        key=lambda pair: pair[0],
    )
    times = answer_times(coming, RATES, slots)
    assert len(times) == len(coming)
    alone = sorted(one.read / 1000 + max(1, one.written) / 10 for _, one in coming)
    assert all(a >= b - 1e-6 for a, b in zip(sorted(times), alone, strict=True))
