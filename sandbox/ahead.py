"""A stream made ahead of its use, in a thread of its own: tests run while a model thinks."""

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_POLL_S = 0.1


class Ahead(Generic[T]):
    """`with Ahead(stream) as ready:` gives what the stream gives, in its order, at most `most` items
    ahead. What the stream raises is raised by the reader, once all before it was read.

    Leaving ends the thread as soon as the stream gives its next item.
    """

    def __init__(self, stream: Iterator[T], most: int = 1024) -> None:
        self._stream = stream
        self._ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(most)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._fill, daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._read()

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _read(self) -> Iterator[T]:
        while True:
            more, item = self._ready.get()
            if more:
                yield item  # pyright: ignore[reportReturnType]
            elif isinstance(item, BaseException):
                raise item
            else:
                return

    def _fill(self) -> None:
        last: BaseException | None = None
        try:
            for item in self._stream:
                if not self._put((True, item)):
                    return
        except BaseException as error:
            last = error
        self._put((False, last))

    def _put(self, item: tuple[bool, T | BaseException | None]) -> bool:
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(item, timeout=_POLL_S)
                return True
        return False
