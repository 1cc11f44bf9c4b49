"""Enclosing definitions read from the lines above, for code that no parser understands.

A line further left than all below it, up to the cursor, holds what it heads.
"""

import re

from completion.languages import Language, words
from completion.lexer import columns
from completion.outline import FUNCTIONS, LONGEST_SIGNATURE, Symbol

MOST_LINES = 2000  # read above the cursor
_TYPES = "class|interface|struct|enum|trait|impl|namespace|module|object|record|union"
_HEADER = re.compile(
    rf"\s*(?:[\w@.,<>\[\]]+(?:\([^()]*\))?\s+)*?(?:(?P<type>{_TYPES})|(?P<function>def|fn|func|function|fun))\b"
    r"\s*(?:<[^<>]*>\s*)?(?:\((?P<owner>[^()]*)\)\s*)?(?P<name>[\w.:]+)"
)
# int total(int a) {
_TYPED = re.compile(
    r"\s*(?:[\w<>\[\],.*&?~:]+\s+)*?[*&]?(?P<name>[\w~:]+)\s*\([^;={}]*\)[^;={}()]*\{\s*\Z"
)
_NO_NAMES = words("if for while switch catch return with using lock match synchronized")
_OPENS = ("{", ")")


def with_headers(
    told: tuple[Symbol, ...], text: str, start: int, row: int, indent: int, language: Language
) -> tuple[Symbol, ...]:
    """The definitions that a tree tells, with those that the lines above `start` show besides.

    `row` is the line's that starts there, `indent` its column.
    """
    found = list(told)
    end, limit, below = start - 1, indent, ""
    for above in range(row - 1, max(-1, row - MOST_LINES), -1):
        begin = text.rfind("\n", 0, end) + 1 if end > 0 else 0
        line = text[begin:end][:LONGEST_SIGNATURE]
        end = begin - 1
        code = line.strip()
        if not code or limit == 0:
            if limit == 0:
                break
            continue
        space = line[: len(line) - len(line.lstrip(" \t"))]
        column = columns(space) if "\t" in space else len(space)
        if column >= limit:
            continue
        # A bracket on its own line belongs to a header of the same column.
        limit = column + 1 if code.startswith(_OPENS) else column
        header = _header(line + " {" if below == "{" else line, language)
        below = code
        if header and not any(one.name == header[1] and one.first <= above for one in told):
            found.append(_symbol(header, line, above, row, language))
    found.sort(key=lambda one: one.first)
    return tuple(_contained(found)) if len(found) > len(told) else told


def _header(line: str, language: Language) -> tuple[str, str, str] | None:
    """Kind, name and owner."""
    match = _HEADER.match(line)
    if match:
        kind = match["type"] or "function"
        owner = re.findall(r"\w+", match["owner"] or "")
        name = match["name"].strip(":").replace("::", ".").replace(":", ".")
        holder = owner[-1] if owner else ""
        if kind == "function" and not holder:
            holder, _, name = name.rpartition(".")
        return ("scope" if kind == "impl" else kind), name, holder
    if language.opener:
        return None
    match = _TYPED.match(line)
    if match and match["name"] not in _NO_NAMES:
        owner, _, name = match["name"].rpartition("::")
        return "function", name, owner.replace("::", ".")
    return None


def _symbol(
    header: tuple[str, str, str], line: str, first: int, last: int, language: Language
) -> Symbol:
    kind, name, owner = header
    signature = " ".join(line.split()).removesuffix("{").rstrip()
    return Symbol(kind, name, owner, signature, "", first, last)


def _contained(found: list[Symbol]) -> list[Symbol]:
    """Each with the names of those before it as its container."""
    symbols: list[Symbol] = []
    for one in found:
        names = [other.name for other in symbols]
        local = any(other.kind in FUNCTIONS for other in symbols)
        kind = "method" if one.kind == "function" and (names or one.container) else one.kind
        kind = "function" if local and kind == "method" else kind
        container = one.container or ".".join(names)
        symbols.append(
            Symbol(kind, one.name, container, one.signature, one.doc, one.first, one.last, local)
        )
    return symbols
