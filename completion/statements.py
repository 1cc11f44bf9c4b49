"""Statements of a text, from its syntax tree, where somebody looks for them.

Texts have "\\n" line ends only. Offsets are character offsets (indices of a `str`). tree-sitter
counts UTF-8 bytes, so we take only row numbers from it: a boundary is a line's start or end.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from tree_sitter import Node

from completion.languages import language_row
from completion.syntax import parse


@dataclass(frozen=True)
class Span:
    """A statement, from the start of its first line to the end of its last (no newline).

    `level` 0: of the module; 1: a definition inside another statement; 2: any other.
    """

    start: int
    end: int
    level: int


_BLANKS = " \t\f"
# A node's first row, its last row, and the node.
_Part = tuple[int, int, Node]


class Statements:
    """Of one text. To read all of them takes as long as to parse it: only nodes that touch the
    place in question are looked at.

    `root` is that of the text's tree, None where we do not know statements.
    """

    def __init__(self, text: str, language: str, root: Node | None) -> None:
        self.text = text
        self.starts = line_starts(text)
        self._row = language_row(language)
        self._root = root
        self._parts: dict[int, list[_Part]] = {}

    def touching(self, low: int, high: int) -> Iterator[Span]:
        """Those of which some character stands in [low, high]; outer ones before inner ones."""
        for part in self._nodes(self._row_of(low), self._row_of(high)):
            span = self._span(*part)
            if span is not None:
                yield span

    def best(self, low: int, high: int) -> int | None:
        """Where the first statement of the best level starts in [low, high]; None if none does."""
        found: dict[int, Span] = {}
        for part in self._nodes(self._row_of(low), self._row_of(high)):
            start = self.starts[part[0]]
            if start >= low and start not in found:
                span = self._span(*part)
                if span is not None:
                    found[start] = span
        best = min(found.values(), key=lambda span: (span.level, span.start), default=None)
        return best.start if best else None

    @property
    def sure(self) -> int:
        """Up to where the text has no errors: what stands below may be read otherwise once more of
        the text is there."""
        if self._root is None or not self._root.has_error:
            return len(self.text)
        wrong = (part for part in self._parts_of(self._root) if part[2].has_error)
        return self.starts[next(wrong, (0,))[0]]

    def _nodes(self, first: int, last: int) -> Iterator[_Part]:
        """Nodes of statements that touch these rows."""
        stack = [(self._root, False)] if self._root is not None else []
        row = self._row
        while stack:  # not recursive: broken code nests 10,000 deep
            node, decorated = stack.pop()
            parts = self._parts_of(node)
            for part in islice(parts, bisect_left(parts, first, key=_last_row), None):
                if part[0] > last:
                    break
                child = part[2]
                kind = child.type
                if not decorated and kind.endswith(row.statement) and child.is_named:
                    yield part
                if kind in row.containers:
                    stack.append((child, kind == "decorated_definition"))

    def _parts_of(self, node: Node) -> list[_Part]:
        known = self._parts.get(node.id)
        if known is None:
            known = [(child.start_point.row, child.end_point.row, child) for child in node.children]
            self._parts[node.id] = known
        return known

    def _span(self, top: int, bottom: int, node: Node) -> Span | None:
        """None when the node does not start its line, as after `;` or on the last line of a
        string."""
        start, column = self.starts[top], node.start_point.column
        head = self.text[start : start + column + 1]  # blanks, then what begins the statement
        if len(head) - len(head.lstrip(_BLANKS)) != column:
            return None
        if node.end_point.column == 0 and bottom > top:
            bottom -= 1
        after = self.starts[bottom + 1] - 1 if bottom + 1 < len(self.starts) else len(self.text)
        level = 0 if column == 0 else 1 if node.type in self._row.definition else 2
        return Span(start, after, level)

    def _row_of(self, offset: int) -> int:
        return bisect_right(self.starts, offset) - 1


def _last_row(part: _Part) -> int:
    return part[1]


def statements(text: str, language: str) -> Statements:
    """Of a text that is parsed for it."""
    known = language_row(language).has_statements
    return Statements(text, language, parse(text, language) if known else None)


@lru_cache(maxsize=8)
def spans(text: str, language: str) -> tuple[Span, ...]:
    """The statements of a text in order of their starts; none where we do not know them."""
    found: dict[int, Span] = {}
    for span in statements(text, language).touching(0, len(text)):
        found.setdefault(span.start, span)
    return tuple(found[start] for start in sorted(found))


def line_starts(text: str) -> list[int]:
    """The offset of each line's first character; only "\\n" ends a line, as in tree-sitter."""
    return [0, *(match.end() for match in re.finditer("\n", text))]
