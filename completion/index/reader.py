"""The index as a request asks it: what the disk's database has, and unsaved buffers over it.

A buffer is digested when a lookup first needs it, into a second database, in memory, with the
same tables. Installed packages that a lookup names go there too.
"""

import math
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import TypeVar

from completion.imports import Import
from completion.index import scan, schema
from completion.index.digest import normal
from completion.index.overlay import Overlay, is_own
from completion.index.packages import Packages
from completion.index.tables import Definition, File, Tables
from completion.index.words import hash_of, line_starts, terms_of

_COMMON = 1000  # chunks: what so many say is no hint
_COMMON_SHARE = 50  # or a fiftieth of them,
_LEAST_COMMON = 25  # but not fewer than these
_K1, _B = 1.2, 0.75  # of BM25
_ENOUGH = 8  # times as many as asked for are looked at
_REMEMBERED = 200  # words whose chunks are kept until the index changes
_MEAN = 40  # words of a chunk: about the mean over much code
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows `first` to `last` of a file, from 0. `score`: the higher the nearer."""

    id: int
    file: File
    first: int
    last: int
    score: float


class Index:
    """Reads what an `Indexer` wrote, also while it writes. Any thread may use or close it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._path = schema.file_of(self.root)
        self._lock = threading.RLock()
        self._tables: Tables | None = None
        self._inode = 0
        self._overlay = Overlay()
        self._packages = Packages(self.root)
        self._closed = False
        self._counted = (-1, 0)
        self._common: set[str] = set()
        self._mentions: dict[str, int] = {}
        self._said: dict[str, list[tuple[int]]] = {}

    @property
    def ready(self) -> bool:
        """A build has been completed once. Lookups work earlier, on what is there."""
        return self._ask(lambda tables: tables.built(), False)

    @property
    def exists(self) -> bool:
        """There is something to ask, complete or not."""
        return self._ask(lambda tables: True, False)

    @property
    def generation(self) -> tuple[int, int, int]:
        """Another one whenever an answer may be another."""
        with self._lock:
            seen = self._ask(lambda t: t.db.execute("PRAGMA data_version").fetchone()[0], -1)
            return self._inode, seen, self._overlay.changes

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._forget()
            self._overlay.close()
            self._packages.close()
            # Whoever asks from now on gets nothing, and no error.
            self._overlay, self._packages = Overlay(), Packages(self.root)

    def admits(self, path: str) -> bool:
        """Whether a file may be in at all, saved or not: no secret, nothing ignored or generated."""
        try:
            return isinstance(scan.file(self.root, path), scan.Found)
        except OSError:  # it was never saved
            return True

    def set_buffer(self, path: str, text: str | None) -> None:
        """What an editor has of a file, until None: then the file on disk counts again."""
        with self._lock:
            self._overlay.set(path, text)

    def file(self, path: str) -> File | None:
        with self._lock:
            return self._overlay.file(path) or self._ask(lambda tables: tables.file(path), None)

    def files_by_stem(self, stem: str, limit: int = 50) -> list[File]:
        """By a file's name without its ending; `__init__.py` and the like also by their folder's."""
        return self._files(lambda tables: tables.files_by_stem(stem), limit)

    def files_in(self, folder: str, limit: int = 200) -> list[File]:
        """Directly in that folder; "" is the root."""
        return self._files(lambda tables: tables.files_in(folder), limit)

    def importers_of(self, stem: str, limit: int = 50, exclude: str = "") -> list[File]:
        """Files that import a module whose last component this is, or this name of any."""
        return self._files(lambda tables: tables.importers_of(stem), limit, exclude)

    def definitions(self, name: str, limit: int = 50, exclude: str = "") -> list[Definition]:
        """Those of this name that other files can use, by path and row.

        A buffer of `exclude` is not read again for this: name the file being typed in.
        """
        with self._lock:
            found = self._ask(lambda tables: tables.definitions(name, limit), [])
            found = [d for d in found if not self._overlay.has(d.file.path)]
            found += self._overlay.fresh(exclude).definitions(name, limit)
            found = [d for d in found if d.file.path != exclude]
            return sorted(found, key=lambda d: (d.file.path, d.symbol.first))[:limit]

    def symbols_of(
        self, file: File, name: str = "", container: str | None = None
    ) -> list[Definition]:
        """All of a file, in its order; only those of a name, or in a container, if given."""
        return self._of(file, lambda tables, own: tables.symbols_of(own, name, container))

    def imports_of(self, file: File) -> list[Import]:
        return self._of(file, lambda tables, own: tables.imports_of(own))

    def neighbours(self, terms: Sequence[str], limit: int, exclude: str = "") -> list[Chunk]:
        """The chunks of other files that say most of these words (see `terms_of`), best first.

        BM25, in which a chunk says a word once at most. Words that very many chunks say do not
        count. The longest chunks may miss out where thousands of others say as much.
        """
        with self._lock:
            overlaid = self._overlay.fresh(exclude)
            scores = self._scores(terms, overlaid)
            rank = lambda one: (-scores[one], one)  # noqa: E731
            found = self._chunks(
                nsmallest(_ENOUGH * limit, scores, key=rank), scores, overlaid, exclude
            )
            if len(found) < limit:  # most of the best are gone, or of `exclude`
                found = self._chunks(sorted(scores, key=rank), scores, overlaid, exclude)
            found.sort(key=lambda c: (-c.score, c.file.path, c.first))
            return found[:limit]

    def saying(self, terms: Sequence[str], limit: int) -> list[Chunk]:
        """Chunks that say all of these words (see `terms_of`), common ones too, by their place."""
        with self._lock:
            overlaid = self._overlay.fresh("")
            own = overlaid.with_all(terms, limit)
            ids = own + self._ask(lambda tables: tables.with_all(terms, limit), [])
            found = self._chunks(ids, dict.fromkeys(ids, 1.0), overlaid, "")
            return sorted(found, key=lambda c: (c.file.path, c.first))[:limit]

    def mentions(self, names: Collection[str], most: int = 1000) -> dict[str, int]:
        """How many chunks on disk say each of these identifiers, counted up to `most`."""
        with self._lock:
            self._count()  # forgets what is known of an older state
            known = self._mentions
            for name in names:
                if name not in known:
                    whole = max(terms_of(name), key=len, default="")
                    found = self._ask(
                        lambda tables, one=whole: tables.count_with_word(one, most), 0
                    )
                    known[name] = found if whole else 0
            return {name: known[name] for name in names}

    def lines(self, file: File, first: int, last: int) -> str | None:
        """These rows as they are now, in the buffer or on disk, without the last line's end."""
        with self._lock:
            data = self._data(file)
        if data is None:
            return None
        return "\n".join(data.decode("utf-8", "replace").split("\n")[first : last + 1])

    def text_of(self, chunk: Chunk) -> str | None:
        """None if it has changed since it was indexed."""
        with self._lock:
            data = self._data(chunk.file)
            if is_own(chunk.id):
                row = self._overlay.tables.chunks([chunk.id]).get(chunk.id)
            else:
                row = self._ask(lambda tables: tables.chunks([chunk.id]).get(chunk.id), None)
        if data is None or row is None:
            return None
        text = _rows(data, row[0], row[1])
        return text.decode("utf-8").removesuffix("\n") if hash_of(text) == row[2] else None

    def package(self, module: str) -> File | None:
        """A module of an installed package: outlined when first asked for, then kept. Its
        environment is found from the workspace, by looking at files only."""
        with self._lock:
            return self._packages.file(module)

    def _files(
        self, ask: Callable[[Tables], list[File]], limit: int, exclude: str = ""
    ) -> list[File]:
        with self._lock:
            found = [f for f in self._ask(ask, []) if not self._overlay.has(f.path)]
            found += ask(self._overlay.fresh(exclude))
            found = [f for f in found if f.path != exclude]
            return sorted(found, key=lambda f: f.path)[:limit]

    def _of(self, file: File, ask: Callable[[Tables, File], list[T]]) -> list[T]:
        with self._lock:
            if file.id < 0:
                return ask(self._packages.tables, file)
            own = self._overlay.file(file.path)
            if own:
                return ask(self._overlay.tables, own)
            return self._ask(lambda tables: ask(tables, file), [])

    def _scores(self, terms: Sequence[str], overlaid: Tables) -> dict[int, float]:
        """Sum of the words' weights by chunk."""
        total = self._count()
        most = min(_COMMON, max(total // _COMMON_SHARE, _LEAST_COMMON))
        scores: defaultdict[int, float] = defaultdict(float)
        for term in sorted(set(terms) - self._common):
            rows = self._said.get(term)
            if rows is None:  # keys typed at one place ask for the same words again and again
                rows = self._ask(lambda tables, term=term: tables.with_word(term, most + 1), [])
                if len(rows) > most:
                    self._common.add(term)
                    continue
                if len(self._said) > _REMEMBERED:
                    self._said.clear()
                self._said[term] = rows
            rows = rows + overlaid.with_word(term, most)
            weight = math.log(1 + (max(total, len(rows)) - len(rows) + 0.5) / (len(rows) + 0.5))
            for (one,) in rows:
                scores[one] += weight
        return scores

    def _chunks(
        self,
        ids: list[int],
        scores: dict[int, float],
        overlaid: Tables,
        exclude: str,
    ) -> list[Chunk]:
        found: list[Chunk] = []
        own = [one for one in ids if is_own(one)]
        disk = [one for one in ids if not is_own(one)]
        for tables, some in ((overlaid, own), (self._tables, disk)):
            if tables is None or not some:
                continue
            rows = tables.chunks(some)
            files = tables.files_of(one >> schema.FILE_SHIFT for one in rows)
            for one, (first, last, _, words) in rows.items():
                file = files.get(one >> schema.FILE_SHIFT)
                if file is None or file.path == exclude:
                    continue
                if tables is not overlaid and self._overlay.has(file.path):
                    continue
                score = scores[one] * (_K1 + 1) / (1 + _K1 * (1 - _B + _B * words / _MEAN))
                found.append(Chunk(one, file, first, last, score))
        return found

    def _count(self) -> int:
        """Of the disk's chunks; what is known of them is forgotten when the file has changed."""

        def ask(tables: Tables) -> tuple[int, int]:
            seen = tables.db.execute("PRAGMA data_version").fetchone()[0]
            if seen == self._counted[0]:
                return self._counted
            self._common.clear()
            self._mentions.clear()
            self._said.clear()
            return seen, tables.count_chunks()

        self._counted = self._ask(ask, (-1, 0))
        return self._counted[1]

    def _data(self, file: File) -> bytes | None:
        if file.id < 0:
            return self._packages.data(file)
        data = self._overlay.data(file.path)
        if data is not None:
            return data
        try:
            return normal((self.root / file.path).read_bytes())
        except OSError:  # gone since
            return None

    def _ask(self, ask: Callable[[Tables], T], nothing: T) -> T:
        """Of the disk's index; `nothing` if there is none, or it is damaged: then it goes."""
        with self._lock:
            try:
                tables = self._open()
                return nothing if tables is None else ask(tables)
            except (schema.UnusableError, sqlite3.DatabaseError) as error:
                self._forget()
                if isinstance(error, schema.UnusableError) or schema.is_damage(error):
                    with suppress(OSError):  # a folder that we may not write to
                        schema.remove(self._path)
                return nothing

    def _open(self) -> Tables | None:
        if self._closed:
            return None
        try:
            inode = self._path.stat().st_ino
        except OSError:
            inode = 0
        if self._tables is None or inode != self._inode:  # an indexer has made it anew
            self._forget()
            db = schema.open_to_read(self._path)
            self._tables = Tables(db) if db else None
            self._inode = inode
        return self._tables

    def _forget(self) -> None:
        if self._tables:
            self._tables.db.close()
        self._tables = None
        self._counted = (-1, 0)
        self._common.clear()
        self._mentions.clear()
        self._said.clear()


def _rows(data: bytes, first: int, last: int) -> bytes:
    starts = line_starts(data)
    return data[starts[first] : starts[last + 1]] if last + 1 < len(starts) else b""
