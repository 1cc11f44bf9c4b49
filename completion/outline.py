"""What one file defines and imports, read from its syntax tree by its language's queries.

A query file (`queries/NAME.scm`) captures each definition as `@definition.KIND` with its `@name`,
and where its signature ends: `@body` starts after it, `@head` is its last part. What only holds
definitions, as Rust's `impl`, is a `@scope` with its `@name`. `@owner` names the type of a method
that stands outside it, as in Go; several of them are parts of one name. `@outer` stands around an
`@inner` definition and belongs to it: decorators, `export`, `template`.

An import is `@import` with `@module` (`@under`: more of the module's name, in Rust's lists) or
with `@path`, whose last part is imported; and `@imported` and `@alias` where it names them.
`(#set! imported X)` says what no node does: "*" for all, "default". `(#set! alias "first")`: the
file calls a module by the first part of its name, not by the last.

A name captured twice is one definition: that with a body, an owner or a head, else the first.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tree_sitter import Node, QueryCursor

from completion import syntax
from completion.imports import Import, imported
from completion.languages import language_row
from completion.patterns import Queries, queries_of, spelled

LONGEST_SIGNATURE = 300  # characters
LONGEST_DOC = 120
FUNCTIONS = frozenset({"function", "method"})
# These hold what stands inside them even where they have no body.
_HOLDERS = frozenset({"class", "struct", "constant"})
_SPACE = re.compile(rb"\s+")
# Between a Python header and its body: on the header's line, where no quote tells of a string, and
# on lines of their own.
_HEADER_COMMENTS = re.compile(rb"(?:(?<=:)[ \t]+#[^\n\"']*)?(?:\s*\n[ \t]*#[^\n]*)*\s*\Z")
_SIGNATURE_END = re.compile(rb"(?:[\s{;,]|=>)+\Z")
_DOC_END = re.compile(rb"\n[ \t]*\n|\n[ \t]*[:@]|(?<=[.!?])\s|\"\"\"|'''|\*/")
_DOCSTRING = re.compile(rb"\s*[rRuU]?(?:\"\"\"|'''|\"|')\s*")
# What a comment line begins with, in any of our languages.
_COMMENT = re.compile(rb"(?:///?!?|/\*\*?|\*/?|#+!?|---?)(?:[ \t]+|$)")
# What may stand between a comment and its definition.
_ATTRIBUTE = re.compile(rb"#?\[|@\w")
_TAG = re.compile(rb"</?\w[^>\n]*>")


@dataclass(frozen=True, slots=True)
class Symbol:
    """One definition.

    `kind`: class, interface, struct, enum, trait, type, module, function, method, macro,
    constant, field; scope for what holds definitions without being one. `container`:
    the names around it, joined by dots. `signature`: its header on one line. `doc`: the first
    sentence about it. `first` and `last`: its rows, from 0, decorators included. `local`: it
    stands inside a function, where no other file can use it.
    """

    kind: str
    name: str
    container: str
    signature: str
    doc: str
    first: int
    last: int
    local: bool = False

    @property
    def qualified(self) -> str:
        return f"{self.container}.{self.name}" if self.container else self.name


@dataclass(frozen=True, slots=True)
class Outline:
    symbols: tuple[Symbol, ...] = ()
    imports: tuple[Import, ...] = ()


@dataclass(slots=True)
class _Found:
    node: Node
    start: int
    end: int
    kind: str
    name: str
    body: int  # byte where the signature ends; -1 if only the node tells
    owner: str


def outline(data: bytes, language: str, limit_s: float = 0) -> Outline:
    """Of a file's UTF-8 text; empty in a language without a query, and if parsing takes longer
    than `limit_s` (0: no limit)."""
    root = syntax.parse_bytes(data, language, limit_s) if queries_of(language) else None
    return Outline() if root is None else outline_of(root, data, language)


def outline_of(root: Node, data: bytes, language: str) -> Outline:
    """The same for a tree that is there already."""
    queries = queries_of(language)
    if queries is None:
        return Outline()
    found, imports, outers = _read(queries, QueryCursor(queries.query), root, data)
    symbols = _nested(found, outers, data, language)
    return Outline(tuple(one for one in symbols if one.kind != "scope"), tuple(imports))


def enclosing(root: Node, data: bytes, language: str, byte: int) -> tuple[Symbol, ...]:
    """The definitions and scopes around a byte, outermost first."""
    queries = queries_of(language)
    if queries is None:
        return ()
    cursor = QueryCursor(queries.query)
    cursor.set_byte_range(byte, byte + 1)
    found, _, outers = _read(queries, cursor, root, data)
    found = [one for one in found if one.start <= byte < one.end]
    return tuple(_nested(found, outers, data, language))


def _read(
    queries: Queries, cursor: QueryCursor, root: Node, data: bytes
) -> tuple[list[_Found], list[Import], dict[int, Node]]:
    found: dict[int, _Found] = {}  # by where the name starts
    imports: list[Import] = []
    outers: dict[int, Node] = {}  # by where what is inside starts
    for pattern, captures in cursor.matches(root):
        kind = queries.kinds[pattern]
        if kind == "import":
            alias = captures.get("alias")
            imports.append(imported(captures, queries.settings[pattern], data))
            if alias:  # `x = require(...)` is no constant
                _keep(found, alias[0].start_byte, None)
        elif kind == "outer":
            outers.setdefault(captures["inner"][0].start_byte, captures["outer"][0])
        else:
            name = captures["name"][0]
            if name.start_byte == name.end_byte:  # put in by the parser, to mend an error
                continue
            _keep(found, name.start_byte, _definition(captures, kind, name, data))
    kept = [one for one in found.values() if one.kind]
    kept.sort(key=lambda one: (one.start, -one.end))
    return kept, imports, outers


def _definition(captures: dict[str, list[Node]], kind: str, name: Node, data: bytes) -> _Found:
    node = captures["scope" if kind == "scope" else f"definition.{kind}"][0]
    body = captures.get("body")
    head = captures.get("head")
    end = body[0].start_byte if body else head[0].end_byte if head else -1
    owner = captures.get("owner")
    owners = ".".join(spelled(one, data) for one in owner) if owner else ""
    return _Found(node, node.start_byte, node.end_byte, kind, spelled(name, data), end, owners)


_TAKEN = _Found(None, 0, 0, "", "", 0, "")  # type: ignore[arg-type]


def _keep(found: dict[int, _Found], at: int, one: _Found | None) -> None:
    other = found.get(at)
    if one is None:
        found[at] = _TAKEN
    elif other is None or (other.body < 0 and (one.body >= 0 or one.owner)):
        found[at] = one


def _nested(
    found: Iterable[_Found], outers: dict[int, Node], data: bytes, language: str
) -> Iterable[Symbol]:
    docstring = language_row(language).docstring
    around: list[tuple[_Found, Symbol]] = []
    for one in found:
        while around and (around[-1][0].end <= one.start or around[-1][0].node == one.node):
            around.pop()
        holders = [symbol for _, symbol in around]
        if one.kind == "field" and holders and holders[-1].kind in FUNCTIONS:
            holders.pop()  # a parameter of a constructor that is a field too
        names = [holder.name for holder in holders]
        local = any(holder.kind in FUNCTIONS for holder in holders)
        outer = outers.get(one.start, one.node)
        first, end = outer.start_point.row, outer.end_point
        kind = one.kind
        held = one.owner or (holders and holders[-1].kind != "module")
        if kind == "function" and held and not local:
            kind = "method"
        symbol = Symbol(
            kind,
            one.name,
            ".".join([*names, one.owner] if one.owner else names),
            _signature(one, outer, data),
            "" if holders and holders[-1].first == first else _doc(outer, one, data, docstring),
            first,
            end.row - 1 if end.column == 0 and end.row > first else end.row,
            local,
        )
        yield symbol
        if one.body >= 0 or kind in _HOLDERS:
            around.append((one, symbol))


def _signature(one: _Found, outer: Node, data: bytes) -> str:
    start = one.start if outer.type == "decorated_definition" else outer.start_byte
    end = one.body if one.body >= 0 else one.end
    head = data[start : min(end, start + 4 * LONGEST_SIGNATURE)]
    if one.body < 0 and one.kind not in FUNCTIONS:
        head = head.split(b"\n", 1)[0]
    head = _HEADER_COMMENTS.sub(b"", head)
    text = _SIGNATURE_END.sub(b"", _SPACE.sub(b" ", head).strip())
    return text.decode("utf-8", "replace")[:LONGEST_SIGNATURE]


def _doc(outer: Node, one: _Found, data: bytes, docstring: bool) -> str:
    """The first sentence of a docstring, else of the comment right above."""
    if docstring and one.body >= 0:
        opening = _DOCSTRING.match(data, one.body)
        return _sentence(data[opening.end() : opening.end() + 400]) if opening else ""
    lines: list[bytes] = []
    end = data.rfind(b"\n", 0, outer.start_byte)
    while end > 0 and len(lines) < 30:
        start = data.rfind(b"\n", 0, end) + 1
        line = data[start:end].strip()
        mark = _COMMENT.match(line)
        if mark:
            lines.append(line[mark.end() :])
        elif lines or not _ATTRIBUTE.match(line):
            break
        end = start - 1
    return _sentence(b"\n".join(reversed(lines)).strip()) if lines else ""


def _sentence(text: bytes) -> str:
    if text.startswith(b"<"):  # XML of C#'s comments
        text = _TAG.sub(b"", text).strip()
    end = _DOC_END.search(text)
    kept = text[: end.start()] if end else text
    return _SPACE.sub(b" ", kept).strip().decode("utf-8", "replace")[:LONGEST_DOC]
