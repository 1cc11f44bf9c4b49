"""What one file imports, read from its syntax tree by its language's queries."""

import re
from dataclasses import dataclass, replace
from hashlib import blake2b

from tree_sitter import Node, QueryCursor

from completion.patterns import queries_of, spelled

KEPT = 20_000  # statements
_SEPARATOR = re.compile(r"::|[./\\:]")
_VERSION = re.compile(r"[/.]v\d+\Z|\.(?:js|rb|php|sh|hpp|h)\Z")


@dataclass(frozen=True, slots=True)
class Import:
    """`name`: what is imported of `module`, "" for the module itself, "*" for all of it.
    `alias`: how this file calls it."""

    module: str
    name: str
    alias: str
    row: int


# By language and a statement's text; rows count from the statement's.
_known: dict[tuple[str, bytes], list[Import]] = {}


def imports_of(root: Node, data: bytes, language: str) -> tuple[Import, ...]:
    """What a whole file imports, four times as fast as its outline; ten times if most of its
    statements were in the last one, as they are when somebody types."""
    queries = queries_of(language, imports=True)
    if queries is None:
        return ()
    found: list[Import] = []
    for part in root.children:
        row = part.start_point.row
        digest = blake2b(data[part.start_byte : part.end_byte], digest_size=16).digest()
        known = _known.get((language, digest))
        if known is None:
            known = [
                imported(captures, queries.settings[pattern], data)
                for pattern, captures in QueryCursor(queries.query).matches(part)
            ]
            if len(_known) >= KEPT:
                _known.clear()
            _known[language, digest] = [replace(one, row=one.row - row) for one in known]
            found += known
        else:
            found += [replace(one, row=one.row + row) for one in known]
    return tuple(found)


def imported(
    captures: dict[str, list[Node]], settings: dict[str, str | None], data: bytes
) -> Import:
    """What a pattern for imports has captured."""

    def one(name: str) -> str:
        nodes = captures.get(name)
        if not nodes:
            return settings.get(name) or ""
        text = data[nodes[0].start_byte : nodes[0].end_byte].decode("utf-8", "replace")
        return text.strip("\"'`<>")

    row = captures["import"][0].start_point.row
    module, path, name, alias = one("module"), one("path"), one("imported"), one("alias")
    if "under" in captures:
        module += "::" + "::".join(spelled(node, data) for node in captures["under"])
    if path and name:
        module = path
    elif path:
        parts = [*_SEPARATOR.finditer(path)]
        module = path[: parts[-1].start()] if parts else ""
        name = path[parts[-1].end() :] if parts else path
    if name == "self":  # Rust's name for the module itself
        name = ""
    if name == ".":  # Go's name for all of it
        name = "*"
    if not alias or alias == "first":
        alias = name or _called(module, first=alias == "first")
    return Import(module, name, alias, row)


def _called(module: str, first: bool) -> str:
    if first:
        return _SEPARATOR.split(module)[0]
    return _SEPARATOR.split(_VERSION.sub("", module))[-1]
