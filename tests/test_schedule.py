"""The learning rate over a run, by steps, by tokens and by time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.recipe import Recipe
from finetune.schedule import Clock, decaying, factor, progress

MINUTES = Recipe(minutes=2.0, warmup_steps=4, decay_share=0.5)
STEPS = Recipe(steps=100, warmup_steps=4, decay_share=0.25)


def test_the_rate_warms_up_stays_and_falls_to_zero() -> None:
    rates = [factor(STEPS, progress(STEPS, 0.0, step, 0), step) for step in range(101)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert set(rates[3:76]) == {1.0}
    assert rates[75:] == pytest.approx([1 - n / 25 for n in range(26)])


def test_without_a_decay_the_rate_stays() -> None:
    recipe = STEPS.but(decay_share=0.0, warmup_steps=0)
    assert [factor(recipe, done, 5) for done in (0.0, 0.5, 0.99)] == [1.0, 1.0, 1.0]


def test_the_constant_part_ends_where_the_decay_begins() -> None:
    assert not decaying(STEPS, 0.74)
    assert decaying(STEPS, 0.75)


def test_tokens_end_a_run() -> None:
    recipe = Recipe(tokens=1000)
    assert progress(recipe, 1e9, 10**9, 250) == 0.25
    assert progress(recipe, 0.0, 0, 1200) == 1.0


def test_what_is_needed_after_the_last_step_is_kept_back() -> None:
    assert progress(MINUTES, 60.0, 7, 7) == 0.5
    assert progress(MINUTES, 45.0, 7, 7, reserve=30.0) == 0.5
    assert progress(MINUTES, 90.0, 7, 7, reserve=30.0) == 1.0
    assert progress(MINUTES, 1.0, 0, 0, reserve=500.0) == 1.0


@given(st.floats(0, 1e4), st.floats(0, 1e3), st.integers(0, 1000))
def test_the_rate_is_always_a_share_and_the_run_ends(
    seconds: float, reserve: float, step: int
) -> None:
    done = progress(MINUTES, seconds, step, 0, reserve)
    assert 0 <= done <= 1
    assert 0 <= factor(MINUTES, done, step) <= 1
    assert (done == 1) == (seconds >= max(1e-9, 120 - reserve))


def test_a_clock_counts_earlier_starts_and_no_pauses() -> None:
    clock = Clock(began=time.monotonic() - 10)
    before = clock.seconds()
    clock.add(100.0)
    assert before >= 10
    assert clock.seconds() - before >= 100
