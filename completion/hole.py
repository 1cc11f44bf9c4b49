"""What the cursor waits for: the rest of a line, of a statement, or a block's whole body.

Read from the text by `lexer`, not from a syntax tree: code at a cursor is broken, and a parser's
repair of it changes from key to key.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from completion.languages import Language, language_row
from completion.lexer import CLOSERS, Lexer, columns, indentation
from completion.shared import shared_length

Kind = Literal["line", "statement", "block"]
Inside = Literal["code", "comment", "string"]

# How far the suffix is read for the brackets that it closes, in characters. A longer bracketed
# statement after the cursor counts as not closed.
CLOSERS_LIMIT = 8000
# A text above this is read from this many characters before the cursor, from a line's start on.
HEAD_LIMIT = 256 * 1024

_DOCSTRING = re.compile(
    r"""\s*[rRuU]?(?:\"{3}.*\"{3}|'{3}.*'{3}|"[^"]*"|'[^']*')\s*\Z""", re.DOTALL
)
_CLOSING_ONLY = re.compile(r"[\s)\]}:,;'\"`]*\Z")


@dataclass(frozen=True)
class Hole:
    """The cursor's place.

    `kind`: "line" ends at the newline (always, in a language whose
    statements we do not know); "statement"
    ends with the statement, a compound one with its body; "block" ends before the first line
    left of `indent`.
    `indent`: the statement's column, or the least that a line of the block may have.
    `inside`: what the cursor stands in. `head`: the statement's text before the cursor, ""
    where it has yet to begin. `next_indent`: the column of the next line of code, None at the
    end. `closers`: brackets that the suffix closes without having opened them, as far as the
    statement may reach. `string_closed`: the suffix ends the string the cursor is in.
    `lexer`: its state at the cursor; copy before feeding.
    """

    kind: Kind
    indent: int
    inside: Inside
    head: str
    next_indent: int | None
    closers: str
    string_closed: bool
    lexer: Lexer

    @property
    def floor(self) -> int:
        """How many of the brackets open at the cursor the suffix closes: the outermost ones."""
        stack, closers = self.lexer.stack, self.closers
        most = min(len(stack), len(closers))
        # What the suffix closes first may be what the answer has to open.
        last = next((i for i in range(most) if CLOSERS[closers[-1 - i]] != stack[i]), most)
        for count in range(most, last, -1):
            if all(CLOSERS[closers[i]] == stack[count - 1 - i] for i in range(count)):
                return count
        return last


@lru_cache(maxsize=4)
def hole_kind(text: str, offset: int, language: str) -> Hole:
    """What the cursor at this character offset waits for. Line ends must be "\\n".

    Cached: from the gate to the display one request asks for it four times.
    """
    assert 0 <= offset <= len(text), "the cursor is outside the document"
    line_start = text.rfind("\n", 0, offset) + 1
    line_end = text.find("\n", offset)
    line_end = len(text) if line_end < 0 else line_end
    left, right = text[line_start:offset], text[offset:line_end]
    assert not right.endswith("\r"), 'line ends must be "\\n" by now'
    head_start = 0
    if line_start > HEAD_LIMIT:
        head_start = text.find("\n", line_start - HEAD_LIMIT) + 1
    lines = logical_lines(text[head_start:line_start], language)
    lexer = lines.lexer.copy()
    logical = head_start + lines.starts[-1]
    lexer.feed(left)
    row = lexer.language
    inside: Inside = "comment" if lexer.comment else "string" if lexer.quote else "code"
    head = text[logical:offset].lstrip()
    indent = indentation(text[logical:offset])
    next_indent = _next_indent(text, line_end, row.comment)
    string_closed = bool(lexer.quote) and closes_string(lexer.quote, text[offset:])
    kind: Kind = "statement"
    if inside == "comment" or not row.has_statements or not _CLOSING_ONLY.match(right):
        kind = "line"
    elif not head and not right.strip():
        block = _block_indent(lines, columns(left), next_indent, row)
        if block is not None:
            kind, indent = "block", block
    lexer.extra, lexer.broken = [], False
    after = lexer.copy()
    after.quote = lexer.quote if string_closed else ""
    closers = closers_in(text[offset : offset + CLOSERS_LIMIT], after, indent)
    return Hole(kind, indent, inside, head, next_indent, closers, string_closed, lexer)


