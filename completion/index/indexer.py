"""Builds the index of a workspace and keeps it up to date.

One process at a time goes over the whole tree, others wait for it; a saved file is written by
whoever saw it, between two batches of a build. All is written in short transactions: readers
see what is there so far, and what a killed build has written counts for the next one.
"""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from completion.index import scan, schema, workers
from completion.index.digest import Digest, Job, digest, words_again
from completion.index.schema import UnusableError
from completion.index.store import Store
from completion.index.writer import PENDING, Writer
from tandem.errors import UsageError

_COMMIT_S = 0.5  # so long readers wait for what is read, and others for their turn to write
# Pages of 4 kB that may wait to be put in their place: a build writes the same ones often, and
# after saved files nobody should find a large file beside the database.
_BUILD_PAGES, _SAVE_PAGES = 16_384, 1000
_FEW_BYTES = 1_500_000  # less is read faster than a process starts
_DEAD_SHARE = 3  # words are indexed anew when the dead chunks are more than a third of the live
OnProgress = Callable[[int, int], None]
_Known = tuple[int, int, int | None]  # size, mtime, hash
_NEW: _Known = (-1, -1, None)


@dataclass(slots=True)
class Stats:
    """Totals of the index, and what this update did to it.

    `source` and `size` are bytes: of the source indexed, of the database. `skipped` counts files
    and folders by the reason why they are not in. `note` says what a person should know.
    """

    files: int = 0
    symbols: int = 0
    chunks: int = 0
    changed: int = 0
    removed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    source: int = 0
    size: int = 0
    note: str = ""


class Indexer:
    """Writes the index of one workspace. May be used from any thread, one call at a time runs."""

    def __init__(self, root: Path, processes: int = 2) -> None:
        self.root = root.resolve()
        if not self.root.is_dir():
            raise UsageError(f"{root} is no folder.", "Name a folder of source files.")
        self._processes = processes
        self._store = Store(schema.file_of(self.root))
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._store.close()

    def update(self, on_progress: OnProgress = lambda done, total: None) -> Stats:
        """Make the index what the tree is now; `on_progress` gets bytes done and bytes to do.

        Raises TandemError if the folder cannot be read, or the disk is full.
        """
        began = time.monotonic()
        with self._lock, self._store.alone(), self._store.told():
            try:
                stats = self._update(on_progress)
            except (UnusableError, sqlite3.DatabaseError) as error:
                if not _is_damage(error):
                    raise
                self._store.remove()
                stats = self._update(on_progress)
        stats.seconds = time.monotonic() - began
        return stats

    def update_files(self, paths: Iterable[Path]) -> Stats:
        """The same for some files, after they were saved or removed. Leaves the totals at 0."""
        began = time.monotonic()
        stats = Stats()
        skips: Counter[str] = Counter()
        with self._lock, self._store.told():
            try:
                _, writer = self._store.open()
                for path in paths:
                    self._update_file(writer, path, stats, skips)
            except (UnusableError, sqlite3.DatabaseError) as error:
                if not _is_damage(error):
                    raise
                self._store.remove()  # readers are not ready from now on: a build is due
        stats.note = self._store.note
        stats.skipped = dict(skips)
        stats.seconds = time.monotonic() - began
        return stats

    def _update(self, on_progress: OnProgress) -> Stats:
        skips: Counter[str] = Counter()
        try:
            found = scan.files(self.root, skips)
        except OSError as error:
            raise UsageError(f"Cannot read {self.root}: {error.strerror}.", "") from error
        db, writer = self._store.open()
        db.execute(f"PRAGMA wal_autocheckpoint = {_BUILD_PAGES}")
        known = _known(db)
        stats = Stats(note=self._store.note)
        with writer.transaction():
            writer.remember("root", str(self.root))
            here = {one.path for one in found}
            stats.removed = sum(writer.remove(path) for path in known if path not in here)
            writer.add(one for one in found if one.path not in known)
        stale = [one for one in found if known.get(one.path, _NEW)[:2] != (one.size, one.mtime)]
        stats.changed = self._read_all(writer, stale, known, on_progress)
        self._tidy(db, writer)
        _total(db, stats, skips)
        return stats

    def _read_all(
        self,
        writer: Writer,
        stale: list[scan.Found],
        known: dict[str, _Known],
        on_progress: OnProgress,
    ) -> int:
        jobs = [Job(f.path, f.language, known.get(f.path, _NEW)[2]) for f in stale]
        sizes = [f.size for f in stale]
        work = workers.batches(jobs, sizes)
        total, done, changed, at = sum(sizes), 0, 0, 0
        few = total < _FEW_BYTES or self._processes < 1
        results: Iterator[list[Digest]] = (
            ([digest(self.root, job) for job in batch] for batch in work)
            if few
            else workers.digests(self.root, work, self._processes)
        )
        while at < len(jobs):
            with writer.transaction():  # many batches in one: each writes the same pages again
                until = time.monotonic() + _COMMIT_S
                for batch in results:
                    for one in batch:
                        changed += not one.same
                        writer.put(one, over=max(0, known.get(one.path, _NEW)[1]))
                    done += sum(sizes[at : at + len(batch)])
                    at += len(batch)
                    on_progress(done, total)
                    if time.monotonic() > until:
                        break
        return changed

    def _update_file(self, writer: Writer, path: Path, stats: Stats, skips: Counter[str]) -> None:
        inside = self._inside(path)
        if inside is None:
            skips["outside"] += 1
            return
        try:
            found = scan.file(self.root, inside)
        except OSError:
            found = "gone"
        if found == scan.ODD_NAME:  # no row can hold it
            skips[scan.ODD_NAME] += 1
            return
        one = (
            digest(self.root, Job(inside, found.language))
            if isinstance(found, scan.Found)
            else None
        )
        with writer.transaction():
            if one is None:
                stats.removed += writer.remove(inside)
                skips[str(found)] += found != "gone"
            else:
                assert isinstance(found, scan.Found)
                writer.add([found])
                writer.put(one)
                stats.changed += 1

    def _inside(self, path: Path) -> str | None:
        # The file itself may be a link, which is left out: only its folder is resolved.
        whole = path.parent.resolve() / path.name
        return whole.relative_to(self.root).as_posix() if whole.is_relative_to(self.root) else None

    def _tidy(self, db: sqlite3.Connection, writer: Writer) -> None:
        """The first build is done; words of chunks that are gone go, when they are many."""
        live = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
        with writer.transaction():
            if writer.recall("dead") * _DEAD_SHARE > live:
                writer.forget_words()
                writer.index_words(_all_words(db, self.root))
            writer.remember("built", 1)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute(f"PRAGMA wal_autocheckpoint = {_SAVE_PAGES}")
        db.execute("PRAGMA optimize")


