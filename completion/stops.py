"""Where the text above a cursor may be cut: a chain of places from its start on.

A place depends on the text before the next one only: typing at the cursor leaves the chain as it
is. So what was found is kept, with the syntax tree it was found in.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict
from functools import lru_cache

from completion.languages import language_row
from completion.statements import Statements, line_starts
from completion.syntax import SyntaxTree, largest

# The statements above the cursor are looked for anew each time it has passed so many lines: in the
# last few, where no prompt begins that is not very short, a line is as good as a statement.
HEAD_LINES = 8
# Texts that are typed in at a time, and how many characters tell one from another.
KEPT, TOLD_BY = 8, 1024


def chain(text: str, offset: int, language: str, size: int) -> list[int]:
    """Offsets a quarter to a half of `size` characters apart, up to `offset`, each at the best
    boundary in reach: a statement of the module, else a definition, a statement, a line."""
    lines = _starts_above(text[: text.rfind("\n", 0, offset) + 1])
    known = lines[(len(lines) - 1) // HEAD_LINES * HEAD_LINES]
    near, _ = _reach(size)
    head = text[: known if offset - known < near else lines[-1]]
    with _lock:
        return _head_of(head, language).chain(lines, offset, size)


def prepare(text: str, language: str) -> None:
    """Read a text in which somebody may look for a chain."""
    with _lock:
        _head_of(text, language)


class _Head:
    """The start of one text, and what was found in it.

    Its tree is repaired where the text has errors, not made anew: they are at its end, and what is
    far from them is the same. A place that was found without errors stays when some come, as in
    half a docstring.
    """

    def __init__(self, language: str) -> None:
        self._tree = SyntaxTree(language, limit_s=0, exact=False)
        self._statements = Statements("", language, None)
        # By size, as far as they are the same whatever follows.
        self._stops: dict[int, list[int]] = {}

    def take(self, text: str) -> None:
        """The text as it is now."""
        before, language = self._statements.text, self._tree.language
        if text == before:
            return
        same = largest(lambda size: before[:size] == text[:size], min(len(before), len(text)))
        for size, stops in self._stops.items():
            while len(stops) > 1 and stops[-2] + _reach(size)[1] > same:
                stops.pop()
        if language_row(language).has_statements:
            self._tree.update(text)
        self._statements = Statements(text, language, self._tree.root)

    def chain(self, lines: list[int], offset: int, size: int) -> list[int]:
        """As above; `lines` are the starts of those down to the cursor's."""
        near, far = _reach(size)
        kept = self._stops.setdefault(size, [0])
        stops, sure = list(kept), self._statements.sure
        while stops[-1] + near < offset:
            low, high = stops[-1] + near, min(stops[-1] + far, offset)
            best = self._statements.best(low, high)
            stops.append(_first_line(lines, low, high) if best is None else best)
            if stops[-2] + far <= sure:
                kept.append(stops[-1])
        return stops


# A key leaves the lines above the cursor's as they are.
_starts_above = lru_cache(maxsize=8)(line_starts)


def _reach(size: int) -> tuple[int, int]:
    """How far a stop is from the last one, at least and at most."""
    return max(1, size // 4), max(1, size // 2)


def _first_line(lines: list[int], low: int, high: int) -> int:
    """The first that starts in [low, high]; else `low` itself."""
    index = bisect_left(lines, low)
    return lines[index] if index < len(lines) and lines[index] <= high else low


_heads: OrderedDict[tuple[str, str], _Head] = OrderedDict()
_lock = threading.Lock()


def _head_of(text: str, language: str) -> _Head:
    key = language, text[:TOLD_BY]
    head = _heads.pop(key, None) or _Head(language)
    _heads[key] = head
    if len(_heads) > KEPT:
        _heads.popitem(last=False)
    head.take(text)
    return head
