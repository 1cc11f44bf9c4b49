"""A lexer of strings, comments and brackets that can stop and go on at any character.

It works on broken code, which code at a cursor is, and on text that arrives in pieces. It takes
the whole of an f-string for a plain string, as Python before 3.12 did.
"""

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from completion.languages import Language

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
TAB = 8  # Python's own rule for the width of a tab in indentation


def columns(space: str) -> int:
    """How wide this indentation is."""
    return len(space.expandtabs(TAB))


def indentation(line: str) -> int:
    """The column of the first character that is not a space or a tab."""
    return columns(line[: len(line) - len(line.lstrip(" \t"))])


@dataclass
class Lexer:
    """State after the text fed so far.

    `stack` holds the open brackets, `quote` the delimiter of the string we are in, `extra` the
    closers that closed nothing. `broken`: a string of one line ended with the line, or brackets
    did not match. `last` is the last character of code (no space, no comment) on the current
    logical line, "" if it has none yet.
    """

    language: Language
    stack: list[str] = field(default_factory=list)
    quote: str = ""
    comment: bool = False
    escape: bool = False
    extra: list[str] = field(default_factory=list)
    broken: bool = False
    last: str = ""
    previous: str = ""
    run: int = 0  # quotes in a row, in a triple-quoted string
    fresh: bool = False  # the string we are in is empty so far
    empty: str = ""  # quote of the empty string that just ended: a third one makes it triple

    def copy(self) -> "Lexer":
        return replace(self, stack=list(self.stack), extra=list(self.extra))

    @property
    def in_code(self) -> bool:
        return not self.quote and not self.comment

    def step(self, ch: str) -> bool:
        """Take one character; true if it is the newline that ends a logical line."""
        if self.comment:
            self.comment = ch != "\n"
            ended = ch == "\n" and not self.stack
        elif self.quote:
            ended = self._in_string(ch)
        else:
            ended = self._in_code(ch)
        self.previous = ch
        if ended:
            self.last = ""
        return ended

    def feed(self, text: str) -> list[int]:
        """Take a text; the offsets in it at which logical lines start, after each end."""
        starts: list[int] = []
        code, string = _plain_runs(self.language)
        i = 0
        while i < len(text):
            if self.comment:
                end = text.find("\n", i)
                end = len(text) if end < 0 else end
            elif self.escape:
                end = i
            else:
                run = (string if self.quote else code).match(text, i)
                end = run.end() if run else i
            if end > i:
                self._skip(text[i:end])
            if end == len(text):
                break
            ended = self.step(text[end])
            i = end + 1
            if text[end] == "\n" and not ended and self._starts_statement(text, i):
                self.stack.clear()
                self.last = ""
                ended = True
            if ended:
                starts.append(i)
        return starts

    def _starts_statement(self, text: str, i: int) -> bool:
        """A bracket left open above must not swallow the rest of the file."""
        keywords = self.language.keywords
        return bool(self.stack and self.in_code and keywords and keywords.match(text, i))

    def _skip(self, run: str) -> None:
        """Take a run of characters that cannot change where we are."""
        self.previous = run[-1]
        if self.quote:
            self.run = 0
            self.fresh = False
        elif not self.comment:
            self.empty = ""
            self.last = run.rstrip()[-1:] or self.last

    def _in_string(self, ch: str) -> bool:
        fresh, self.fresh = self.fresh, False
        if self.escape:
            self.escape = False
        elif ch == "\\":
            self.escape = True
            self.run = 0
        elif ch == self.quote[0]:
            self.run += 1
            if len(self.quote) == 1:
                self.empty = ch if fresh and self.language.triple else ""
            if self.run >= len(self.quote):
                self._close_string()
        else:
            self.run = 0
            if ch == "\n" and len(self.quote) == 1:
                self.broken = True
                self._close_string()
                return not self.stack
        return False

    def _close_string(self) -> None:
        self.last = self.quote[0]
        self.quote = ""
        self.run = 0

    def _in_code(self, ch: str) -> bool:
        empty, self.empty = self.empty, ""
        if self.escape:
            self.escape = False
            if ch == "\n":
                return False
        if ch == "\n":
            return not self.stack
        if ch == empty:
            self.quote = ch * 3
            self.run = 0
            return False
        comment = self.language.comment
        if comment and (self.previous + ch).endswith(comment):
            self.comment = True
            return False
        if ch in self.language.quotes and not self._is_apostrophe(ch):
            self.quote = ch
            self.run = 0
            self.fresh = True
        elif ch == "\\":
            self.escape = True
        elif ch in OPENERS:
            self.stack.append(ch)
        elif ch in CLOSERS:
            self._close(ch)
        if not ch.isspace():
            self.last = ch
        return False

    def _is_apostrophe(self, ch: str) -> bool:
        """In prose `don't` opens no string; where we know the language, r'x' does."""
        return ch == "'" and not self.language.has_statements and self.previous.isalnum()

    def _close(self, ch: str) -> None:
        opener = CLOSERS[ch]
        if not self.stack:
            self.extra.append(ch)
        elif self.stack[-1] == opener:
            self.stack.pop()
        else:
            self.broken = True
            if opener in self.stack:
                while self.stack.pop() != opener:
                    pass


@lru_cache(maxsize=16)
def _plain_runs(language: Language) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Runs of characters to skip at once, in code and in strings: most of any text."""
    quotes = re.escape(language.quotes)
    comment = re.escape(language.comment[-1:])
    return re.compile(rf"[^\[\](){{}}\\\n{quotes}{comment}]+"), re.compile(rf"[^\\\n{quotes}]+")
