"""What is made ahead comes in order, whole, and not without end."""

import threading
import time
from collections.abc import Iterator

import pytest

from sandbox.ahead import Ahead


def test_all_comes_in_order() -> None:
    with Ahead(iter(range(5000)), most=7) as ready:
        assert list(ready) == list(range(5000))


def test_an_error_comes_after_what_was_before_it() -> None:
    def stream() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("no more")

    with Ahead(stream()) as ready:
        assert next(ready) == 1
        assert next(ready) == 2
        with pytest.raises(ValueError, match="no more"):
            next(ready)


def test_no_more_is_made_than_asked_for() -> None:
    made: list[int] = []

    def stream() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    with Ahead(stream(), most=10) as ready:
        next(ready)
        time.sleep(0.3)
        assert len(made) <= 13
    time.sleep(0.2)
    assert len(made) <= 14


def test_the_stream_goes_on_while_the_reader_is_busy() -> None:
    second = threading.Event()

    def stream() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    with Ahead(stream()) as ready:
        assert next(ready) == 1
        assert second.wait(10)
        assert next(ready) == 2


def test_leaving_ends_the_thread() -> None:
    before = threading.active_count()
    with Ahead(iter(range(10**9)), most=3) as ready:
        assert next(ready) == 0
    assert threading.active_count() == before


def test_an_empty_stream_is_empty() -> None:
    with Ahead(iter(())) as ready:
        assert list(ready) == []
