"""tree-sitter: grammars and parse trees.

Texts are `str` with "\\n" line ends; trees count bytes of their UTF-8.
"""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Point, Tree

from completion.languages import language_row

# An editor waits for the tree of the open document: it takes 5 ms for 1,000 lines.
LIMIT_S = 0.25
_PIECE = 2048
# Bytes of a change from which on it may be two, that tell what stayed between them, and by which
# that can have moved; and how many places with these bytes are tried.
_WORTH, _PROBE, _SHIFT, _TRIES = 512, 64, 2048, 8


class _Arrays(threading.local):
    def __init__(self) -> None:
        self.by_size: dict[int, bytearray] = {}


_arrays = _Arrays()


def parse(text: str, language: str) -> Node | None:
    """The root of a text's syntax tree, in bytes of UTF-8; None without a grammar."""
    return parse_bytes(encoded(text), language)


def encoded(text: str) -> bytes:
    # An editor may send half a surrogate pair; rows stay right whatever stands for it.
    return text.encode("utf-8", "replace")


def parse_bytes(data: bytes, language: str, limit_s: float = 0) -> Node | None:
    """The same of a text in UTF-8; also None if it takes longer than `limit_s` (0: no limit)."""
    grammar = grammar_of(language)
    tree = _parsed(grammar, data, None, limit_s) if grammar else None
    return tree.root_node if tree else None


def tree_of(
    data: bytes, language: str, limit_s: float, like: tuple[Tree, bytes] | None = None
) -> Tree | None:
    """The tree of a text in UTF-8; None without a grammar, or if it takes longer than `limit_s`.

    `like`: the tree of a text that is nearly the same, and that text. It saves most of the time;
    where there are errors the repair may be another one than from scratch.
    """
    grammar = grammar_of(language)
    if grammar is None:
        return None
    return _parsed(grammar, data, _edited(*like, data) if like else None, limit_s)


# Repairs of repairs, after which a tree that is not exact is made from scratch again.
_REPAIRS = 16


class SyntaxTree:
    """One document's tree, kept from edit to edit.

    `root` is None without a grammar and where parsing took longer than `limit_s` seconds, which
    small texts can do too: broken Kotlin of 40 lines has taken half a minute. `data` is the text
    that the tree is of. Tree-sitter repairs errors by what it parsed before: so the tree is that of
    a parse from scratch only if that is wanted (`exact`), for which a text with errors is parsed
    twice. Else it costs a fifth of that in files of thousands of lines, and what is far from the
    errors is the same.
    """

    def __init__(self, language: str, limit_s: float = LIMIT_S, exact: bool = True) -> None:
        self.language = language
        self.root: Node | None = None
        self.data = b""
        self.text: str | None = None
        self.timed_out = False
        self.full = 0  # parses from scratch so far
        self.kept: dict[str, Any] = {}  # what others read from this tree; goes with the text
        self._grammar = grammar_of(language)
        self._limit_s = limit_s
        self._exact = exact
        # The last tree, if it is to be exact the last without errors, and its text: edits start
        # from it.
        self._base: tuple[Tree, bytes] | None = None
        self._repaired = 0  # trees with errors in a row that were made of others
        self._wait = 0  # updates to let pass before the next try
        self._late = 0  # tries in a row that took too long

    def update(self, text: str) -> None:
        """Take the text as it is now."""
        if text == self.text or self._grammar is None:
            self.text = text
            return
        self.text, self.data, self.kept = text, encoded(text), {}
        tree = self._parsed()
        self.timed_out = tree is None
        self.root = tree.root_node if tree else None
        if tree and not (self._exact and tree.root_node.has_error):
            self._base = tree, self.data

    def _parsed(self) -> Tree | None:
        """None if it takes too long. One letter more would take as long again: the next try is
        1, 2, 4, ... 64 updates away."""
        if self._wait:
            self._wait -= 1
            return None
        tree = self._from_base() if self._base else self._from_scratch()
        if self._base and tree:
            self._repaired = self._repaired + 1 if tree.root_node.has_error else 0
            if self._repaired and (self._exact or self._repaired % _REPAIRS == 0):
                tree = self._from_scratch()
        self._late = 0 if tree else min(self._late + 1, 7)
        self._wait = 0 if tree else 2 ** (self._late - 1)
        return tree

    def _from_scratch(self) -> Tree | None:
        assert self._grammar
        self.full += 1
        return _parsed(self._grammar, self.data, None, self._limit_s)

    def _from_base(self) -> Tree | None:
        assert self._grammar
        assert self._base
        return _parsed(self._grammar, self.data, _edited(*self._base, self.data), self._limit_s)


