"""What in a file with a text in its hole has no partner: brackets, and strings and comments.

Read by one expression a language, over the whole file: code at a cursor is broken, and a parser's
repair of it says nothing of pairs. The lines above the cursor's and those below are read once.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from completion.languages import PLAINTEXT, Language, words
from completion.lexer import CLOSERS, OPENERS

# Where an apostrophe begins a string, not a single character or a lifetime.
_LONG_SINGLE = words(
    "javascript javascriptreact typescript typescriptreact python ruby php shellscript lua plaintext"
)
_SLASHED = words("javascript javascriptreact typescript typescriptreact")
# A slash begins a regular expression behind these, or at a line's start, if another one ends it.
_SLASH = (
    r"(?:(?<=[=(,:;!&|?{\[+])|(?<=return)|(?<=case)|^)[ \t]*"
    r"/(?![/*])(?:[^/\\\n\[]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n])*\])+/"
)
# What stands in `${}` may hold a template itself.
_TEMPLATE = r"`(?>\\[\s\S]|\$\{(?>[^{}`]|`[^`]*`|\{[^{}`]*\})*\}|[^\\`])*+`"


Hidden = Literal["", "string", "comment"]


@dataclass(frozen=True)
class Unpaired:
    """`brackets` without a partner, of which `closers` stand behind the cursor. `strings`: how
    many strings and comments that may have many lines have no end. `quotes`: how many strings of
    one line have none on the cursor's lines. `hides`: what it is that begins in the text and goes
    on over what stands behind it.
    """

    brackets: int
    closers: int
    strings: int
    quotes: int
    hides: Hidden = ""

    @property
    def none(self) -> bool:
        return not (self.brackets or self.strings or self.quotes)

    @property
    def others(self) -> int:
        """Brackets that are no such closers."""
        return self.brackets - self.closers

    @property
    def told(self) -> bool:
        """Whether it is known what is code and what is not, so that the brackets are those."""
        return not (self.strings or self.quotes)


@dataclass
class Pairs:
    """The file around a hole."""

    prefix: str
    suffix: str
    row: Language
    _known: dict[str, Unpaired] = field(default_factory=dict)

    def with_text(self, text: str) -> Unpaired:
        if text not in self._known:
            self._known[text] = self._unpaired(text)
        return self._known[text]

    def awaits_comment(self) -> bool:
        """Whether the suffix ends a comment of many lines that it did not begin."""
        if not self.row.block_remark:
            return False
        code = _pairing(self.row).sub(" ", self.suffix)
        return self.row.block_remark[1] in code

    def _unpaired(self, text: str) -> Unpaired:
        start = self.prefix.rfind("\n") + 1
        newline = self.suffix.find("\n")
        newline = len(self.suffix) if newline < 0 else newline
        above, below = self.prefix[:start], self.suffix[newline + 1 :]
        document = self.prefix + text + self.suffix
        cursor, end = len(self.prefix) + len(text), len(document) - len(below)
        head = _head(above, self.row)
        found = _Reading(list(head.brackets), head.alone)
        for match in _pairing(self.row).finditer(document, head.end):
            straddles = len(self.prefix) <= match.start() < cursor < match.end()
            if straddles and document[cursor : match.end()].strip():
                found.hides = "comment" if match["comment"] else "string"
            if match.end() > end > match.start():  # a string goes on below
                rest = _pairing(self.row).finditer(document, match.end())
                for one in rest:
                    found.take(one, self.row, True, False)
                return found.unpaired()
            if match.start() >= end:
                break
            found.take(match, self.row, match.start() >= cursor, match.start() >= start)
        tail = _tail(below, self.row)
        found.brackets_follow(tail.brackets, True)
        found.strings += tail.strings
        return found.unpaired()


def read_around(prefix: str, suffix: str, row: Language) -> None:
    """The lines above the cursor's and those below. Called while the model is at work, it costs
    the answer nothing."""
    newline = suffix.find("\n")
    _head(prefix[: prefix.rfind("\n") + 1], row)
    _tail(suffix[newline + 1 :] if newline >= 0 else "", row)


@dataclass
class _Reading:
    """`brackets` are open, `alone` counts those that have lost their partner, and `closers` those
    that never had one and stand behind the cursor."""

    brackets: list[str]
    alone: int = 0
    closers: int = 0
    strings: int = 0
    quotes: int = 0
    hides: Hidden = ""

    def take(self, match: re.Match[str], row: Language, behind: bool, on_line: bool) -> None:
        if match.lastgroup == "open":
            many = _has_many_lines(match[0], row)
            self.strings += many
            self.quotes += on_line and not many
        elif not match.lastgroup:
            self.brackets_follow(match[0], behind)

    def brackets_follow(self, brackets: str, behind: bool) -> None:
        stack = self.brackets
        for bracket in brackets:
            if bracket in OPENERS:
                stack.append(bracket)
            elif CLOSERS[bracket] not in stack:
                self.alone += 1
                self.closers += behind
            else:
                while stack.pop() != CLOSERS[bracket]:
                    self.alone += 1

    def unpaired(self) -> Unpaired:
        brackets = self.alone + len(self.brackets)
        return Unpaired(brackets, self.closers, self.strings, self.quotes, self.hides)


@dataclass(frozen=True)
class _Part:
    """`end`: up to where it is known what is what, whatever follows the part."""

    brackets: str
    alone: int
    strings: int
    end: int


@lru_cache(maxsize=8)
def _head(text: str, row: Language) -> _Part:
    """Cached: the lines above the cursor's are the same from key to key."""
    found = _Reading([])
    for match in _pairing(row).finditer(text):
        if match.lastgroup == "open" and _has_many_lines(match[0], row):
            return _Part("".join(found.brackets), found.alone, 0, match.start())
        found.take(match, row, False, False)
    return _Part("".join(found.brackets), found.alone, 0, len(text))


