"""Indentation: as the file writes it, and at columns that the scope has.

Where indentation is no syntax only its characters are mended.
"""

import math
import re

from completion.hole import HEAD_LIMIT, Hole, logical_lines
from completion.lexer import columns, indentation

_SPACE = re.compile(r"[ \t]*")
_INDENTS = re.compile(r"^(?:\t+|[ ]+)(?=\S)", re.MULTILINE)
_SAMPLE = 20_000  # characters before the cursor that show the file's style


def fit_indentation(text: str, prefix: str, hole: Hole) -> str:
    """In the file's tabs or spaces, moved to the scope, and cut where it leaves it."""
    text = in_the_files_style(text, prefix, hole)
    row = hole.lexer.language
    left = prefix[prefix.rfind("\n") + 1 :]
    starts_here = not left.strip() and not hole.head and not text.startswith("\n")
    if not row.opener or hole.inside != "code" or len(prefix) > HEAD_LIMIT:
        return text
    scope = _Scope(prefix[: len(prefix) - len(left)], hole)
    if starts_here:
        text = scope.moved(text, left)
    return scope.cut(text, left, starts_here)


def in_the_files_style(text: str, prefix: str, hole: Hole) -> str:
    """Tabs for spaces or spaces for tabs, if all lines above have the other."""
    found = _INDENTS.findall(prefix[-_SAMPLE:])
    tabs = sum(one[0] == "\t" for one in found)
    if not found or 0 < tabs < len(found):
        return text
    lexer = hole.lexer.copy()
    lines, in_string = text.split("\n"), []
    for line in lines:
        in_string.append(bool(lexer.quote))
        lexer.feed(line + "\n")
    # What stands left of the first line is the user's; its own space counts only at column 0.
    free = [not string for string in in_string]
    free[0] = free[0] and not prefix[prefix.rfind("\n") + 1 :].strip()
    spaces = [_SPACE.match(line)[0] if ok else "" for line, ok in zip(lines, free, strict=True)]  # type: ignore[index]
    unit = _unit(found) if not tabs else _unit_of_spaces(spaces)
    if not unit:
        return text
    return "\n".join(
        _respelled(space, bool(tabs), unit) + line[len(space) :]
        for space, line in zip(spaces, lines, strict=True)
    )


def _unit(found: list[str]) -> int:
    return math.gcd(*map(len, found)) if math.gcd(*map(len, found)) > 1 else 4


def _unit_of_spaces(spaces: list[str]) -> int:
    """How many spaces of the answer make one tab; 0 where they tell nothing."""
    widths = [space.count(" ") for space in spaces if " " in space]
    return next((unit for unit in (4, 2, 8) if all(w % unit == 0 for w in widths)), 0)


def _respelled(space: str, tabs: bool, unit: int) -> str:
    if tabs:
        return "\t" * (space.count("\t") + space.count(" ") // unit) if " " in space else space
    return space.replace("\t", " " * unit)


class _Scope:
    """The columns at which a statement may begin, innermost last."""

    def __init__(self, above: str, hole: Hole) -> None:
        row = hole.lexer.language
        lines = logical_lines(above, row.name)
        self._hole = hole
        self._columns: list[int] = []
        last = lines.last_code(len(lines.starts))
        self._opened = last is not None and lines.code_end(last) == row.opener
        for index in range(last if last is not None else -1, -1, -1):
            line = lines.line(index)
            column, code = indentation(line), line.strip()
            if not code or code.startswith(row.comment):
                continue
            if not self._columns or column < self._columns[0]:
                self._columns.insert(0, column)
            if not column:
                break
        self._columns = self._columns or [0]

    def _allows(self, column: int) -> bool:
        if not self._opened:
            return column in self._columns
        wanted = self._hole.next_indent
        deeper = wanted if wanted is not None and wanted > self._columns[-1] else None
        return column == deeper if deeper is not None else column > self._columns[-1]

    def moved(self, text: str, left: str) -> str:
        """Moved left to a column that the scope has, if it stands deeper; "" if none is there."""
        typed = columns(left)
        space = _space_of(text)
        column = columns(left + space)
        if self._allows(column) or (space == "" and left):
            return text
        if left or not self._opened:
            fitting = [one for one in (*self._columns, typed) if self._allows(one)]
            fitting = [one for one in fitting if typed <= one < column]
            if not fitting:
                return "" if self._allows(typed) or not left else text
            return _shifted(text, column - max(fitting))
        return ""

    def cut(self, text: str, left: str, starts_here: bool) -> str:
        """Up to the first line that stands at a column which its scope does not have."""
        hole = self._hole
        lexer = hole.lexer.copy()
        first = columns(left + _space_of(text)) if starts_here else hole.indent
        open_at = [column for column in self._columns if column < first] + [first]
        least = hole.indent if not left.strip() else first
        fresh, opened, at = False, False, 0
        for number, line in enumerate(text.split("\n")):
            code = line.strip()
            comment = bool(hole.lexer.language.comment) and code.startswith(
                hole.lexer.language.comment
            )
            if number and fresh and code and not comment:
                column = indentation(line)
                if opened:
                    fits = column > open_at[-1]
                    open_at.append(column)
                else:
                    while open_at and open_at[-1] > column:
                        open_at.pop()
                    fits = bool(open_at) and open_at[-1] == column
                if not fits or column < min(least, first):
                    return text[:at].rstrip()
                opened = False
            lexer.feed(line)
            last = lexer.last
            fresh = lexer.step("\n")
            if fresh and last:
                opened = last == hole.lexer.language.opener
            at += len(line) + 1
        return text


def _space_of(line: str) -> str:
    match = _SPACE.match(line)
    return match[0] if match else ""


def _shifted(text: str, surplus: int) -> str:
    """All lines so many columns to the left, as far as they have space there."""
    lines = []
    for line in text.split("\n"):
        space = _space_of(line)
        drop = 0
        while drop < len(space) and columns(space[: drop + 1]) <= surplus:
            drop += 1
        lines.append(line[drop:])
    return "\n".join(lines)
