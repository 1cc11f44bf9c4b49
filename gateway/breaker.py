"""A circuit breaker: who failed several times in a row is left alone for a while.

closed -> (FAILURES in a row) -> open -> (after a pause) -> half open, where one request tries ->
closed, or open again for twice as long. Times are time.monotonic's seconds.
"""

from collections.abc import Callable
from typing import Literal

FAILURES = 3
PAUSE, LONGEST = 1.0, 30.0

State = Literal["closed", "open", "half open"]


class Breaker:
    """Of one back end. Each `allow` that says yes is followed by one of `succeeded`, `failed`
    and `left`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = PAUSE
        self._until: float | None = None  # None: closed
        self._trying = False

    @property
    def state(self) -> State:
        if self._until is None:
            return "closed"
        return "half open" if self._clock() >= self._until else "open"

    @property
    def wait(self) -> float:
        """Seconds until a request may try."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def allow(self) -> bool:
        """Whether a request may go there now."""
        if self._until is None:
            return True
        if self.state == "open" or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        self._failures, self._pause, self._until, self._trying = 0, PAUSE, None, False

    def failed(self) -> None:
        self._failures += 1
        if self._until is not None and (self._trying or self.state == "half open"):
            self._pause = min(2 * self._pause, LONGEST)
            self._until = self._clock() + self._pause
        elif self._until is None and self._failures >= FAILURES:
            self._until = self._clock() + self._pause
        self._trying = False

    def left(self) -> None:
        """The client went before anybody could tell."""
        self._trying = False

    def revived(self) -> None:
        """It was seen to be well: the next request may try at once."""
        if self._until is not None:
            self._until = self._clock()