def _edited(tree: Tree, old: bytes, new: bytes) -> Tree:
    """The tree of the old text, told what the new one changes."""
    tree = tree.copy()
    # The last one first: it leaves what stands before it where it is.
    for start, old_end, text in reversed(edits_between(old, new)):
        begin = _point(old, start)
        lines = text.count(b"\n")
        column = len(text) - text.rfind(b"\n") - 1 if lines else begin.column + len(text)
        end = Point(begin.row + lines, column)
        tree.edit(start, old_end, start + len(text), begin, _point(old, old_end), end)
    return tree


def edits_between(old: bytes, new: bytes) -> list[tuple[int, int, bytes]]:
    """What makes `new` of `old`: the start and the end of what goes, and what comes in its place.

    Two edits if what stands between two places stayed, as when a cursor that changes its line has
    jumped: taken for one, all between them would be parsed again.
    """
    start, old_end, new_end = edit_between(old, new)
    whole = [(start, old_end, new[start:new_end])]
    middle = (start + old_end) // 2
    probe = old[middle : middle + _PROBE]
    if min(old_end, new_end) - start < _WORTH or middle + _PROBE > old_end:
        return whole
    first, last = max(start, middle - _SHIFT), min(new_end, middle + _SHIFT)
    at = new.find(probe, first, last)
    for _ in range(_TRIES):
        if at < 0:
            break
        above, below = _around(old, middle, new, at, start, (old_end, new_end))
        if (above + below) * 2 >= old_end - start:
            return [
                (start, middle - above, new[start : at - above]),
                (middle + below, old_end, new[at + below : new_end]),
            ]
        at = new.find(probe, at + 1, last)
    return whole


def _around(
    old: bytes, at: int, new: bytes, new_at: int, start: int, ends: tuple[int, int]
) -> tuple[int, int]:
    """How far both are the same above and below these two places, in whole characters."""
    above = largest(
        lambda size: old[at - size : at] == new[new_at - size : new_at], min(at, new_at) - start
    )
    below = largest(
        lambda size: old[at : at + size] == new[new_at : new_at + size],
        min(ends[0] - at, ends[1] - new_at),
    )
    while above and _inside_character(old, at - above, new, new_at - above):
        above -= 1
    while below and _inside_character(old, at + below, new, new_at + below):
        below -= 1
    return above, below


def edit_between(old: bytes, new: bytes) -> tuple[int, int, int]:
    """The one edit that makes `new` of `old`: its start, and its end in each of them."""
    shorter = min(len(old), len(new))
    start = largest(lambda size: old[:size] == new[:size], shorter)
    while start and _inside_character(old, start, new):
        start -= 1
    rest = shorter - start
    tail = largest(lambda size: old[len(old) - size :] == new[len(new) - size :], rest)
    while tail and _inside_character(old, len(old) - tail, new, len(new) - tail):
        tail -= 1
    return start, len(old) - tail, len(new) - tail


def largest(same: Callable[[int], bool], most: int) -> int:
    """The largest size up to `most` at which both sides are the same, which they are at all smaller
    ones; by halving."""
    low, high = 0, most
    if same(most):
        return most
    while high - low > 1:
        middle = (low + high) // 2
        if same(middle):
            low = middle
        else:
            high = middle
    return low


def _inside_character(old: bytes, at: int, new: bytes, new_at: int | None = None) -> bool:
    new_at = at if new_at is None else new_at
    return (at < len(old) and old[at] & 0xC0 == 0x80) or (
        new_at < len(new) and new[new_at] & 0xC0 == 0x80
    )


def _point(data: bytes, at: int) -> Point:
    return Point(data.count(b"\n", 0, at), at - data.rfind(b"\n", 0, at) - 1)


def _parsed(grammar: Grammar, data: bytes, old: Tree | None, limit_s: float) -> Tree | None:
    parser = Parser(grammar)
    if not limit_s:
        return parser.parse(data, old) if old else parser.parse(data)
    end = time.monotonic() + limit_s
    read = _Pieces(data)
    late = lambda at, error: time.monotonic() > end  # noqa: E731
    try:
        if old is None:
            return parser.parse(read, progress_callback=late)
        return parser.parse(read, old, progress_callback=late)
    except ValueError:  # it was stopped
        return None
    finally:
        read.parsing = False


class _Pieces:
    """Gives the parser a text in pieces; it is done with one when it asks for another.

    tree-sitter 0.26.1 never lets go of what it is given while it parses: with slices each parse
    would leave its text in memory. So pieces of one length share one array, a thread its own: 2 MB
    at most. Afterwards queries read the text of nodes here, and take bytes only.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.parsing = True

    def __call__(self, at: int, _: Any) -> bytes | bytearray:
        piece = self._data[at : at + _PIECE]
        if not self.parsing:
            return piece
        array = _arrays.by_size.get(len(piece))
        if array is None:
            array = _arrays.by_size[len(piece)] = bytearray(len(piece))
        array[:] = piece
        return array


@lru_cache(maxsize=32)
def grammar_of(language: str) -> Grammar | None:
    load = language_row(language).grammar
    return Grammar(load()) if load else None
