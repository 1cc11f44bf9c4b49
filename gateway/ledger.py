"""The request log: who asked which model, who answered, tokens, times, cost. No text of either.

`state_dir()/gateway/requests.jsonl`, events of `tandem.trace` of the kind "gateway": written and
rotated as the trace is.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.outcome import Outcome
from gateway.quota import DAY
from tandem import paths, trace

log = logging.getLogger(__name__)

KIND = "gateway"
# Lines of so long are written together: a thread that wakes for each one costs more than the line.
GATHER_SECONDS = 0.02
_NUMBERS = (
    *("prompt_tokens", "cached_tokens", "completion_tokens", "tries", "status"),
    *("cost", "saved"),
)


@dataclass(frozen=True)
class Entry:
    """One request; `at` in seconds since 1970."""

    at: float
    user: str
    model: str
    end: str
    first_ms: float | None
    total_ms: float
    details: dict[str, Any]

    def number(self, name: str) -> float:
        return float(self.details[name])

    @property
    def backend(self) -> str:
        return str(self.details.get("backend") or "")

    @property
    def tokens(self) -> int:
        return int(self.number("prompt_tokens") + self.number("completion_tokens"))

    @property
    def cache_hit(self) -> bool:
        return bool(self.details.get("cache_hit"))


def default_file() -> Path:
    return paths.state_dir() / "gateway" / "requests.jsonl"


class Writer:
    """Writes in a thread of its own, in the order of ends: no request waits for the disk.

    Python waits for what is not written yet before it exits.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._waiting: deque[Outcome] = deque()
        self._called = False
        self._thread = ThreadPoolExecutor(1, "ledger")

    def add(self, outcome: Outcome) -> None:
        """Call it from one thread. The outcome must not change any more."""
        self._waiting.append(outcome)
        if not self._called:
            self._called = True
            self._thread.submit(self._write)

    def _write(self) -> None:
        time.sleep(GATHER_SECONDS)
        self._called = False  # from now on, who comes calls again
        try:
            events = [_event(self._waiting.popleft()) for _ in range(len(self._waiting))]
            trace.write_all(events, self._file)
        except Exception:  # nobody waits for this thread, to be told
            log.exception("the request log failed")


def _event(outcome: Outcome) -> trace.Event:
    stages = {"total": outcome.total_ms}
    if outcome.first_ms is not None:
        stages["first"] = outcome.first_ms
    told = vars(outcome)
    left_out = {"user", "model", "end", "first_ms", "total_ms", "began"}
    return trace.Event(
        KIND,
        outcome.user,
        model=outcome.model,
        reason=outcome.end,
        stages_ms=stages,
        details={name: value for name, value in told.items() if name not in left_out},
    )


def read(file: Path, since: float = 0.0) -> Iterator[Entry]:
    """Requests that ended after `since`, oldest first. Damaged lines are passed over."""
    for event in trace.read(file=file):
        entry = _entry(event) if event["kind"] == KIND else None
        if entry is not None and entry.at >= since:
            yield entry


def today(file: Path) -> dict[str, int]:
    """Tokens by user, of this day in UTC. Answers from the cache cost none."""
    used: dict[str, int] = {}
    for entry in read(file, since=time.time() // DAY * DAY):
        if not entry.cache_hit:
            used[entry.user] = used.get(entry.user, 0) + entry.tokens
    return used


def _entry(event: dict[str, Any]) -> Entry | None:
    details, stages = event["details"], event["stages_ms"]
    try:
        for name in _NUMBERS:
            float(details[name])
        first = stages.get("first")
        return Entry(
            at=float(event["time"]),
            user=str(event["source"]),
            model=str(event["model"]),
            end=str(event["reason"]),
            first_ms=None if first is None else float(first),
            total_ms=float(stages["total"]),
            details=details,
        )
    except (KeyError, TypeError, ValueError):
        return None