@dataclass(frozen=True)
class LogicalLines:
    """A text's logical lines by their starts, and the lexer's state at its end, but for what it
    has found to be wrong on the way."""

    text: str
    starts: list[int]
    lexer: Lexer

    def last_code(self, before: int) -> int | None:
        """The index of the last logical line with code on it, among those below `before`."""
        for index in range(before - 1, -1, -1):
            if self._lex(index).last:
                return index
        return None

    def code_end(self, index: int) -> str:
        """The last character of code on this logical line."""
        return self._lex(index).last

    def line(self, index: int) -> str:
        end = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[index] : end].rstrip()

    def _lex(self, index: int) -> Lexer:
        lexer = Lexer(self.lexer.language)
        lexer.feed(self.line(index))
        return lexer


# By language, the text that was read last.
_read: dict[str, LogicalLines] = {}


@lru_cache(maxsize=8)
def logical_lines(text: str, language: str) -> LogicalLines:
    """Cached: the lines before the cursor's line are the same from key to key, and after Enter
    all but the last are."""
    lexer, starts, last = Lexer(language_row(language)), [0], _read.get(language)
    if last is not None:
        # Whether a line starts a statement hangs on its first word: one that ends in what both
        # texts have is the last to be sure of, and nothing is open where it starts.
        shared = shared_length(last.text, text)
        starts = last.starts[: max(1, bisect_right(last.starts, shared) - 1)]
    begin = starts[-1]
    if begin:
        lexer.previous = "\n"
    starts += [begin + start for start in lexer.feed(text[begin:])]
    found = _read[language] = LogicalLines(text, starts, lexer)
    return found


def _next_indent(text: str, line_end: int, comment: str) -> int | None:
    while line_end < len(text):
        start = line_end + 1
        line_end = text.find("\n", start)
        line_end = len(text) if line_end < 0 else line_end
        line = text[start:line_end]
        code = line.strip()
        if code and not (comment and code.startswith(comment)):
            return indentation(line)
    return None


def _block_indent(
    lines: LogicalLines, column: int, next_indent: int | None, row: Language
) -> int | None:
    """The least column of the body that a blank line has yet to hold; None if none is due."""
    if not row.opener:
        return None
    last = lines.last_code(len(lines.starts))
    if last is None:
        return None
    opener = last if lines.code_end(last) == row.opener else _documented(lines, last, row)
    if opener is None:
        return None
    header = indentation(lines.line(opener))
    if next_indent is not None and next_indent > header:
        return None
    if opener == last:
        return max(column, header + 1)
    return indentation(lines.line(last)) if column > header else None


def _documented(lines: LogicalLines, last: int, row: Language) -> int | None:
    """The header above a logical line that is one string, a docstring."""
    if not _DOCSTRING.match(lines.line(last)):
        return None
    opener = lines.last_code(last)
    if opener is None or lines.code_end(opener) != row.opener:
        return None
    return opener


def closers_in(suffix: str, lexer: Lexer, indent: int) -> str:
    """Closers in the suffix that close nothing in it, as far as the statement may reach.

    `lexer` tells whether the suffix starts in a string; `indent` is the statement's column, which
    ends it where indentation is syntax.
    """
    lexer = lexer.copy()
    lexer.stack, lexer.extra = [], []
    for index, line in enumerate(suffix[:CLOSERS_LIMIT].split("\n")):
        text = line.strip()
        if index and text and lexer.in_code and not lexer.stack:
            keywords = lexer.language.keywords
            dedented = lexer.language.opener and indentation(line) <= indent
            dedented = dedented and text[0] not in CLOSERS
            if dedented or (keywords and keywords.match(line)):
                break
        lexer.feed(line + "\n")
    return "".join(lexer.extra)


def closes_string(quote: str, suffix: str) -> bool:
    """An odd number of delimiters after the cursor: the first of them closes our string."""
    if len(quote) == 3:
        return suffix.count(quote) % 2 == 1
    line = suffix.split("\n", 1)[0]
    return re.sub(r"\\.", "", line).count(quote) % 2 == 1
