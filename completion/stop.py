"""When a streamed answer is complete: the end of the line, the statement or the block.

The answer is read character by character, so it does not matter how it arrives in pieces.
"""

import re

from completion.hole import Hole
from completion.lexer import CLOSERS, columns
from completion.overlap import (
    is_distinct,
    next_lines,
    remainder,
    trim_remainder,
    trim_trailing_space,
)

# Lines of the suffix that are compared with the answer's: two in a row are no chance.
NEXT_LINES = 2


class StopRule:
    """Feed it the answer; `text` is what to keep of it so far.

    `repeats_suffix`: it was stopped because it typed again what the suffix has.
    `prefix` and `suffix` may be cut, but not within the cursor's line and the two after it.
    """

    def __init__(self, prefix: str, suffix: str, hole: Hole, max_lines: int) -> None:
        assert max_lines >= 1, "an answer has at least one line"
        self.stopped = False
        self.repeats_suffix = False
        self._prefix = prefix
        self._suffix = suffix
        self._hole = hole
        self._max_lines = max_lines
        self._answer = ""
        self._lexer = hole.lexer.copy()
        self._floor = hole.floor
        self._remainder = remainder(suffix)
        self._next_lines = next_lines(suffix, NEXT_LINES)
        self._repeat_at = 0  # where the answer's lines began to equal the suffix's next ones
        self._repeated = 0  # how many of them do
        self._in_first_string = bool(hole.lexer.quote)

        left = prefix[prefix.rfind("\n") + 1 :]
        self._line = left  # the current line as it stands in the document
        self._line_start = 0
        self._line_whole = not left.strip()  # no text of the prefix on it
        self._lines = 1
        self._accepted = 0  # the end of the last line that surely belongs to the answer
        self._indenting = self._line_whole and not hole.head
        self._pending = self._indenting  # the current line has yet to show that it belongs
        self._begun = bool(hole.head)
        self._decorated = False
        self._logical = hole.head  # the current logical line
        self._opens_clauses = False
        self._statement_indent = hole.indent
        self._in_body = hole.kind == "block"
        self._body_indent: int | None = None
        self._word: str | None = None  # a word at the statement's column: `else`, or the next one

    @property
    def text(self) -> str:
        """The part of the answer to keep, without trailing space."""
        end = self._accepted if self._pending or self._word is not None else len(self._answer)
        return trim_trailing_space(self._answer[:end], self._suffix)

    def feed(self, piece: str) -> bool:
        """Take the next piece of the answer; true when generation can stop."""
        for ch in piece:
            if self.stopped:
                break
            self._step(ch)
        return self.stopped

    def _stop(self, end: int, instead_of: str = "") -> None:
        """Keep the answer up to `end`; `instead_of` is what came there in the suffix's place."""
        self.stopped = True
        self._pending = False
        self._word = None
        if instead_of and self._begins_next_line(self._line + instead_of):
            end = min(end, self._repeat_at if self._repeated else self._line_start)
        kept = self._answer = self._answer[:end]
        if self._remainder:
            self._trim_remainder(instead_of)
        self.repeats_suffix |= instead_of.strip() != "" or self._answer != kept

    def _begins_next_line(self, line: str) -> bool:
        expected = self._next_lines[self._repeated : self._repeated + 1]
        return self._line_whole and bool(expected) and expected[0].startswith(line)

    def _trim_remainder(self, instead_of: str) -> None:
        """The remainder up to the character that stopped us was typed again, or part of it."""
        rest = self._remainder
        longest = len(rest) - 1
        if rest[0] in CLOSERS and not self._hole.lexer.quote:
            # Only brackets that the answer has to leave open were closed again by it.
            longest = min(longest, len(self._hole.closers) - len(self._hole.lexer.stack))
        if instead_of == "\n":
            sizes = [len(rest)]
        elif instead_of and rest[0] != self._hole.lexer.quote[:1]:
            sizes = [size for size in range(longest, 0, -1) if rest[size] == instead_of]
        else:
            sizes = []
        kept = self._answer.rstrip() if instead_of == "\n" else self._answer
        for size in sizes:
            if kept.endswith(rest[:size]):
                self._answer = kept[:-size]
                return
        self._answer = trim_remainder(self._answer, self._prefix, self._suffix, self._hole)

    def _step(self, ch: str) -> None:
        at = len(self._answer)
        if self._lexer.in_code and ch in CLOSERS and self._closes_for_suffix():
            return self._stop(at, ch)
        if not self._may_begin(ch, at):
            return None
        self._answer += ch
        self._logical += ch
        last, quote = self._lexer.last, self._lexer.quote
        logical_end = self._lexer.step(ch)
        if self._in_first_string and not self._lexer.quote:
            self._in_first_string = False
            if self._hole.string_closed and ch != "\n":
                return self._stop(at + 1 - len(self._hole.lexer.quote), quote[0])
        if ch == "\n" and quote and not self._lexer.quote:
            return self._stop(at, ch)  # a string of one line cannot go on
        if ch == "\n":
            return self._end_line(at, logical_end, last)
        self._line += ch
        return None

    def _closes_for_suffix(self) -> bool:
        """A closer now would close what the suffix closes, or what nobody opened."""
        return len(self._lexer.stack) <= self._floor

    # Lines: their start, where indentation counts, and their end.

    def _may_begin(self, ch: str, at: int) -> bool:
        """Judge a logical line by its indentation and first word; false when we stopped."""
        if self._word is not None:
            return self._may_continue(ch)
        if not self._indenting or ch in " \t\n":
            return True
        self._indenting = False
        column = columns(self._line)
        self._pending = False
        if ch == self._lexer.language.comment:
            self._pending = column < self._least_column()
            return True
        if self._in_body:
            return self._begin_in_body(column, ch)
        if not self._begun:
            if column < self._hole.indent:
                self._stop(self._accepted)
                return False
            self._begun = True
            self._statement_indent = column
        elif self._decorated and column != self._statement_indent:
            self._stop(self._accepted)
            return False
        return True

    def _least_column(self) -> int:
        if self._in_body and self._body_indent is not None:
            return self._body_indent
        if self._hole.kind == "block":
            return self._hole.indent
        return self._statement_indent + self._in_body

    def _begin_in_body(self, column: int, ch: str) -> bool:
        if column >= self._least_column():
            if self._body_indent is None:
                self._body_indent = column
            return True
        clause = self._hole.kind == "statement" and column == self._statement_indent
        if clause and self._opens_clauses:
            self._word = ""
            return self._may_continue(ch)
        self._stop(self._accepted)
        return False

    def _may_continue(self, ch: str) -> bool:
        """Whether the word at the statement's column is `else` or the like."""
        clauses = self._lexer.language.clauses
        assert self._word is not None
        if ch.isalnum() or ch == "_":
            self._word += ch
            if any(clause.startswith(self._word) for clause in clauses):
                return True
        elif self._word in clauses:
            self._word = None
            self._body_indent = None
            return True
        self._stop(self._accepted)
        return False

    def _end_line(self, at: int, logical_end: bool, last: str) -> None:
        line, whole = self._line.rstrip(), self._line_whole
        first_line = self._lines == 1
        if whole and line and self._repeats_suffix(line):
            self.repeats_suffix = True
            return self._stop(self._repeat_at)
        if line and not self._pending:
            self._accepted = at
        if self._hole.kind == "line" or (first_line and self._ends_at_remainder()):
            return self._stop(at, "\n")
        if logical_end and self._statement_ends(last):
            return self._stop(at, "\n" if first_line else "")
        if self._lines == self._max_lines:
            return self._stop(at if not self._pending else self._accepted)
        self._lines += 1
        self._line = ""
        self._line_start = at + 1
        self._line_whole = True
        self._indenting = logical_end
        self._pending = logical_end  # until it has shown its indentation
        return None

    def _ends_at_remainder(self) -> bool:
        """Whether text right of the cursor leaves no room for a second line.

        A closing bracket there does, when the lines stand inside its pair.
        """
        rest = self._remainder
        if self._lexer.quote:
            return bool(rest) and self._line.rstrip().endswith(rest)
        if not rest or len(self._lexer.stack) > self._floor:
            return False
        return not self._floor or rest[0] not in CLOSERS

    def _repeats_suffix(self, line: str) -> bool:
        """Whether this line and those before it are the suffix's next ones."""
        expected = self._next_lines
        if self._repeated and line == expected[self._repeated]:
            self._repeated += 1
        elif expected and line == expected[0]:
            self._repeated = 1
            self._repeat_at = self._line_start
        else:
            self._repeated = 0
        enough = is_distinct(line) or self._repeated == len(expected)
        return bool(self._repeated) and enough

    def _statement_ends(self, last: str) -> bool:
        """At the end of a logical line whose last character of code is `last`."""
        language = self._lexer.language
        logical, self._logical = self._logical.lstrip(), ""
        if not last or self._in_body:
            return False
        if language.decorator and logical.startswith(language.decorator):
            self._decorated = True
            return False
        self._decorated = False
        next_indent = self._hole.next_indent
        body_exists = next_indent is not None and next_indent > self._statement_indent
        if last != language.opener or body_exists:
            return True
        self._in_body = True
        self._opens_clauses = re.split(r"\W", logical, maxsplit=1)[0] in language.compound
        return False
