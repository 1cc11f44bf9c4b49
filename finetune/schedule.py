"""The learning rate over a run: warm up, stay, fall to zero; by time, by steps or by tokens.

By time, the rate is zero when the time is up *less* what saving takes, so that a run told to
take 30 minutes takes 30 minutes, with everything it does.
"""

import time

from finetune.recipe import Recipe


class Clock:
    """Seconds this run has worked, over all its starts; pauses between them do not count."""

    def __init__(self, spent: float = 0.0, began: float | None = None) -> None:
        self._began = time.monotonic() if began is None else began
        self._spent = spent

    def add(self, seconds: float) -> None:
        """Count what earlier starts of this run worked."""
        self._spent += seconds

    def seconds(self) -> float:
        return self._spent + time.monotonic() - self._began


def progress(
    recipe: Recipe, seconds: float, steps: int, tokens: int, reserve: float = 0.0
) -> float:
    """The share of the run that is done, 0 to 1; at 1 it is over.

    `reserve` is how many seconds are needed after the last step.
    """
    if recipe.minutes:
        return min(1.0, seconds / max(1e-9, recipe.minutes * 60 - reserve))
    done = steps / recipe.steps if recipe.steps else tokens / recipe.tokens
    return min(1.0, done)


def factor(recipe: Recipe, done: float, step: int) -> float:
    """What the learning rate of step number `step`, from 0, is multiplied with, 0 to 1."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    return warm * min(1.0, (1.0 - done) / recipe.decay_share if recipe.decay_share else 1.0)


def decaying(recipe: Recipe, done: float) -> bool:
    """Whether the constant part of the run is over."""
    return done >= 1.0 - recipe.decay_share
