"""A folder of code as completions use it: its index kept fresh, unsaved buffers, recent edits.

The event loop's thread owns these objects. Looking up runs in one thread of its own, writing the
index in another; a first build, or a change of many files, is a process of its own, so that it
takes no time from the editor.
"""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from completion import stops, turns
from completion.cut import Count
from completion.document import Document
from completion.edits import EditLog, Hunk, Text
from completion.hole import HEAD_LIMIT, logical_lines
from completion.index import Index, Indexer
from completion.pieces import Context
from completion.retrieve import Retriever
from completion.retrieve.retriever import path_in
from tandem.workspace import root_of

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

# With more changed files than this at once, a process looks through the whole folder.
MANY_FILES = 40
NICE = 10
# Longest that a completion waits for its context, in seconds, whatever holds it up.
WAIT_S = 0.15
NO_INDEX = "no index yet"
_KNOWN_FILES = 4096
_WARMING = 512  # tokens of context for nobody
_COUNTED = 100_000  # characters of a document whose tokens are counted when it is opened


class Watcher(Protocol):
    """Who wants to know what becomes of a repository's files; paths are absolute."""

    def changed(self, file: Path, text: Text) -> None: ...

    def saved(self, file: Path) -> None: ...

    def closed(self, file: Path) -> None: ...


