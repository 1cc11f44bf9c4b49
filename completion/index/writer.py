"""How digests of files become rows."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from completion.index.digest import Digest
from completion.index.modules import module_stem, stems_of
from completion.index.scan import Found
from completion.index.schema import FILE_SHIFT, MOST_ROWS, rows_of, transaction

PENDING = "not read yet"
_ADD_SYMBOL = "INSERT INTO symbols VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_IMPORT = "INSERT INTO imports VALUES(?, ?, ?, ?, ?)"
_ADD_CHUNK = "INSERT INTO chunks VALUES(?, ?, ?, ?, ?)"
_ADD_STEM = "INSERT OR IGNORE INTO stems VALUES(?, ?)"
_ADD_WORDS = "INSERT INTO postings(rowid, words) VALUES(?, ?)"
_SET_FILE = (
    "UPDATE files SET language = ?, lines = ?, size = ?, mtime = ?, hash = ?, skipped = ?,"
    " next_chunk = ? WHERE id = ?"
)


class Writer:
    """Of one database. Whatever changes it stands in a `with writer.transaction()`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._modules: dict[str, int] = {}
        self._folders: dict[str, int] = {}
        self._seen = -1
        # What many files add to a table goes there at once: that is half the time.
        self._rows: dict[str, list[tuple]] = {}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What the block writes appears whole or not at all."""
        with transaction(self._db):
            seen = self._db.execute("PRAGMA data_version").fetchone()[0]
            if seen != self._seen:  # another process may have removed what we remember
                self._modules.clear()
                self._folders.clear()
                self._seen = seen
            self._rows.clear()
            yield
            for statement, rows in self._rows.items():
                self._db.executemany(statement, rows)

    def add(self, found: Iterable[Found]) -> None:
        """Rows for files that are not in yet, to be filled by `put`: ids in the order given."""
        for one in found:
            folder, name = _parts(one.path)
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO files(folder, name, language, lines, size, mtime, hash,"
                " skipped) VALUES(?, ?, ?, 0, 0, 0, 0, ?)",
                (self._folder(folder), name, one.language, PENDING),
            )
            if cursor.rowcount:
                self._later(_ADD_STEM, [(stem, cursor.lastrowid) for stem in stems_of(one.path)])

    def put(self, one: Digest, over: int | None = None) -> None:
        """What is known of a file from now on; its row must be there.

        Not if the row's `mtime` is not `over`, if given: then another process has read the file
        since.
        """
        folder, name = _parts(one.path)
        row = self._db.execute(
            "SELECT id, mtime, skipped, next_chunk FROM files WHERE folder = ? AND name = ?",
            (self._folder(folder), name),
        ).fetchone()
        if row is None or over not in (None, row[1]):
            return
        file_id, _, skipped, next_chunk = row
        if one.same:
            self._db.execute(
                "UPDATE files SET size = ?, mtime = ? WHERE id = ?", (one.size, one.mtime, file_id)
            )
            return
        if next_chunk + len(one.chunks) > MOST_ROWS:  # saved some ten thousand times
            self.remove(one.path)
            self.add([Found(one.path, one.language, 0, 0)])
            return self.put(one)
        if skipped != PENDING:
            self._drop_outline(file_id)
        base = file_id << FILE_SHIFT
        symbols = enumerate(one.symbols[:MOST_ROWS], base)
        self._later(_ADD_SYMBOL, [(n, *symbol) for n, symbol in symbols])
        imports = enumerate(one.imports[:MOST_ROWS], base)
        language = one.language
        self._later(_ADD_IMPORT, [(n, self._module(i[0], language), *i[1:]) for n, i in imports])
        known = self._chunks(file_id) if next_chunk else {}
        next_chunk = self._put_chunks(file_id, next_chunk, one.chunks, known)
        row = (language, one.lines, one.size, one.mtime, one.hash, one.skipped, next_chunk, file_id)
        self._later(_SET_FILE, [row])

    def remove(self, path: str) -> bool:
        """Whether there was such a file."""
        folder, name = _parts(path)
        row = self._db.execute(
            "SELECT f.id FROM files f JOIN folders d ON d.id = f.folder"
            " WHERE d.path = ? AND f.name = ?",
            (folder, name),
        ).fetchone()
        if row is None:
            return False
        file_id = row[0]
        self._drop_outline(file_id)
        self._put_chunks(file_id, 0, (), self._chunks(file_id))
        for stem in stems_of(path):
            self._db.execute("DELETE FROM stems WHERE stem = ? AND file = ?", (stem, file_id))
        self._db.execute("DELETE FROM files WHERE id = ?", (file_id,))
        return True

    def remember(self, key: str, value: int | str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    def recall(self, key: str) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else 0

    def index_words(self, rows: Iterable[tuple[int, str]]) -> None:
        """(chunk, its words) of chunks that are in; ascending ids are cheapest."""
        self._db.executemany(_ADD_WORDS, rows)

    def forget_words(self) -> None:
        """Of all chunks; those of chunks that are gone with them."""
        self._db.execute("INSERT INTO postings(postings) VALUES('delete-all')")
        self.remember("dead", 0)

    def _later(self, statement: str, rows: list[tuple]) -> None:
        """By the end of the transaction."""
        self._rows.setdefault(statement, []).extend(rows)

    def _chunks(self, file_id: int) -> dict[int, list[int]]:
        """A file's chunks by the hash of their text."""
        known: dict[int, list[int]] = {}
        for chunk_id, text in self._db.execute(
            "SELECT id, hash FROM chunks WHERE id BETWEEN ? AND ?", rows_of(file_id)
        ):
            known.setdefault(text, []).append(chunk_id)
        return known

    def _put_chunks(
        self,
        file_id: int,
        next_chunk: int,
        chunks: Sequence[tuple[int, int, int, int, str]],
        known: dict[int, list[int]],
    ) -> int:
        """A chunk whose text the file had already keeps its id, and with it its words."""
        new: list[tuple] = []
        words: list[tuple] = []
        for first, last, text, count, said in chunks:
            if known.get(text):
                moved = (first, last, known[text].pop(0))
                self._db.execute("UPDATE chunks SET first = ?, last = ? WHERE id = ?", moved)
            else:
                chunk_id = (file_id << FILE_SHIFT) + next_chunk
                next_chunk += 1
                new.append((chunk_id, first, last, text, count))
                words.append((chunk_id, said))
        gone = [(chunk_id,) for ids in known.values() for chunk_id in ids]
        if gone:
            self._db.executemany("DELETE FROM chunks WHERE id = ?", gone)
            self.remember("dead", self.recall("dead") + len(gone))
        self._later(_ADD_CHUNK, new)
        self._later(_ADD_WORDS, words)
        return next_chunk

    def _drop_outline(self, file_id: int) -> None:
        self._db.execute("DELETE FROM symbols WHERE id BETWEEN ? AND ?", rows_of(file_id))
        self._db.execute("DELETE FROM imports WHERE id BETWEEN ? AND ?", rows_of(file_id))

    def _folder(self, path: str) -> int:
        if path not in self._folders:
            self._folders[path] = self._interned("folders(path)", "path", (path,))
        return self._folders[path]

    def _module(self, name: str, language: str) -> int:
        if name not in self._modules:
            values = (name, module_stem(name, language))
            self._modules[name] = self._interned("modules(name, stem)", "name", values)
        return self._modules[name]

    def _interned(self, columns: str, key: str, values: tuple[str, ...]) -> int:
        marks = ", ".join("?" * len(values))
        self._db.execute(f"INSERT OR IGNORE INTO {columns} VALUES({marks})", values)
        table = columns.partition("(")[0]
        query = f"SELECT id FROM {table} WHERE {key} = ?"  # noqa: S608
        return self._db.execute(query, values[:1]).fetchone()[0]


def _parts(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name
