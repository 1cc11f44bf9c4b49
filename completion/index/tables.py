"""What can be asked of one index database. Files stand in the order of their paths."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from completion.imports import Import
from completion.index.rows import to_import, to_symbol
from completion.index.schema import FILE_SHIFT, rows_of
from completion.outline import Symbol

# Of a name that has more definitions than this, those in the files indexed first are looked at.
_MOST = 200
_FILE = "f.id, d.path, f.name, f.language, f.lines"
_FILES = "files f JOIN folders d ON d.id = f.folder"
_SYMBOL = "s.kind, s.name, s.container, s.signature, s.doc, s.first, s.more, s.local"


@dataclass(frozen=True, slots=True)
class File:
    """`path` is relative to the workspace, posix; of an installed package, to where it stands
    among its environment's packages. Those have ids below 0."""

    id: int
    path: str
    language: str
    lines: int


@dataclass(frozen=True, slots=True)
class Definition:
    file: File
    symbol: Symbol


class Tables:
    """The reading side of a connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def built(self) -> bool:
        row = self.db.execute("SELECT value FROM meta WHERE key = 'built'").fetchone()
        return bool(row and row[0])

    def file(self, path: str) -> File | None:
        folder, _, name = path.rpartition("/")
        found = self._files("d.path = ? AND f.name = ?", (folder, name))
        return found[0] if found else None

    def files_by_stem(self, stem: str) -> list[File]:
        return self._files("f.id IN (SELECT file FROM stems WHERE stem = ? LIMIT 400)", (stem,))

    def files_in(self, folder: str) -> list[File]:
        return self._files("d.path = ?", (folder,))

    def files_of(self, ids: Iterable[int]) -> dict[int, File]:
        ids = tuple(set(ids))
        return {f.id: f for f in self._files(f"f.id IN ({', '.join('?' * len(ids))})", ids)}

    def definitions(self, name: str, most: int) -> list[Definition]:
        found = self.db.execute(
            f"SELECT s.id, {_SYMBOL} FROM symbols s WHERE s.name = ? AND s.local = 0"  # noqa: S608
            " ORDER BY s.id LIMIT ?",
            (name, max(most, _MOST)),
        ).fetchall()
        files = self.files_of(row[0] >> FILE_SHIFT for row in found)
        return [
            Definition(files[row[0] >> FILE_SHIFT], to_symbol(row[1:]))
            for row in found
            if row[0] >> FILE_SHIFT in files
        ]

    def symbols_of(self, file: File, name: str, container: str | None) -> list[Definition]:
        query = f"SELECT {_SYMBOL} FROM symbols s WHERE s.id BETWEEN ? AND ?"  # noqa: S608
        values: list[int | str] = [*rows_of(file.id)]
        if name:
            query += " AND s.name = ?"
            values.append(name)
        if container is not None:
            query += " AND s.container = ?"
            values.append(container)
        rows = self.db.execute(query, values).fetchall()
        return [Definition(file, to_symbol(row)) for row in rows]

    def imports_of(self, file: File) -> list[Import]:
        rows = self.db.execute(
            "SELECT m.name, i.name, i.alias, i.row FROM imports i JOIN modules m"
            " ON m.id = i.module WHERE i.id BETWEEN ? AND ? ORDER BY i.id",
            rows_of(file.id),
        ).fetchall()
        return [to_import(row) for row in rows]

    def importers_of(self, stem: str) -> list[File]:
        """Also of those that import the module by its name from its package."""
        ids = self.db.execute(
            f"SELECT id >> {FILE_SHIFT} FROM imports WHERE module IN"  # noqa: S608
            " (SELECT id FROM modules WHERE stem = ?1) UNION"
            f" SELECT id >> {FILE_SHIFT} FROM imports WHERE name = ?1 AND name > '*'"
            " AND name = lower(name) LIMIT ?2",
            (stem, 2 * _MOST),
        ).fetchall()
        return sorted(self.files_of(row[0] for row in ids).values(), key=lambda f: f.path)

    def with_word(self, word: str, most: int) -> list[tuple[int]]:
        """Ids of at most so many chunks, some of them gone by now."""
        if not word.replace("_", "x").isalnum():  # no word that any chunk has
            return []
        return self.db.execute(
            "SELECT rowid FROM postings WHERE postings MATCH ? LIMIT ?", (f'"{word}"', most)
        ).fetchall()

    def with_all(self, words: Sequence[str], most: int) -> list[int]:
        """Ids of at most so many chunks that say all of these words, some of them gone by now."""
        query = " ".join(f'"{word}"' for word in words if word.replace("_", "x").isalnum())
        if not query:
            return []
        rows = self.db.execute(
            "SELECT rowid FROM postings WHERE postings MATCH ? ORDER BY rowid LIMIT ?",
            (query, most),
        )
        return [row[0] for row in rows]

    def count_with_word(self, word: str, most: int) -> int:
        """How many chunks say it, some of them gone by now; `most` of more."""
        quoted = '"' + word.replace('"', "") + '"'
        query = "SELECT count(*) FROM (SELECT 1 FROM postings WHERE postings MATCH ? LIMIT ?)"
        return self.db.execute(query, (quoted, most)).fetchone()[0]

    def chunks(self, ids: Sequence[int]) -> dict[int, tuple[int, int, int, int]]:
        """(first, last, hash, number of words) by id, of those that are still there."""
        marks = ", ".join("?" * len(ids))
        rows = self.db.execute(
            f"SELECT id, first, last, hash, words FROM chunks WHERE id IN ({marks})",  # noqa: S608
            ids,
        ).fetchall()
        return {row[0]: row[1:] for row in rows}

    def count_chunks(self) -> int:
        return self.db.execute("SELECT count(*) FROM chunks").fetchone()[0]

    def _files(self, condition: str, values: Sequence[int | str]) -> list[File]:
        rows = self.db.execute(
            f"SELECT {_FILE} FROM {_FILES} WHERE {condition} AND f.skipped = ''",  # noqa: S608
            values,
        ).fetchall()
        found = [
            File(file_id, f"{folder}/{name}" if folder else name, language, lines)
            for file_id, folder, name, language, lines in rows
        ]
        return sorted(found, key=lambda file: file.path)
