"""How long to wait before a new start: longer after each crash, from the beginning after a while."""

import time
from collections.abc import Callable

FIRST_SECONDS, MOST_SECONDS = 1.0, 60.0
# Having run so long, it is taken to work.
STEADY_SECONDS = 300.0
# Starts in a row that never came to answer, after one that did. None is tried again before that:
# what is wrong then is a setting or a model, which waiting does not mend.
MOST_FAILURES = 5


class Backoff:
    """Times are time.monotonic's seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._crashes = 0
        self._failures = 0
        self._ever = False
        self._since: float | None = None

    def ready(self) -> None:
        self._ever = True
        self._failures = 0
        self._since = self._clock()

    def crashed(self) -> float | None:
        """Seconds to wait, or None to give up."""
        since, self._since = self._since, None
        if since is None:
            self._failures += 1
            if not self._ever or self._failures > MOST_FAILURES:
                return None
        elif self._clock() - since >= STEADY_SECONDS:
            self._crashes = 0
        self._crashes += 1
        return min(FIRST_SECONDS * 2 ** (self._crashes - 1), MOST_SECONDS)
