"""One text at two moments: what differs, token by token, and where the rest has gone.

Offsets count bytes of UTF-8; line ends are "\\n".
"""

import itertools
import re
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from tree_sitter import Node

from completion import syntax

# A change of more lines or tokens than this is none that a person types in passing.
MOST_LINES = 300
LONGEST_SPAN = 3000  # lines between the first change and the last
MOST_TOKENS = 3000
TOKEN = re.compile(rb"[\w$\x80-\xff]+|[^\w$\x80-\xff]", re.DOTALL)
_numbers = itertools.count()
NAME = re.compile(rb"(?!\d)[\w$\x80-\xff]+")


class Segment(NamedTuple):
    """`old[start:end]` became `new[new_start:new_end]`."""

    start: int
    end: int
    new_start: int
    new_end: int


class Source:
    """A text with its tree."""

    def __init__(self, text: str, language: str) -> None:
        self.number = next(_numbers)
        self.data = syntax.encoded(text)
        self.language = language
        self._root: Node | None = None
        self._parsed = False
        self.kept: dict[str, Any] = {}  # what others have read from the tree, by name

    @property
    def root(self) -> Node | None:
        """None without a grammar, and where parsing took too long."""
        if not self._parsed:
            self._root = syntax.parse_bytes(self.data, self.language, syntax.LIMIT_S)
            self._parsed = True
        return self._root

    def position(self, byte: int) -> tuple[int, int]:
        """Row and column, in characters, both from 0."""
        start = self.data.rfind(b"\n", 0, byte) + 1
        return self.data.count(b"\n", 0, byte), len(self.data[start:byte].decode())

    def byte(self, offset: int) -> int:
        """Of an offset in characters."""
        return len(self.data.decode()[:offset].encode())

    def spelled(self, start: int, end: int) -> str:
        return self.data[start:end].decode("utf-8", "replace")


class Diff:
    """What leads from one text to another."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments

    def now(self, start: int, end: int) -> tuple[int, int] | None:
        """Where an untouched stretch of the old text stands in the new; None if it was touched."""
        shift = 0
        for one in self.segments:
            if one.start >= end and not (start == end == one.start == one.end):
                break
            if one.end > start or (one.start == one.end == start == end):
                return None
            shift = one.new_end - one.end
        return start + shift, end + shift

    def touches(self, start: int, end: int) -> bool:
        """Whether something changed between these bytes of the new text, or at their ends."""
        return any(one.new_start <= end and one.new_end >= start for one in self.segments)


def difference(old: bytes, new: bytes) -> Diff | None:
    """None of texts too different to be one small change."""
    top, before, after = _trimmed(old, new)
    codes = _line_codes(before, after)
    if codes is None:
        return None
    segments: list[Segment] = []
    at, new_at = top, top
    for tag, a, b, c, d in codes:
        gone, come = before[a:b], after[c:d]
        if tag == "equal":
            at += sum(map(len, gone))
            new_at += sum(map(len, come))
            continue
        couples = [(b"".join(gone), b"".join(come))]
        if len(gone) == len(come):
            couples = list(zip(gone, come, strict=True))
        for one, other in couples:
            found = _tokens(one, other, at, new_at)
            if found is None:
                return None
            segments += found
            at += len(one)
            new_at += len(other)
    return Diff(segments)


def _line_codes(
    before: list[bytes], after: list[bytes]
) -> list[tuple[str, int, int, int, int]] | None:
    """What differs, in lines, as `SequenceMatcher` says it; None if that is too much."""
    if len(before) == len(after):
        changed = [row for row, line in enumerate(before) if line != after[row]]
        if len(changed) <= MOST_LINES:
            codes: list[tuple[str, int, int, int, int]] = []
            at = 0
            for row in [*changed, len(before)]:
                codes.append(("equal", at, row, at, row))
                at = min(row + 1, len(before))
                codes.append(("replace", row, at, row, at))
            return codes
    if max(len(before), len(after)) > LONGEST_SPAN:
        return None
    codes = list(SequenceMatcher(None, before, after).get_opcodes())
    touched = sum(max(b - a, d - c) for tag, a, b, c, d in codes if tag != "equal")
    return codes if touched <= MOST_LINES else None


def _trimmed(old: bytes, new: bytes) -> tuple[int, list[bytes], list[bytes]]:
    """Where the first changed line begins, and the lines from there to the last changed one."""
    start, end, new_end = syntax.edit_between(old, new)
    start = old.rfind(b"\n", 0, start) + 1
    tail = min(len(old) - end, len(new) - new_end)
    line_end = old.find(b"\n", len(old) - tail)
    tail = len(old) - line_end - 1 if line_end >= 0 else 0
    before, after = old[start : len(old) - tail], new[start : len(new) - tail]
    return start, before.splitlines(keepends=True), after.splitlines(keepends=True)


def _tokens(old: bytes, new: bytes, at: int, new_at: int) -> list[Segment] | None:
    before, after = TOKEN.findall(old), TOKEN.findall(new)
    if max(len(before), len(after)) > MOST_TOKENS:
        return None
    starts, new_starts = _starts(before, at), _starts(after, new_at)
    return [
        Segment(starts[a], starts[b], new_starts[c], new_starts[d])
        for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if tag != "equal"
    ]


def _starts(tokens: list[bytes], at: int) -> list[int]:
    starts = [at]
    for token in tokens:
        starts.append(starts[-1] + len(token))
    return starts
