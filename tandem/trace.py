"""What happened to each request, and why: append-only JSONL, one event a line.

An event is written whole with one `write` to a file opened for appending, so that several
processes can share the file. Secrets are taken out first. The file is rotated by size and old
rotations are removed by age. A trace that cannot be written (a full disk, a read-only folder)
never stops the request it is about: the failure is counted and told by `tandem doctor`.
"""

import json
import os
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tandem import paths, secrets

FORMAT = 1
MAX_BYTES = 8 * 1024 * 1024
MAX_AGE_DAYS = 14
KEPT_ROTATIONS = 3
# Characters of texts that are looked through once: the keys of events, and what they often say.
LONGEST_KEPT = 80

_lost = 0


@dataclass
class Event:
    """One request from start to end.

    `stages_ms` maps a stage's name to its milliseconds; `shown` is the text the user got, or
    None with the `reason` why not. `details` holds what else a reader may want to see.
    """

    kind: str
    source: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    model: str = ""
    shown: str | None = None
    reason: str = ""
    stages_ms: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    time: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        return {
            "v": FORMAT,
            "id": self.id,
            "time": round(self.time, 3),
            "kind": self.kind,
            "source": self.source,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "model": self.model,
            "shown": self.shown,
            "reason": self.reason,
            "stages_ms": {name: round(ms, 2) for name, ms in self.stages_ms.items()},
            "details": self.details,
        }


_KEYS = Event("").to_json().keys()


def write(event: Event, file: Path | None = None) -> None:
    """Append one event. Never raises on an I/O error; see `lost`."""
    write_all([event], file)


def write_all(events: Sequence[Event], file: Path | None = None) -> None:
    """As `write`, all with one access to the file."""
    global _lost
    file = file or paths.trace_file()
    data = b"".join(map(_line, events))
    try:
        descriptor = _open(file)
        try:
            if os.write(descriptor, data) < len(data):  # the disk is full
                _lost += len(events)
        finally:
            os.close(descriptor)
    except OSError:
        _lost += len(events)


def _line(event: Event) -> bytes:
    text = json.dumps(scrub(event.to_json()), ensure_ascii=False, default=str)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _open(file: Path) -> int:
    """For appending, once it is rotated if it is due."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        descriptor = os.open(file, flags, 0o600)
    except FileNotFoundError:
        paths.private_dir(file.parent)
        descriptor = os.open(file, flags, 0o600)
    if os.fstat(descriptor).st_size < MAX_BYTES:
        return descriptor
    os.close(descriptor)
    _rotate(file)
    return os.open(file, flags, 0o600)


def lost() -> int:
    """How many events this process could not write."""
    return _lost


def read(last: int | None = None, file: Path | None = None) -> list[dict[str, Any]]:
    """The newest `last` events (all, if None), oldest first. Damaged lines are passed over."""
    newest: deque[dict[str, Any]] = deque(maxlen=last)
    for part in files(file):
        newest.extend(_events(part))
    return list(newest)


def files(file: Path | None = None) -> list[Path]:
    """The files of the trace, oldest first; the last may not exist yet."""
    file = file or paths.trace_file()
    return [*reversed(_rotations(file)), file]


def parse(line: str | bytes) -> dict[str, Any] | None:
    """The event on a line, None if there is none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(event, dict) and event.get("v") == FORMAT and event.keys() >= _KEYS
    if not whole or not all(isinstance(event[name], dict) for name in ("stages_ms", "details")):
        return None
    return event


def _events(file: Path) -> Iterator[dict[str, Any]]:
    try:
        stream = file.open(encoding="utf-8", errors="replace")
    except OSError:
        return
    with stream:
        yield from filter(None, map(parse, stream))


def scrub(value: Any) -> Any:
    """What JSON can say, without the secrets in its texts, and in what a telling name names."""
    if isinstance(value, str):
        return _redacted(value) if len(value) <= LONGEST_KEPT else secrets.redact(value)
    if isinstance(value, dict):
        return {
            scrub(key): item if type(item) in _PLAIN else _named(str(key), item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    return value


# Most of what an event holds: its figures.
_PLAIN = frozenset({float, int, bool, type(None)})


def _named(key: str, item: Any) -> Any:
    if isinstance(item, str) and _tells(key) and secrets.find(f"{key} = {item!r}"):
        return secrets.REDACTED
    return scrub(item)


_tells = lru_cache(maxsize=1024)(secrets.tells)
_redacted = lru_cache(maxsize=4096)(secrets.redact)


def _rotations(file: Path) -> list[Path]:
    """Existing rotated files, newest first."""
    candidates = [file.with_name(f"{file.name}.{n}") for n in range(1, KEPT_ROTATIONS + 1)]
    return [path for path in candidates if path.exists()]


def _rotate(file: Path) -> None:
    if not file.exists() or file.stat().st_size < MAX_BYTES:
        return
    for path in _rotations(file):
        if time.time() - path.stat().st_mtime > MAX_AGE_DAYS * 86_400:
            path.unlink(missing_ok=True)
    for path in reversed(_rotations(file)):
        number = int(path.suffix[1:])
        if number < KEPT_ROTATIONS:
            path.replace(file.with_name(f"{file.name}.{number + 1}"))
    file.replace(file.with_name(f"{file.name}.1"))
