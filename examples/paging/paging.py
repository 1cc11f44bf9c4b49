"""Which pages a list of results has, and which of them to link to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A part of the results: `first` and `last` count from 1, both belong to it."""

    number: int
    first: int
    last: int


def count(results: int, size: int) -> int:
    """How many pages there are; an empty list has one, which is empty."""
    if size < 1:
        raise ValueError("a page holds at least one result")
    return max(1, -(-results // size))


def page(number: int, results: int, size: int) -> Page:
    """The page of that number; numbers out of range give the nearest page."""
    number = min(max(1, number), count(results, size))
    first = (number - 1) * size + 1
    return Page(number, first, min(results, number * size))


def links(number: int, pages: int, around: int = 2) -> list[int]:
    """The numbers of the pages next to this one, itself included."""
    first = max(1, number - around)
    last = min(pages, number + around)
    return list(range(first, last))