@lru_cache(maxsize=8)
def _tail(text: str, row: Language) -> _Part:
    """The brackets without those that find their partner at once."""
    left: list[str] = []
    found = _Reading([])
    for match in _pairing(row).finditer(text):
        if match.lastgroup:
            found.take(match, row, True, False)
        elif match[0] in CLOSERS and left and left[-1] == CLOSERS[match[0]]:
            left.pop()
        else:
            left.append(match[0])
    return _Part("".join(left), 0, found.strings, len(text))


def _has_many_lines(opening: str, row: Language) -> bool:
    return len(opening) > 1 or opening == "`" or (opening == '"' and row.name == "rust")


@lru_cache(maxsize=32)
def _pairing(row: Language) -> re.Pattern[str]:
    """Brackets in code, whole strings and comments, and what opens one that has no end."""
    comments = [rf"(?:{mark})[^\n]*" for mark in row.remarks]
    whole: list[str] = []
    opened: list[str] = []
    if row.block_remark:
        opening, closing = map(re.escape, row.block_remark)
        comments.append(rf"{opening}[\s\S]*?{closing}")
        opened.append(opening)
    if row is PLAINTEXT:
        whole.append(r"(?<=\w)'")  # no quote in prose: don't
    if row.name in _SLASHED:
        whole.append(_SLASH)
    if row.name == "rust":
        whole.append(r'\br(?P<hashes>#*)"[\s\S]*?"(?P=hashes)|\bbr(?P<more>#*)"[\s\S]*?"(?P=more)')
    if row.name not in _LONG_SINGLE:
        whole.append(r"'(?:\\[^\n]{1,9}?|[^\\'\n])'")
    for quote in row.strings:
        if quote != "'" or row.name in _LONG_SINGLE:
            whole.append(_string(quote, row))
        opened.append(re.escape(quote))
    pattern = rf"(?P<comment>{'|'.join(comments)})|(?P<whole>{'|'.join(whole)})|(?P<open>{'|'.join(opened)})|[()\[\]{{}}]"
    return re.compile(pattern, re.MULTILINE)


def _string(quote: str, row: Language) -> str:
    if quote == "`":
        return "`[^`]*`" if row.name == "go" else _TEMPLATE
    plain = rf"[^\\{quote[0]}]" if _has_many_lines(quote, row) else rf"[^\\{quote[0]}\n]"
    inner = rf"(?!{quote}){quote[0]}|" if len(quote) > 1 else ""
    # Three in a row that nothing ends are not an empty string and a quote.
    alone = rf"(?!{quote}{quote})" if quote * 3 in row.strings else ""
    return rf"{quote}{alone}(?:{inner}{plain}|\\[\s\S])*{quote}"
