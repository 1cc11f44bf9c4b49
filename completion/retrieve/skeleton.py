"""How a definition is shown: its header and what is said about it, before any body."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from completion.index import Definition, Index
from completion.languages import language_row

# As in the samples that the shipped model learned from (finetune/snippets.py).
MAX_LINES = 10
MAX_CHARACTERS = 500
LONG_HEADER = 160
MOST_RANKED = 80
CONSTRUCTORS = frozenset({"__init__", "constructor", "__construct", "initialize", "new"})
_INDENT = "    "
_INNER_SPACE = re.compile(r"(?<=[(\[]) | (?=[)\]])|,(?= [)\]])")


def header(index: Index, definition: Definition) -> str:
    """Its signature, under the header of the class it stands in."""
    owner = header_of_owner(index, definition)
    signature = shortened(tidy(definition.symbol.signature))
    return f"{owner}\n{_INDENT}{signature}" if owner else signature


def shortened(signature: str) -> str:
    """A long header without its last parameters."""
    if len(signature) <= LONG_HEADER:
        return signature
    end = signature.rfind(",", 0, LONG_HEADER)
    return f"{signature[: end + 1]} ..." if end > 0 else signature[:LONG_HEADER]


def skeleton(index: Index, definition: Definition, members: Sequence[Definition] = ()) -> str:
    """The same with the first sentence about it, and a class's `members` by their signatures."""
    symbol = definition.symbol
    owner = header_of_owner(index, definition)
    depth = 1 if owner else 0
    lines = [owner] if owner else []
    lines += _documented(tidy(symbol.signature), symbol.doc, definition.file.language, depth)
    lines += [
        _INDENT * (depth + 1) + shortened(tidy(member.symbol.signature))
        for member in members
        if member.symbol.kind != "class"
    ]
    return "\n".join(lines)


def body(index: Index, definition: Definition) -> str | None:
    """The first lines as they stand in the file; None if it changed since it was read."""
    symbol = definition.symbol
    owner = header_of_owner(index, definition)
    last = min(symbol.last, symbol.first + MAX_LINES - 1 - bool(owner))
    text = index.lines(definition.file, symbol.first, last)
    if text is None or symbol.name not in text:
        return None
    kept = [owner] if owner else []
    room = MAX_CHARACTERS - len(owner)
    for line in text.split("\n"):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line.rstrip())
    return "\n".join(kept).rstrip() if len(kept) > bool(owner) else None


def members_of(index: Index, definition: Definition) -> list[Definition]:
    """What a class holds; of the special ones only the constructor."""
    return [
        member
        for member in index.symbols_of(definition.file, "", definition.symbol.qualified)
        if not (member.symbol.name.startswith("__") and member.symbol.name not in CONSTRUCTORS)
    ]


def by_use(index: Index, found: Iterable[Definition], here: Mapping[str, int]) -> list[Definition]:
    """The most used first: `here` tells the uses in this file by name, the index those elsewhere.
    Private names come after the others."""
    kept = list(dict.fromkeys(islice(found, MOST_RANKED)))
    used = index.mentions({one.symbol.name for one in kept})
    place = lambda name: (-here.get(name, 0), name.startswith("_"), -used[name])  # noqa: E731
    return sorted(kept, key=lambda one: place(one.symbol.name))


def header_of_owner(index: Index, definition: Definition) -> str:
    """The signature of the class around a member, "" for what stands alone."""
    container, _, name = definition.symbol.container.rpartition(".")
    if not name:
        return ""
    found = index.symbols_of(definition.file, name, container)
    return tidy(found[0].symbol.signature) if found else ""


def tidy(signature: str) -> str:
    """A header that stood on several lines, as one would write it on one."""
    return _INNER_SPACE.sub("", signature)


def _documented(signature: str, doc: str, language: str, depth: int) -> list[str]:
    space = _INDENT * depth
    row = language_row(language)
    if not doc:
        return [space + signature]
    if row.docstring:
        return [space + signature, f'{space}{_INDENT}"""{doc}"""']
    return [f"{space}{row.comment or '//'} {doc}", space + signature]