def _known(db: sqlite3.Connection) -> dict[str, _Known]:
    return {
        f"{folder}/{name}" if folder else name: (size, mtime, None if why == PENDING else text)
        for folder, name, size, mtime, text, why in db.execute(
            "SELECT d.path, f.name, f.size, f.mtime, f.hash, f.skipped FROM files f"
            " JOIN folders d ON d.id = f.folder"
        )
    }


def _total(db: sqlite3.Connection, stats: Stats, skips: Counter[str]) -> None:
    for why, files, size in db.execute(
        "SELECT skipped, count(*), sum(size) FROM files GROUP BY skipped"
    ):
        if why:
            skips[why] += files
        else:
            stats.files, stats.source = files, size
    stats.symbols = db.execute("SELECT count(*) FROM symbols").fetchone()[0]
    stats.chunks = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
    stats.skipped = dict(sorted(skips.items()))
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    stats.size = pages * db.execute("PRAGMA page_size").fetchone()[0]


def _all_words(db: sqlite3.Connection, root: Path) -> Iterator[tuple[int, str]]:
    """Read again, where the text is still the one that the chunks are of."""
    for file_id, folder, name in db.execute(
        "SELECT f.id, d.path, f.name FROM files f JOIN folders d ON d.id = f.folder ORDER BY f.id"
    ).fetchall():
        chunks = db.execute(
            "SELECT id, first, last, hash FROM chunks WHERE id BETWEEN ? AND ?",
            schema.rows_of(file_id),
        ).fetchall()
        yield from words_again(root / folder / name, chunks)


def _is_damage(error: UnusableError | sqlite3.DatabaseError) -> bool:
    return isinstance(error, UnusableError) or schema.is_damage(error)
