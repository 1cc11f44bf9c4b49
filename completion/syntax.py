"""tree-sitter: grammars and parse trees."""

import time
from functools import lru_cache

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser

from completion.languages import language_row

_PIECE = 64 * 1024


def parse(text: str, language: str) -> Node | None:
    """The root of a text's syntax tree, in bytes of UTF-8; None without a grammar."""
    # An editor may send half a surrogate pair; rows stay right whatever stands for it.
    return parse_bytes(text.encode("utf-8", "replace"), language)


def parse_bytes(data: bytes, language: str, limit_s: float = 0) -> Node | None:
    """The same of a text in UTF-8; also None if it takes longer than `limit_s` (0: no limit)."""
    grammar = grammar_of(language)
    if grammar is None:
        return None
    if not limit_s:
        return Parser(grammar).parse(data).root_node
    end = time.monotonic() + limit_s
    read = lambda at, point: data[at : at + _PIECE]  # noqa: E731
    late = lambda at, error: time.monotonic() > end  # noqa: E731
    try:
        tree = Parser(grammar).parse(read, progress_callback=late)
    except ValueError:  # it was stopped
        return None
    return tree.root_node


@lru_cache(maxsize=16)
def grammar_of(language: str) -> Grammar | None:
    load = language_row(language).grammar
    return Grammar(load()) if load else None
