"""How long work on data says how far it is."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# Called with a stage, what is done of it, and how much there is (0: not known).
Progress = Callable[[str, int, int], None]
_EVERY = 50


def silent(stage: str, done: int, total: int) -> None:
    """For callers that show nothing."""


def told(items: Iterable[T], stage: str, total: int, progress: Progress) -> Iterator[T]:
    """The items, telling now and then how many went by."""
    for done, item in enumerate(items):
        if done % _EVERY == 0:
            progress(stage, done, total)
        yield item
