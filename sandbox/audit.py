"""A log of a run that shows if it was changed: JSON lines, each with the hash of the line before.

`{"v": 1, "n": 3, "before": HASH, "time": SECONDS, "event": NAME, "data": {...}}`; the first line's
`before` is the hash of the run's id. A run that ends seals its log: a last line says so, and a
file beside it, `ID.head`, has the number of lines and the last one's hash, so that neither a
changed line nor a missing end goes unseen. Who can write both files can write another history:
note the head that `tandem audit verify` prints, and compare.

A line is on the disk before `append` returns. A line that a crash cut off is taken away by the
run that goes on, which says so in the log.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem import paths, trace
from tandem.errors import TandemError, UsageError

FORMAT = 1
SEALED = "sealed"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Verdict:
    """What became of a log. `line` is the first that is not as it was written, from 1; 0 if the
    lines are well, and `why` then says what else is missing. `head` is the last good line's hash.
    """

    id: str
    intact: bool
    lines: int
    head: str
    line: int = 0
    why: str = ""


class Log:
    """The log of one run, open for appending by one process at a time."""

    def __init__(self, id: str, descriptor: int, lines: int, head: str) -> None:
        self.id = id
        self.lines = lines
        self.head = head
        self._descriptor = descriptor

    def append(self, event: str, **data: Any) -> None:
        """Write one event, without the secrets in it. Raises TandemError if the disk is full."""
        line = {"v": FORMAT, "n": self.lines + 1, "before": self.head, "time": time.time()}
        line |= {"event": event, "data": trace.scrub(data)}
        text = json.dumps(line, ensure_ascii=False, default=lambda one: trace.scrub(str(one)))
        raw = text.encode("utf-8", "backslashreplace")
        start = os.lseek(self._descriptor, 0, os.SEEK_END)
        with _told(file_of(self.id)):
            try:
                _write_all(self._descriptor, raw + b"\n")
                os.fsync(self._descriptor)
            except OSError:
                with contextlib.suppress(OSError):  # half a line would end the chain
                    os.ftruncate(self._descriptor, start)
                raise
        self.lines, self.head = self.lines + 1, _hash(raw)

    def seal(self) -> str:
        """End the log; the hash of its last line."""
        self.append(SEALED, lines=self.lines + 1)
        with _told(file_of(self.id)), paths.atomic_write(_head_file(file_of(self.id))) as stream:
            json.dump({"v": FORMAT, "id": self.id, "lines": self.lines, "hash": self.head}, stream)
        return self.head

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def folder() -> Path:
    return paths.state_dir() / "audit"


def file_of(id: str) -> Path:
    """Where the log of a run is. Raises UsageError for an id that is none."""
    if not _ID.fullmatch(id):
        raise UsageError(f"{id!r} is no run's id.", "See: tandem audit list")
    return folder() / f"{id}.jsonl"


def start(id: str) -> Log:
    """Begin a log. Raises TandemError if there is one of this id already."""
    file = file_of(id)
    with _told(file):
        paths.private_dir(file.parent)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o600)
    _alone(descriptor, id)
    return Log(id, descriptor, 0, _hash(id.encode()))


def go_on(id: str) -> Log:
    """Open a log that a run left, to append to it.

    Raises TandemError if another process writes it, or if it is not as it was written.
    """
    file = file_of(id)
    with _told(file):
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _alone(descriptor, id)
        data = file.read_bytes()
        whole = data.rfind(b"\n") + 1
        lines, head, bad, why = _chain(data[:whole], id)
        if not bad:
            why = _against_head(file, data[:whole].split(b"\n")[:-1])
        if bad or why:
            told = f"line {bad}: {why}" if bad else why
            raise TandemError(f"The log of {id} was changed ({told}).", "Start a new run.")
        if whole < len(data):
            os.ftruncate(descriptor, whole)
    except BaseException:
        os.close(descriptor)
        raise
    log = Log(id, descriptor, lines, head)
    log.append("resumed", cut_off=len(data) - whole)
    return log


def verify(file: Path) -> Verdict:
    """Whether a log is as its run wrote it, to the end. Raises UsageError if there is none."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}.", "See: tandem audit list"
        ) from error
    id = file.name.removesuffix(".jsonl")
    lines, head, bad, why = _chain(data, id)
    if bad:
        return Verdict(id, False, lines, head, bad, why)
    rows = data.split(b"\n")[:-1]
    why = _against_head(file, rows)
    if not why and (not rows or json.loads(rows[-1])["event"] != SEALED):
        why = "it is not sealed: the run was stopped, or lines at its end are missing"
    elif not why and not _head_file(file).exists():
        why = f"{_head_file(file).name} is missing: lines at its end may be, too"
    return Verdict(id, not why, lines, head, 0, why)


def all_files() -> list[Path]:
    """The logs on this machine, the newest last."""
    return sorted(folder().glob("*.jsonl"), key=lambda file: (file.stat().st_mtime_ns, file.name))


def _chain(data: bytes, id: str) -> tuple[int, str, int, str]:
    """How many lines are well, the last one's hash, the first that is not, and why."""
    head, n = _hash(id.encode()), 0
    for n, raw in enumerate(_lines(data), 1):
        if not raw.endswith(b"\n"):
            return n - 1, head, n, "it is cut off"
        raw = raw[:-1]
        line = _parsed(raw)
        if line is None:
            return n - 1, head, n, "it is no line of a log"
        if line["v"] != FORMAT:
            return n - 1, head, n, f"its format is {line['v']!r}, not {FORMAT}"
        if line["before"] != head:
            told = "the line before it" if n > 1 else "the run's id"
            return n - 1, head, n, f"it does not follow from {told}"
        if line["n"] != n:
            return n - 1, head, n, f"it says that it is line {line['n']!r}"
        head = _hash(raw)
    return n, head, 0, ""


def _against_head(file: Path, rows: list[bytes]) -> str:
    """What does not fit the head file; "" if all does, or there is none."""
    beside = _head_file(file)
    try:
        said = json.loads(beside.read_bytes())
        lines, known = said["lines"], said["hash"]
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{beside.name} cannot be read"
    if not isinstance(lines, int) or lines < 1 or not isinstance(known, str):
        return f"{beside.name} is damaged"
    if lines > len(rows):
        return f"it was sealed with {lines} lines and has {len(rows)}"
    if _hash(rows[lines - 1]) != known:
        return f"line {lines} is not the one that it was sealed with"
    return ""


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end + 1
        yield data[start:end]
        start = end


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    known = {"v", "n", "before", "time", "event", "data"}
    return line if isinstance(line, dict) and line.keys() == known else None


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _head_file(file: Path) -> Path:
    return file.with_name(f"{file.name.removesuffix('.jsonl')}.head")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _alone(descriptor: int, id: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise TandemError(f"Another process runs {id}.", "Wait for it, or stop it.") from error


@contextlib.contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise TandemError(f"{file} exists already.", "Take another id.") from error
    except FileNotFoundError as error:
        raise UsageError(f"There is no log {file}.", "See: tandem audit list") from error
    except OSError as error:
        raise TandemError(
            f"The log {file} cannot be written: {error.strerror}.", "Run: tandem doctor"
        ) from error
