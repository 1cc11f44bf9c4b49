"""The names, calls and brackets of a stretch of code, in any language, read by one expression.

It reads broken code, which code at a cursor is: nothing is matched further than the stretch goes.
Offsets count characters of the whole text.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from completion.languages import Language, language_row, words
from completion.lexer import CLOSERS
from completion.syntax import grammar_of

LONGEST_RECEIVER = 80  # characters; a longer expression is cut to its end
# Words that name no definition though grammars know them by their own nodes.
_VALUES = words(
    "true false null None True False nil self this $this super cls undefined NULL nullptr"
)
_PRIMITIVES = words("int char bool boolean void float double long short unsigned byte")
_RESERVED = _VALUES | _PRIMITIVES | words("var auto val let mut const")
# Contextual keywords that are common names too.
_NAMES_TOO = words(
    "get set type string number object symbol any module method value field data item path expr"
    " block literal file meta target property param receiver event group print exec match alias"
    " add remove open A E K L P Q U"
)
# Here a name after a name is what the first is the type of.
_TYPE_FIRST = words("java csharp c cpp php")
_DEFINING = _PRIMITIVES | words("def function fn func fun class struct interface trait enum")
# Before a call they stand like a type before a definition.
_BEFORE_CALLS = words("throw yield await return new not and or in is else case do")


class Name(NamedTuple):
    """A name as used. `receiver`: the expression before its dot, "" for none. `call`: a round
    bracket opens right after it. `row` counts from 0."""

    text: str
    receiver: str
    call: bool
    row: int
    offset: int


@dataclass(slots=True)
class _Level:
    """An open bracket: what stands right before it, and where that expression began."""

    bracket: str
    offset: int
    chain: int
    callee: Name | None = None
    ends_search: bool = False


@dataclass(slots=True)
class Tokens:
    """What a stretch of code holds, and the state at its end.

    `inside`: what the end stands in, and `quote` the delimiter if that is a string. `receiver`:
    the expression before the dot that the end, or the half-typed word there, comes after.
    `word` is that half-typed word; it is not among the names.
    """

    names: list[Name] = field(default_factory=list)
    inside: Literal["code", "string", "comment"] = "code"
    quote: str = ""
    receiver: str = ""
    member: bool = False
    word: str = ""
    levels: list[_Level] = field(default_factory=list)
    last: str = ""

    @property
    def callee(self) -> Name | None:
        """Whose arguments the end stands in."""
        for level in reversed(self.levels):
            if level.callee or level.ends_search:
                return level.callee
        return None


def read(
    text: str, start: int, end: int, row: int, language: str, at_cursor: bool = True
) -> Tokens:
    """The names of `text[start:end]`; `row` is that of the start, which must stand in code.

    `at_cursor`: a cursor stands at the end, so the state there and a half-typed word count.
    """
    rules, reserved = _rules(language_row(language)), _reserved(language)
    found = Tokens()
    names, levels = found.names, found.levels
    before, before_end, chain, dot, line = "", start, start, start, start
    callee: Name | None = None
    match = None
    for match in rules.finditer(text, start, end):
        kind, at, stop = match.lastgroup, match.start(), match.end()
        gap = "" if at == before_end else text[before_end:at]
        if gap and not gap.isspace():
            before = ""
        broken = "\n" in gap
        if kind == "name":
            word = match[0]
            receiver = text[max(chain, dot - LONGEST_RECEIVER) : dot] if before == "dot" else None
            if receiver is None and word in reserved:
                before, before_end = word, stop
                continue
            row += text.count("\n", line, at)
            line = at
            defines = not broken and before in _DEFINING
            typed = not broken and before == "name" and language in _TYPE_FIRST
            if receiver is None:
                chain = at
            callee = Name(word, " ".join((receiver or "").split()), False, row, at)
            if not defines:
                names.append(callee)
            if defines or typed:  # what follows are parameters
                callee = None
            before = "name"
        elif kind == "dot":
            joined = before in ("name", "closed", "value") or before in _VALUES
            if before in _VALUES:
                chain = before_end - len(before)
            before, dot = ("dot", at) if joined else ("", at)
        elif kind == "generic":
            if before != "name":
                before = ""
            for inner in re.finditer(r"[^\W\d]\w*", match[0]):
                if inner[0] not in reserved:
                    names.append(Name(inner[0], "", False, row, at + inner.start()))
        elif kind == "open":
            levels.append(_opened(match[0], at, text, before, broken, callee, chain, language))
            if levels[-1].callee and callee:
                _mark_call(names, callee)
            callee, before = None, ""
        elif kind == "close":
            before, callee = "", None
            while levels:
                level = levels.pop()
                if level.bracket == CLOSERS[match[0]]:
                    before, chain = "closed", level.chain
                    break
        elif kind in ("string", "number"):
            before, chain, callee = "value", at, None
        if kind != "remark":
            found.last = text[stop - 1]
        before_end = stop
    if at_cursor:
        _finish(found, match, text, end, before, before_end, chain, dot, rules)
    return found


def _mark_call(names: list[Name], callee: Name) -> None:
    for index in range(len(names) - 1, -1, -1):
        if names[index].offset == callee.offset:
            names[index] = callee._replace(call=True)
            return


def _opened(
    bracket: str,
    at: int,
    text: str,
    before: str,
    broken: bool,
    callee: Name | None,
    chain: int,
    language: str,
) -> _Level:
    follows = before in ("name", "closed") and not broken
    level = _Level(bracket, at, chain if follows else at)
    if bracket == "(":
        if follows and before == "name":
            level.callee = callee and callee._replace(call=True)
            level.ends_search = callee is None  # parameters
        elif before and before not in ("closed", "value") and before not in _BEFORE_CALLS:
            level.ends_search = True  # `if (`
    elif bracket == "{" and language != "python":
        last = text[max(0, at - 40) : at].rstrip()[-1:]
        level.ends_search = last not in "(,=:[?&|" or not last  # a block, no literal
    return level


def _finish(
    found: Tokens,
    match: re.Match[str] | None,
    text: str,
    end: int,
    before: str,
    before_end: int,
    chain: int,
    dot: int,
    rules: re.Pattern[str],
) -> None:
    if match is None or before_end < end:
        gap = text[before_end:end]
        if before == "dot" and not gap.strip(" \t"):
            found.member = True
            found.receiver = " ".join(text[max(chain, dot - LONGEST_RECEIVER) : dot].split())
        if gap.strip():
            found.last = gap.strip()[-1]
        return
    kind = match.lastgroup
    if kind == "name":
        found.word = match[0]
        if before == "name" and found.names and found.names[-1].offset == match.start():
            half = found.names.pop()
            found.receiver, found.member = half.receiver, bool(half.receiver)
    elif kind == "dot" and before == "dot":
        found.member = True
        found.receiver = " ".join(text[max(chain, dot - LONGEST_RECEIVER) : dot].split())
    elif kind in ("string", "remark"):
        # Closed if the same text followed by a letter does not grow.
        longer = rules.match(match[0] + "a")
        if longer and longer.end() > len(match[0]):
            found.inside = "string" if kind == "string" else "comment"
            found.quote = match[0].lstrip("rRbBfFuUL")
            found.quote = found.quote[:3] if found.quote[:3] in _TRIPLE else found.quote[:1]


_TRIPLE = ('"""', "'''")


