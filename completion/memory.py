"""Keeps a server's memory of a repository what the repository is: see `engine/memory.py`.

`follow` is a task of its own. It sends the files in small batches, resting as long as each one
took, then what changed: a file when it was saved, an open one when typing pauses. Files that the
index leaves out, secrets among them, stay out; secrets in others are redacted. All else is the
event loop's thread's.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from completion.client import Client, TooMuch
from completion.document import Document
from completion.index import scan
from completion.retrieve.retriever import path_in
from tandem import secrets
from tandem.errors import EngineError

log = logging.getLogger(__name__)

PAUSE_S = 1.0
RETRY_S = 20.0
BATCH_BYTES = 200_000
BATCH_FILES = 200
# Of a repository with more source than this the largest files are left out.
MOST_BYTES = 24 << 20
Text = Callable[[], str]


@dataclass
class _Open:
    """`changed` is on time.monotonic's clock; None when the server has this text."""

    text: Text
    changed: float | None = None


@dataclass
class Memory:
    """Of one root. `reason` says why there is none, or ""."""

    root: Path
    reason: str = "not sent yet"
    _open: dict[str, _Open] = field(default_factory=dict)
    _saved: set[str] = field(default_factory=set)
    _gone: set[str] = field(default_factory=set)
    _ready: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """At the server; another one for each root."""
        readable = re.sub(r"[^A-Za-z0-9]+", "-", self.root.name).strip("-")[:32] or "root"
        return f"{readable}-{hashlib.sha256(str(self.root).encode()).hexdigest()[:16]}"

    def name_for(self, document: Document) -> str:
        """What to ask the server for; "" where it has nothing of the document's repository."""
        return self.name if self._ready and document.path.is_relative_to(self.root) else ""

    def changed(self, file: Path, text: Text) -> None:
        """An open document is another; `text` gives what it is now, then and later."""
        if file.is_relative_to(self.root):
            self._open[self._path(file)] = _Open(text, time.monotonic())
            self._news.set()

    def saved(self, file: Path) -> None:
        """A file on disk is another, or gone."""
        if file.is_relative_to(self.root):
            self._saved.add(self._path(file))
            self._news.set()

    def closed(self, file: Path) -> None:
        """What is on disk counts again."""
        if self._open.pop(self._path(file), None) is not None:
            self.saved(file)

    def lost(self) -> None:
        """The server does not know of it: it was started anew, or made room for others."""
        if self._ready:
            self._ready, self.reason = False, "lost by the server"
            self._news.set()

    async def follow(self, client: Client) -> None:
        """Until cancelled, or until the server has no room for it.

        For servers with the capability `memory` only; when the index is built.
        """
        while True:
            try:
                if not self._ready:
                    await self._send_all(client)
                await self._send_news(client)
            except TooMuch as error:
                self._ready, self.reason = False, str(error)
                return
            except EngineError as error:
                self._ready, self.reason = False, str(error)
                await asyncio.sleep(RETRY_S)

    async def _send_all(self, client: Client) -> None:
        found = await asyncio.to_thread(_sources, self.root)
        sent = set[str]()
        for paths in _batches(found):
            began = time.perf_counter()
            texts = await asyncio.to_thread(_read, self.root, paths)
            await client.remember(self.name, texts)
            sent |= texts.keys()
            await asyncio.sleep(time.perf_counter() - began)
        self._saved -= sent
        for document in self._open.values():
            document.changed = document.changed or 0.0
        self._ready, self.reason = True, ""
        self._news.set()

    async def _send_news(self, client: Client) -> None:
        """Wait for some, then for a pause. What comes meanwhile is news again."""
        await self._news.wait()
        self._news.clear()
        if not self._ready:
            return
        while (left := self._until_pause()) > 0:  # noqa: ASYNC110 (time, not an event, ends it)
            await asyncio.sleep(left)
        open_now = {path: one for path, one in self._open.items() if one.changed is not None}
        for one in open_now.values():
            one.changed = None
        saved, self._saved = self._saved - self._open.keys(), set()
        unsaved = {path: one.text() for path, one in open_now.items()}
        texts = await asyncio.to_thread(_read, self.root, saved)
        texts |= await asyncio.to_thread(_admitted, self.root, unsaved)
        self._gone = (self._gone | saved | unsaved.keys()) - texts.keys()
        if self._gone:
            await client.remember(self.name, {}, self._gone)
            self._gone.clear()
        for part in _parts(texts):
            await client.remember(self.name, part)

    def _until_pause(self) -> float:
        """Seconds until the last change is long enough ago; at most 0 when it is."""
        last = max((one.changed or 0.0 for one in self._open.values()), default=0.0)
        return last + PAUSE_S - time.monotonic()

    def _path(self, file: Path) -> str:
        return path_in(file, self.root)


def _sources(root: Path) -> list[scan.Found]:
    """Small files first, so that most are in where not all can be."""
    try:
        return sorted(scan.files(root, Counter()), key=lambda one: (one.size, one.path))
    except OSError:
        return []


def _batches(found: list[scan.Found]) -> Iterator[list[str]]:
    paths: list[str] = []
    size = total = 0
    for one in found:
        if total + one.size > MOST_BYTES:
            break
        if paths and (size + one.size > BATCH_BYTES or len(paths) >= BATCH_FILES):
            yield paths
            paths, size = [], 0
        paths.append(one.path)
        size, total = size + one.size, total + one.size
    if paths:
        yield paths


def _parts(texts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """As much as a request may hold: a checkout changes many files at once."""
    part: dict[str, str] = {}
    for path, text in texts.items():
        if part and (len(part) >= BATCH_FILES or sum(map(len, part.values())) > BATCH_BYTES):
            yield part
            part = {}
        part[path] = text
    if part:
        yield part


def _read(root: Path, paths: "list[str] | set[str]") -> dict[str, str]:
    """Texts by path, redacted; without what may not be in or cannot be read."""
    texts: dict[str, str] = {}
    for path in paths:
        try:
            if isinstance(scan.file(root, path), scan.Found):
                text = (root / path).read_text("utf-8")
                texts[path] = secrets.redact(text)
        except (OSError, UnicodeDecodeError):
            log.debug("%s is not remembered", path)
    return texts


def _admitted(root: Path, unsaved: Mapping[str, str]) -> dict[str, str]:
    """The same for texts of an editor, of files that need not be on disk."""
    return {
        path: secrets.redact(text.replace("\r\n", "\n"))
        for path, text in unsaved.items()
        if len(text) <= scan.LARGEST and _may_be_in(root, path)
    }


def _may_be_in(root: Path, path: str) -> bool:
    if secrets.is_secret_file(Path(path)):
        return False
    try:
        return isinstance(scan.file(root, path), scan.Found)
    except OSError:  # it was never saved
        return True
