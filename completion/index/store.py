"""The writing end of a workspace's database, kept open from one change to the next."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from completion.index import schema
from completion.index.writer import Writer
from tandem.errors import TandemError

_FULL = 1 << 20  # bytes left on a disk that count as none


class Store:
    """Not for two threads at once. `note` says what a person should know, "" if nothing."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._db: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        self._inode = 0
        self.note = ""

    def open(self) -> tuple[sqlite3.Connection, Writer]:
        """In memory, and says so, where nothing can be written. Raises UnusableError."""
        if self._db is None or self._writer is None or self._inode != self._now():
            self.close()
            self._db = self._opened()
            self._writer = Writer(self._db)
            self._inode = self._now()
        return self._db, self._writer

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = self._writer = None

    def remove(self) -> None:
        """The damaged file; `open` makes another."""
        self.close()
        schema.remove(self._file)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process is in here; where the lock cannot be made, none can write either."""
        lock = FileLock(self._file.with_suffix(".lock"))
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire()
        except OSError:
            yield
            return
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def told(self) -> Iterator[None]:
        """What the disk refuses becomes a TandemError; what was written before stays."""
        try:
            yield
        except sqlite3.OperationalError as error:
            self.close()
            folder = self._file.parent
            if shutil.disk_usage(folder).free < _FULL:
                raise TandemError(
                    f"The disk of {folder} is full: the index could not be finished.",
                    "Free some space and try again: what is written is kept.",
                ) from error
            raise TandemError(f"The index in {folder} could not be written: {error}.") from error

    def _opened(self) -> sqlite3.Connection:
        try:
            db = schema.open_to_write(self._file)
            with schema.transaction(db):  # a read-only file opens all the same
                db.execute("INSERT OR IGNORE INTO meta VALUES('built', 0)")
            return db
        except (OSError, sqlite3.OperationalError) as error:
            if isinstance(error, sqlite3.Error) and not _is_read_only(error):
                raise
            self.note = (
                f"The cache folder {self._file.parent} cannot be written: the index lives in"
                " memory and ends with this process."
            )
            return schema.open_in_memory(self._file)

    def _now(self) -> int:
        try:
            return self._file.stat().st_ino
        except OSError:  # none: in memory, or somebody removed it
            return 0


def _is_read_only(error: sqlite3.Error) -> bool:
    code = error.sqlite_errorcode & 0xFF
    return code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