@lru_cache(maxsize=32)
def _rules(row: Language) -> re.Pattern[str]:
    strings = [_string(quote) for quote in row.strings]
    if "'" not in row.strings and '"' in row.strings:
        strings.append(r"'(?:\\[^'\n]*|[^\\'\n])'")
    remarks = [rf"(?:{mark})[^\n]*" for mark in row.remarks]
    if row.block_remark:
        opening, closing = map(re.escape, row.block_remark)
        remarks.insert(0, rf"{opening}(?:(?!{closing})[\s\S])*(?:{closing}|\Z)")
    return re.compile(
        rf"(?P<remark>{'|'.join(remarks)})"
        rf"|(?P<string>(?:(?<!\w)[rRbBfFuUL]{{1,2}})?(?:{'|'.join(strings)}))"
        rf"|(?P<name>{row.word})"
        r"|(?P<number>\d\w*(?:\.\d\w*)?)"
        r"|(?P<generic>(?:::)?<[\w\s,.<>?&\[\]]{0,60}>(?=\()|!(?=[(\[{]))"
        rf"|(?P<dot>{row.member})"
        r"|(?P<open>[(\[{])|(?P<close>[)\]}])"
    )


def _string(quote: str) -> str:
    mark = re.escape(quote)
    if len(quote) == 3 or quote == "`":
        return rf"{mark}(?:[^\\{mark[-1]}]++|\\[\s\S]|(?!{mark}){mark[-1]})*(?:{mark}|\\?\Z)"
    return rf"{mark}(?:[^\\{mark}\n]++|\\[\s\S])*(?:{mark}|\\?(?=\n)|\\?\Z)"


@lru_cache(maxsize=32)
def _reserved(language: str) -> frozenset[str]:
    """The language's keywords: words that its grammar knows by themselves."""
    grammar = grammar_of(language)
    if grammar is None:
        return _RESERVED
    kinds = (
        grammar.node_kind_for_id(kind)
        for kind in range(grammar.node_kind_count)
        if grammar.node_kind_is_visible(kind) and not grammar.node_kind_is_named(kind)
    )
    keywords = frozenset(kind for kind in kinds if kind and kind.isidentifier())
    return (keywords | _RESERVED) - _NAMES_TOO
