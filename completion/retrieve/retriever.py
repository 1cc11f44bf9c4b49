"""From a cursor to the pieces of other files that its prompt should hold."""

import logging
import posixpath
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

from completion.cut import Count
from completion.document import Document
from completion.edits import Hunk
from completion.index import Index
from completion.pieces import SOURCES, Context, Source
from completion.retrieve import gate
from completion.retrieve.anchor import anchor, text_at
from completion.retrieve.candidates import Candidate, Query
from completion.retrieve.found import Shared
from completion.retrieve.merge import Visible, fill, fuse
from completion.retrieve.resolve import Resolver
from completion.retrieve.sources import ALL
from completion.scope import Scope, scope_at
from completion.syntax import SyntaxTree

log = logging.getLogger(__name__)

# What is not there by then is left out. A person types a key every 100 ms or so.
TIME_BOX_MS = 40.0
MOST_CANDIDATES = 24
# Of the file around the cursor a prompt shows about so much, in characters.
SHOWN_BEFORE, SHOWN_AFTER = 1500, 500
_KEPT_TREES = 16
_KEPT_COUNTS = 20_000
_KEPT_RESOLVERS = 8

# Path, text and offset as `text_at` has them, budget, hunks, the index's generation.
_Key = tuple[str, str, int, int, tuple[Hunk, ...], tuple[int, int, int]]


@dataclass
class _Clock:
    """Milliseconds by part, and whether there is time for another one."""

    limit: float
    began: float = field(default_factory=time.perf_counter)
    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = (time.perf_counter() - began) * 1000

    @property
    def total(self) -> float:
        return (time.perf_counter() - self.began) * 1000

    @property
    def late(self) -> bool:
        return self.total > self.limit


class Retriever:
    """For one index. One thread at a time.

    `count` gives a text's length in tokens. `sources` limits where pieces come from; without the
    `gate` they are looked for at every place.
    """

    def __init__(
        self,
        index: Index,
        count: Count,
        sources: Sequence[Source] = SOURCES,
        gate: bool = True,
        time_box_ms: float = TIME_BOX_MS,
    ) -> None:
        self.index = index
        self._count = lru_cache(maxsize=_KEPT_COUNTS)(count)
        self._sources: list[Source] = [source for source in ALL if source in sources]
        self._gate = gate
        self._time_box_ms = time_box_ms
        self._trees: OrderedDict[str, SyntaxTree] = OrderedDict()
        self._resolvers: OrderedDict[tuple[object, ...], tuple[Resolver, Resolver]] = OrderedDict()
        # The index's generation, and what its resolvers share, without and with packages.
        self._shared: tuple[object, Shared, Shared] = (None, Shared(), Shared())
        self._last: tuple[_Key, Context] | None = None

    def context(
        self, document: Document, offset: int, budget: int, hunks: Sequence[Hunk] = ()
    ) -> Context:
        """Pieces of at most `budget` tokens for the cursor at `offset`, in characters.

        The same while one types on within a name. Raises nothing: a failing index gives none.
        """
        known = self.known(document, offset, budget, hunks)
        if known is not None:
            return known
        clock = _Clock(self._time_box_ms)
        key = self._key(document, offset, budget, hunks)
        path, text, at, *_ = key
        try:
            found = self._context(path, document.language, text, at, budget, hunks, clock)
        except sqlite3.Error as error:
            log.warning("the index cannot be read: %s", error)
            return Context(
                (), {"total": clock.total}, {"all": f"the index cannot be read: {error}"}
            )
        if "late" not in found.left_out.values():
            self._last = key, found
        return found

    def known(
        self, document: Document, offset: int, budget: int, hunks: Sequence[Hunk] = ()
    ) -> Context | None:
        """The same if nothing has to be looked up for it. Takes 0.2 ms; any thread may ask while
        none looks up."""
        clock, last = _Clock(self._time_box_ms), self._last
        if last is None or last[0] != self._key(document, offset, budget, hunks):
            return None
        return Context(last[1].pieces, {"total": clock.total}, last[1].left_out)

    def _key(self, document: Document, offset: int, budget: int, hunks: Sequence[Hunk]) -> _Key:
        path = path_in(document.path, self.index.root)
        at = anchor(document.text, offset, document.language)
        text, at = text_at(document.text, at, offset)
        return path, text, at, budget, tuple(hunks), self.index.generation

    def _context(
        self,
        path: str,
        language: str,
        text: str,
        at: int,
        budget: int,
        hunks: Sequence[Hunk],
        clock: _Clock,
    ) -> Context:
        with clock.part("scope"):
            scope = scope_at(text, at, language, self._tree(path, language))
            query = self._query(path, language, text, at, scope, hunks)
        left_out: dict[str, str] = {}
        ranked: dict[Source, Sequence[Candidate]] = {}
        for source in self._sources:
            reason = gate.before(source, query) if self._gate else ""
            if reason or clock.late:
                left_out[source] = f"gate: {reason}" if reason else "late"
                continue
            with clock.part(source):
                found = list(islice(ALL[source](query), MOST_CANDIDATES))
            ranked[source] = gate.worth(source, found, query) if self._gate else found
            if found and not ranked[source]:
                left_out[source] = "gate: nothing alike enough"
        with clock.part("merge"):
            pieces = fill(fuse(ranked), budget, self._count, _visible(path, text, at))
        clock.ms["total"] = clock.total
        return Context(pieces, clock.ms, left_out)

    def _query(
        self, path: str, language: str, text: str, at: int, scope: Scope, hunks: Sequence[Hunk]
    ) -> Query:
        own, wide = self._resolver(path, language, scope)
        row = text.count("\n", 0, at)
        least = gate.least(scope.place) if self._gate else 0.0
        return Query(self.index, own, wide, scope, path, language, row, at, text, hunks, least)

    def _tree(self, path: str, language: str) -> SyntaxTree:
        key = f"{language}:{path}"
        tree = self._trees.pop(key, None) or SyntaxTree(language, exact=False)
        self._trees[key] = tree
        if len(self._trees) > _KEPT_TREES:
            self._trees.popitem(last=False)
        return tree

    def _resolver(self, path: str, language: str, scope: Scope) -> tuple[Resolver, Resolver]:
        """Without and with installed packages. Kept, with their answers, as long as neither the
        imports nor the index change."""
        # Those in functions below the cursor move with each Enter; what they stand for stays.
        imports = tuple((one.module, one.name, one.alias) for one in scope.imports)
        key = (path, language, imports, self.index.generation)
        pair = self._resolvers.pop(key, None)
        if pair is None:
            if self._shared[0] != self.index.generation:
                self._shared = self.index.generation, Shared(), Shared()
            given, (_, own, wide) = (self.index, path, language, scope.imports), self._shared
            pair = Resolver(*given, shared=own), Resolver(*given, installed=True, shared=wide)
        self._resolvers[key] = pair
        if len(self._resolvers) > _KEPT_RESOLVERS:
            self._resolvers.popitem(last=False)
        return pair


def path_in(path: Path, root: Path) -> str:
    """A file's path as the index of `root` has it; its name alone if it lies elsewhere."""
    if path.is_absolute():
        if not path.is_relative_to(root):
            return path.name
        path = path.relative_to(root)
    return posixpath.normpath(path.as_posix())


def _visible(path: str, text: str, at: int) -> Visible:
    low, high = max(0, at - SHOWN_BEFORE), at + SHOWN_AFTER
    first = text.count("\n", 0, low)
    shown = text[low:high]
    lines = frozenset(line.strip() for line in shown.split("\n"))
    return Visible(path, first, first + shown.count("\n"), lines)