class Repository:
    """One root. Texts of open documents are asked for only when they are needed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.edits = EditLog()
        self._index = Index(root)
        self._retriever: tuple[Count, Retriever] | None = None
        self._looking: set[Future[Any]] = set()
        self._changed: set[str] = set()
        self._current = ""
        self._texts: dict[str, Text] = {}
        self._admitted: dict[str, bool] = {}  # open documents; what ignores a file may change
        self._reader = ThreadPoolExecutor(1, "tandem-context", turns.shorten)
        self._writer = ThreadPoolExecutor(1, "tandem-index")
        self._indexer: Indexer | None = None
        self._building: asyncio.subprocess.Process | None = None
        self._watchers: list[Watcher] = []

    @property
    def index(self) -> Index:
        """For looking things up; any thread may."""
        return self._index

    async def context(self, document: Document, offset: int, budget: int, count: Count) -> Context:
        """The pieces for a cursor; none, with the reason, where there is no index or no time."""
        if not self._index.exists:
            return Context((), {}, {"all": NO_INDEX})
        path = path_in(document.path, self._index.root)
        hunks = self._hunks(path, document)
        # Their own text is what the request brings; the others' are as they are now.
        buffers = {other: self._texts[other]() for other in self._changed - {path}}
        self._changed &= {path}
        if not buffers and all(one.done() for one in self._looking):
            # Within a name it is what the last key had: not worth another thread's turn.
            known = self._retriever_for(count).known(document, offset, budget, hunks)
            if known is not None:
                return known
        work = self._later(self._look_up, buffers, document, offset, budget, hunks, count)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), WAIT_S)
        except TimeoutError:
            return Context((), {}, {"all": "late"})

    def _look_up(
        self,
        buffers: dict[str, str],
        document: Document,
        offset: int,
        budget: int,
        hunks: list[Hunk],
        count: Count,
    ) -> Context:
        for path, text in buffers.items():
            self._index.set_buffer(path, text)
        return self._retriever_for(count).context(document, offset, budget, hunks)

    def _later(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """In the reading thread. Until it is done no other may read."""
        self._looking = {one for one in self._looking if not one.done()}
        made = self._reader.submit(work, *arguments, **named)
        self._looking.add(made)
        return made

    def _retriever_for(self, count: Count) -> Retriever:
        if self._retriever is None or self._retriever[0] != count:
            self._retriever = count, Retriever(self._index, count)
        return self._retriever[1]

    def _hunks(self, path: str, document: Document) -> list[Hunk]:
        if self._current != path and self._current in self._texts:
            self.edits.leave(self._current, self._texts[self._current])
        self._current = path
        return self.edits.recent(path, lambda: document.text, time.monotonic())

    def watch(self, watcher: Watcher) -> None:
        """Tell it of all changes from now on, and of documents that were changed before."""
        self._watchers.append(watcher)
        for path in self._texts:
            watcher.changed(self.root / path, self._texts[path])

    def unwatch(self, watcher: Watcher) -> None:
        self._watchers.remove(watcher)

    def opened(self, document: Document) -> None:
        """Much that the first key would wait for is read now: whether anything of the file may be
        kept, its lines and their tokens, its statements, its syntax tree, what it imports."""
        self._admits(self._path(document.path))
        self._later(self._read, document)

    def _read(self, document: Document) -> None:
        if len(document.text) <= HEAD_LIMIT:
            logical_lines(document.text, document.language)
            stops.prepare(document.text, document.language)
        if self._retriever is not None and self._index.exists:
            count, retriever = self._retriever
            retriever.context(document, 0, _WARMING)
            count(document.text[:_COUNTED])

    def before_change(self, file: Path, text: Text) -> None:
        """An open document is about to change; `text` gives its text, then and later.

        Of a secret or an ignored file nothing is kept.
        """
        path = self._path(file)
        if path not in self._texts:
            if not self._admits(path):
                return
            self._texts[path] = text
        self.edits.before_change(path, text, time.monotonic())
        self._changed.add(path)
        for watcher in self._watchers:
            watcher.changed(file, text)

    def saved(self, file: Path) -> None:
        """What is on the disk counts again."""
        path = self._path(file)
        if path in self._texts:
            self.edits.leave(path, self._texts[path])
        self._changed.discard(path)
        self._later(self._index.set_buffer, path, None)
        self.update([file])

    def closed(self, file: Path) -> None:
        path = self._path(file)
        if path in self._texts:
            self.edits.leave(path, self._texts.pop(path))
        self.edits.forget(path)
        self._changed.discard(path)
        self._admitted.pop(path, None)
        self._later(self._index.set_buffer, path, None)
        for watcher in self._watchers:
            watcher.closed(file)

    def update(self, files: Iterable[Path]) -> "Future[object]":
        """Read these files again, in the background."""
        files = list(files)
        self._admitted.clear()
        for file in files:
            for watcher in self._watchers:
                watcher.saved(file)
        return self._writer.submit(self._update, files)

    def _update(self, files: list[Path]) -> None:
        try:
            if self._index.exists:
                self._own_indexer().update_files(files)
        except Exception:
            log.exception("the index was not updated")

    def _own_indexer(self) -> Indexer:
        """Of this process; the writing thread's alone."""
        if self._indexer is None:
            self._indexer = Indexer(self.root)
        return self._indexer

    async def build(self, report: Callable[[str], None]) -> str:
        """Bring the whole index up to date in another process. Returns how it went, in a line."""
        if self._building is not None:
            return "is being read already"
        command = [sys.executable, "-m", "tandem", "index", str(self.root)]
        self._building = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: os.nice(NICE) and None,
        )
        last = ""
        try:
            assert self._building.stderr is not None
            async for line in self._building.stderr:
                last = line.decode("utf-8", "replace").strip()
                report(last.removeprefix("tandem: "))
            code = await self._building.wait()
        finally:
            self._stop_building()
        if code:
            log.warning("the index was not built: %s", last)
            return last or f"tandem index failed ({code})"
        if not self._index.exists:
            # Where nothing can be written, an index lives in the memory of who made it.
            await asyncio.wrap_future(self._writer.submit(lambda: self._own_indexer().update()))
        return "is indexed"

    def _stop_building(self) -> None:
        building, self._building = self._building, None
        if building is not None and building.returncode is None:
            building.terminate()

    def close(self) -> None:
        self._stop_building()
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._writer.shutdown(wait=True, cancel_futures=True)
        self._index.close()
        if self._indexer is not None:
            self._indexer.close()

    def _admits(self, path: str) -> bool:
        """Kept: it takes 10 ms to read what all folders above ignore."""
        if path not in self._admitted:
            self._admitted[path] = self._index.admits(path)
        return self._admitted[path]

    def _path(self, file: Path) -> str:
        return path_in(file, self._index.root)


class Repositories:
    """All of one process, by their roots."""

    def __init__(self) -> None:
        self._open: dict[Path, Repository] = {}
        self._root_of = lru_cache(maxsize=_KNOWN_FILES)(root_of)

    def of(self, file: Path, folder: Path | None = None) -> Repository | None:
        """The repository of a file: git's root, else `folder`, which the editor has open."""
        if not file.is_absolute():
            return None
        root = self._root_of(file) or folder
        return self.at(root) if root is not None and may_be_indexed(root) else None

    def at(self, root: Path) -> Repository:
        if root not in self._open:
            self._open[root] = Repository(root)
        return self._open[root]

    def close(self) -> None:
        for repository in self._open.values():
            repository.close()
        self._open.clear()


def may_be_indexed(root: Path) -> bool:
    """Not somebody's whole home, nor what holds it."""
    home = Path.home()
    return root != home and root not in home.parents
