"""What one file defines and imports, read from its syntax tree by its language's query.

A query file (`queries/LANGUAGE.scm`) captures each definition as `@definition.KIND` with its
`@name`, and `@body` where the signature ends; what only holds definitions, as Rust's `impl`, as
`@scope` with its `@name`. `@owner` names the type of a method that stands outside it, as in Go.
An import is `@import` with `@module`, and `@imported` and `@alias` where it names them.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from tree_sitter import Node, Query, QueryCursor

from completion import syntax
from completion.languages import language_row

LONGEST_SIGNATURE = 300  # characters
LONGEST_DOC = 120
_SPACE = re.compile(rb"\s+")
_DOC_END = re.compile(rb"\n[ \t]*\n|\n[ \t]*[:@]|(?<=[.!?])\s|\"\"\"|'''|\*/")
_DOCSTRING = re.compile(rb"\s*[rRuU]?(?:\"\"\"|'''|\"|')\s*")
# What a comment line begins with, in any of our languages.
_COMMENT = re.compile(rb"(?:///?!?|/\*\*?|\*/?|#+!?|---?)(?:[ \t]+|$)")
FUNCTIONS = frozenset({"function", "method"})


@dataclass(frozen=True, slots=True)
class Symbol:
    """One definition.

    `kind`: class, function, method, constant, field, or what else its query says. `container`:
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
class Import:
    """`name`: what is imported of `module`, "" for the module itself, "*" for all of it.
    `alias`: how this file calls it."""

    module: str
    name: str
    alias: str
    row: int


@dataclass(frozen=True, slots=True)
class Outline:
    symbols: tuple[Symbol, ...] = ()
    imports: tuple[Import, ...] = ()


@dataclass(slots=True)
class _Found:
    node: Node
    kind: str
    name: str
    body: Node | None
    owner: str


def outline(data: bytes, language: str, limit_s: float = 0) -> Outline:
    """Of a file's UTF-8 text; empty in a language without a query, and where parsing it takes
    longer than `limit_s` (0: no limit)."""
    query = _query(language)
    root = syntax.parse_bytes(data, language, limit_s)
    if query is None or root is None:
        return Outline()
    return outline_of(root, data, language)


def outline_of(root: Node, data: bytes, language: str) -> Outline:
    """The same for a tree that is there already."""
    query = _query(language)
    if query is None:
        return Outline()
    found: list[_Found] = []
    imports: list[Import] = []
    for _, captures in QueryCursor(query).matches(root):
        if "import" in captures:
            imports.append(_import(captures))
            continue
        kind, nodes = next(
            (name, nodes) for name, nodes in captures.items() if name.startswith(("def", "scope"))
        )
        name = _text(captures["name"][0])
        body = captures["body"][0] if "body" in captures else None
        owner = _text(captures["owner"][0]) if "owner" in captures else ""
        found.append(_Found(nodes[0], kind.rpartition(".")[2], name, body, owner))
    found.sort(key=lambda one: (one.node.start_byte, -one.node.end_byte))
    return Outline(tuple(_nested(found, data, language)), tuple(imports))


def _nested(found: list[_Found], data: bytes, language: str) -> list[Symbol]:
    symbols: list[Symbol] = []
    around: list[tuple[int, str, bool]] = []  # end, name, is a function
    for one in found:
        node = one.node
        while around and around[-1][0] <= node.start_byte:
            around.pop()
        container = ".".join(name for _, name, _ in around) or one.owner
        local = any(function for _, _, function in around)
        is_function = one.kind in FUNCTIONS
        if one.kind != "scope":
            kind = "method" if one.kind == "function" and container and not local else one.kind
            outer = _decorated(node)
            symbols.append(
                Symbol(
                    kind,
                    one.name,
                    container,
                    _signature(node, one.body, data),
                    _doc(outer, one.body, data, language),
                    outer.start_point.row,
                    outer.end_point.row,
                    local,
                )
            )
        around.append((node.end_byte, one.name, is_function))
    return symbols


def _decorated(node: Node) -> Node:
    parent = node.parent
    return parent if parent is not None and parent.type == "decorated_definition" else node


def _signature(node: Node, body: Node | None, data: bytes) -> str:
    end = body.start_byte if body is not None else node.end_byte
    head = data[node.start_byte : min(end, node.start_byte + 4 * LONGEST_SIGNATURE)]
    if body is None:
        head = head.split(b"\n", 1)[0]
    text = _SPACE.sub(b" ", head).strip().removesuffix(b"{").rstrip()
    return text.decode("utf-8", "replace")[:LONGEST_SIGNATURE]


def _doc(node: Node, body: Node | None, data: bytes, language: str) -> str:
    """The first sentence of a docstring, else of the comment right above."""
    if language_row(language).docstring and body is not None:
        opening = _DOCSTRING.match(data, body.start_byte)
        return _sentence(data[opening.end() : opening.end() + 400]) if opening else ""
    lines: list[bytes] = []
    end = data.rfind(b"\n", 0, node.start_byte)
    while end > 0 and len(lines) < 30:
        start = data.rfind(b"\n", 0, end) + 1
        line = data[start:end].strip()
        mark = _COMMENT.match(line)
        if not mark:
            break
        lines.append(line[mark.end() :])
        end = start - 1
    return _sentence(b"\n".join(reversed(lines)).strip()) if lines else ""


def _sentence(text: bytes) -> str:
    end = _DOC_END.search(text)
    kept = text[: end.start()] if end else text
    return _SPACE.sub(b" ", kept).strip().decode("utf-8", "replace")[:LONGEST_DOC]


def _import(captures: dict[str, list[Node]]) -> Import:
    one = lambda name: _text(captures[name][0]).strip("\"'`<>") if name in captures else ""  # noqa: E731
    module, name = one("module"), one("imported")
    alias = one("alias") or name or re.split(r"[./\\:]", module)[0]
    return Import(module, name, alias, captures["import"][0].start_point.row)


def _text(node: Node) -> str:
    return node.text.decode("utf-8", "replace") if node.text else ""


@lru_cache(maxsize=32)
def _query(language: str) -> Query | None:
    grammar = syntax.grammar_of(language)
    file = resources.files("completion") / "queries" / f"{language}.scm"
    if grammar is None or not file.is_file():
        return None
    return Query(grammar, file.read_text("utf-8"))
