"""What an edited text is checked for before it is offered: does it parse, is it the same code."""

import difflib
from collections.abc import Iterator

from tree_sitter import Node

from completion.languages import language_row
from completion.syntax import encoded, parse_bytes


def broken(language: str, before: str, after: str) -> bool:
    """Whether a text that parsed does not any more."""
    return _has_error(language, after) and not _has_error(language, before)


def same_code(language: str, before: str, after: str) -> bool:
    """Whether two texts differ in comments, docstrings and layout only. A language without a
    grammar is taken by its lines: then nothing may be gone."""
    old, new = (parse_bytes(encoded(text), language) for text in (before, after))
    if old is None or new is None:
        steps = difflib.ndiff(before.splitlines(), after.splitlines())
        return not any(line.startswith("- ") for line in steps)
    docstrings = language_row(language).docstring
    return list(_words(old, docstrings)) == list(_words(new, docstrings))


def _has_error(language: str, text: str) -> bool:
    tree = parse_bytes(encoded(text), language)
    return tree is not None and tree.has_error


def _words(node: Node, docstrings: bool) -> Iterator[bytes]:
    """The leaves of a tree, without comments and what only documents."""
    if "comment" in node.type or (docstrings and _documents(node)):
        return
    if not node.children:
        yield node.text or b""
        return
    for child in node.children:
        yield from _words(child, docstrings)


def _documents(node: Node) -> bool:
    """A statement that is nothing but a string. Elsewhere than at a body's start it does nothing
    either."""
    return node.type == "expression_statement" and [c.type for c in node.children] == ["string"]
