"""No suggestions for a while: one file in the state folder, which all editors look at.

The file holds the wall-clock time until which it is quiet; what cannot be read means not snoozed.
"""

import json
import time

from tandem import paths

FORMAT = 1
USUAL_MINUTES = 30.0
LONGEST_MINUTES = 7 * 24 * 60
_LOOK_S = 1.0
_NAME = "snooze.json"


def snooze(minutes: float) -> float:
    """Be quiet from now on. Returns until when, in seconds since the epoch; OSError if that
    cannot be written."""
    assert 0 < minutes <= LONGEST_MINUTES
    until = time.time() + 60 * minutes
    paths.private_dir(paths.state_dir())
    with paths.atomic_write(paths.state_dir() / _NAME) as stream:
        json.dump({"v": FORMAT, "until": round(until, 3)}, stream)
    return until


def unsnooze() -> bool:
    """Whether it was snoozed until now."""
    was = left_s() > 0
    (paths.state_dir() / _NAME).unlink(missing_ok=True)
    return was


def left_s() -> float:
    """Seconds of quiet that are left, 0 if none are. Reads the file."""
    return max(0.0, _until() - time.time())


class Snooze:
    """The same for who asks at every key: looks at the file at most each second."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int] | None = None
        self._until = 0.0

    def look_again(self) -> None:
        """Look at the file when asked next: it has just been changed from here."""
        self._looked_at = float("-inf")

    def active(self, now: float) -> bool:
        """`now` is by `time.monotonic`."""
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            stamp = _stamp()
            if stamp != self._stamp:
                self._stamp, self._until = stamp, _until()
        return self._until > time.time()


def _until() -> float:
    """0 if there is no file, or none of ours."""
    try:
        found = json.loads((paths.state_dir() / _NAME).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return 0.0
    if not isinstance(found, dict) or found.get("v") != FORMAT:
        return 0.0
    until = found.get("until")
    if isinstance(until, bool) or not isinstance(until, int | float):
        return 0.0
    # A file from a clock that was wrong must not silence us for years. NaN is not less either.
    return float(until) if until <= time.time() + 60 * LONGEST_MINUTES else 0.0


def _stamp() -> tuple[int, int] | None:
    try:
        status = (paths.state_dir() / _NAME).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
