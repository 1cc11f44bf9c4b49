"""The index's SQLite file: its tables, how it is opened, and when it is of no use any more.

One file a workspace, in `paths.index_dir()`. Row ids carry the file: a symbol, an import or a
chunk of file f has an id of f << FILE_SHIFT and more, so that neither a column nor an index has
to tell which file a row is of, and rows in the order of their ids are in the order of files.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tandem import paths

VERSION = 3
FILE_SHIFT = 16
MOST_ROWS = (1 << FILE_SHIFT) - 1  # of a kind in a file: those after are left out
_APPLICATION = 0x54444D58  # "TDMX"
_NONE = (0, 0)  # what SQLite says of a file that is just being made
_BUSY_S = 20.0  # another process's transaction takes a second at most

# `skipped`: why a file's text is not in ("" for those that are); `mtime` in nanoseconds, 0 if
# what stands here may be of another moment; `next_chunk` so that no chunk's id comes twice.
_TABLES = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE folders(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE files(
    id INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL, name TEXT NOT NULL,
    language TEXT NOT NULL, lines INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
    hash INTEGER NOT NULL, skipped TEXT NOT NULL, next_chunk INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX files_by_name ON files(folder, name);
CREATE TABLE stems(stem TEXT, file INTEGER, PRIMARY KEY(stem, file)) WITHOUT ROWID;
CREATE TABLE symbols(
    id INTEGER PRIMARY KEY, kind, name TEXT, container TEXT, signature TEXT, doc TEXT,
    first INTEGER, more INTEGER, local INTEGER);
CREATE INDEX symbols_by_name ON symbols(name) WHERE local = 0;
CREATE TABLE modules(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, stem TEXT NOT NULL);
CREATE INDEX modules_by_stem ON modules(stem);
CREATE TABLE imports(id INTEGER PRIMARY KEY, module INTEGER, name TEXT, alias TEXT, row INTEGER);
CREATE INDEX imports_by_module ON imports(module);
CREATE INDEX imports_by_name ON imports(name) WHERE name > '*' AND name = lower(name);
CREATE TABLE chunks(
    id INTEGER PRIMARY KEY, first INTEGER, last INTEGER, hash INTEGER, words INTEGER);
CREATE VIRTUAL TABLE postings USING fts5(
    words, content='', detail=none, columnsize=0, tokenize="ascii tokenchars '_'");
"""
# A process that could not write the cache folder keeps its indexes here, by their shared name.
_in_memory: dict[str, sqlite3.Connection] = {}


class UnusableError(Exception):
    """The file is damaged, of another version, or no index at all: it must be made anew."""


def file_of(root: Path) -> Path:
    """Where the index of a workspace is."""
    digest = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return paths.index_dir() / f"{digest[:20]}.sqlite"


def open_to_read(file: Path) -> sqlite3.Connection | None:
    """None if there is none yet. Raises UnusableError."""
    if not file.is_file():
        return _connect(_shared_name(file)) if _shared_name(file) in _in_memory else None
    with _unusable():
        db = _connect(f"{file.as_uri()}?mode=rw")
        if _version(db) == _NONE:
            db.close()
            return None
        _check(db)
        db.execute("PRAGMA query_only = 1")
        return db


def open_to_write(file: Path) -> sqlite3.Connection:
    """Makes the file if there is none. Raises UnusableError, sqlite3.OperationalError, OSError."""
    paths.private_dir(file.parent)
    with _unusable():
        db = _connect(f"{file.as_uri()}?mode=rwc")
        if _version(db) == _NONE:
            db.execute("PRAGMA journal_mode = WAL")
            _make(db)
        _check(db)
        return db


def open_in_memory(file: Path | None = None) -> sqlite3.Connection:
    """An empty index; with `file`, what this process's readers find in the file's place."""
    if file is None:
        db = _connect(":memory:")
        _make(db)
        return db
    name = _shared_name(file)
    if name not in _in_memory:
        _in_memory[name] = _connect(name)  # stays open: the last one closed would end it
        _make(_in_memory[name])
    return _connect(name)


def remove(file: Path) -> None:
    """A process that has it open keeps what it has until it looks again."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means a broken file, not a full disk or a lock."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such table" in str(error)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """What the block writes appears whole or not at all."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself takes it back when the disk is full
            db.execute("ROLLBACK")
        raise


def rows_of(file_id: int) -> tuple[int, int]:
    """The lowest and the highest id that rows of this file can have."""
    return file_id << FILE_SHIFT, ((file_id + 1) << FILE_SHIFT) - 1


def _connect(name: str) -> sqlite3.Connection:
    # Indexes are used by one thread and closed by another; their owners hold a lock.
    db = sqlite3.connect(
        name, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, uri=True
    )
    db.executescript(
        "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;"
        "PRAGMA read_uncommitted = 1;"
    )
    return db


def _make(db: sqlite3.Connection) -> None:
    with transaction(db):
        if _version(db) == _NONE:  # no other process was faster
            for statement in _TABLES.split(";\n"):
                db.execute(statement)


def _check(db: sqlite3.Connection) -> None:
    version = _version(db)
    if version != (_APPLICATION, VERSION):
        db.close()
        raise UnusableError(f"version {version[1]}, not {VERSION}")
    db.execute("SELECT count(*) FROM meta").fetchone()


@contextmanager
def _unusable() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise UnusableError(str(error)) from error
        raise


def _version(db: sqlite3.Connection) -> tuple[int, int]:
    one = lambda name: db.execute(f"PRAGMA {name}").fetchone()[0]  # noqa: E731
    return one("application_id"), one("user_version")


def _shared_name(file: Path) -> str:
    return f"file:{file.name}?mode=memory&cache=shared"
