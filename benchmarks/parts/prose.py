"""Where a file says something to people: comments, docstrings, strings of several lines.

Nobody is shown a suggestion there by default, so a replay does not spend its time on typing them:
the keys that count are those of the code.
"""

import re
from collections.abc import Iterator, Sequence

from tree_sitter import Node

from completion.syntax import encoded, parse

_STATEMENT = "expression_statement"


def prose(text: str, language: str) -> list[tuple[int, int]]:
    """(start, end) in characters, in order; what only white space parts is one. None without a
    grammar."""
    root, data = parse(text, language), encoded(text)
    found: list[tuple[int, int]] = []
    for start, end in _in_bytes(root) if root is not None else ():
        begin = len(data[:start].decode())
        part = data[start:end].decode().rstrip()  # some grammars have the line's end in a comment
        if found and not text[found[-1][1] : begin].strip():
            begin = found.pop()[0]
        found.append((begin, len(data[:start].decode()) + len(part)))
    return found


def keys_of(text: str) -> int:
    """How many keys bring this text: a newline with the indentation below it is one."""
    return len(re.sub(r"\n[ \t]+", "\n", text))


def code_keys(text: str, start: int, end: int, prose: Sequence[tuple[int, int]]) -> int:
    """The same of a part of the text, without the prose in it."""
    keys, at = 0, start
    for first, last in prose:
        if last > at and first < end:
            keys += keys_of(text[at:first]) if first > at else 0
            at = max(at, last)
    return keys + (keys_of(text[at:end]) if at < end else 0)


def _in_bytes(root: Node) -> Iterator[tuple[int, int]]:
    stack = [root]
    while stack:
        node = stack.pop()
        if "comment" in node.type or ("string" in node.type and _is_text(node)):
            yield node.start_byte, node.end_byte
        else:
            stack += reversed(node.children)


def _is_text(node: Node) -> bool:
    alone = node.parent is not None and node.parent.type == _STATEMENT
    return alone or node.start_point.row != node.end_point.row
