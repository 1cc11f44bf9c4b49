"""The end of a command that watches over another process: a signal asks for it, a second insists."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

POLL_SECONDS = 0.05


class Ending:
    """Asked for by SIGINT or SIGTERM while `signals` is entered. `tell` gets a line then."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._asked, self._insisted = threading.Event(), threading.Event()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether it is asked for within so long."""
        return self._asked.wait(seconds)

    def let_end(self, has_ended: Callable[[], bool], seconds: float) -> None:
        """Until it has ended, at most so long, and no longer than a second signal allows."""
        until = time.monotonic() + seconds
        while (
            not has_ended() and time.monotonic() < until and not self._insisted.wait(POLL_SECONDS)
        ):
            pass

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        def on_signal(number: int, frame: object) -> None:
            if self.asked:
                self._insisted.set()
            else:
                self._tell("Ending: what runs may end first.")
                self._asked.set()

        before = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
