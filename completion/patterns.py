"""The queries of each language (`queries/NAME.scm`); `outline` tells what they capture."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from tree_sitter import Node, Query

from completion import syntax
from completion.languages import language_row

_KIND = re.compile(r"@(?:definition\.(\w+)|(scope|import|outer))\b")


@dataclass(frozen=True)
class Queries:
    """A language's patterns, with the kind of each and what it sets."""

    query: Query
    kinds: list[str]
    settings: tuple[dict[str, str | None], ...]


@lru_cache(maxsize=64)
def queries_of(language: str, imports: bool = False) -> Queries | None:
    grammar = syntax.grammar_of(language)
    if grammar is None:
        return None
    folder = resources.files("completion") / "queries"
    files = [folder / f"{name}.scm" for name in language_row(language).queries]
    source = "\n".join(file.read_text("utf-8") for file in files)
    query = Query(grammar, source)
    kinds: list[str] = []
    for index in range(query.pattern_count):
        start, end = query.start_byte_for_pattern(index), query.end_byte_for_pattern(index)
        mark = _KIND.search(source.encode()[start:end].decode())
        assert mark, f"a pattern of {language} captures nothing of ours"
        kinds.append(mark[1] or mark[2])
    if imports:
        for index, kind in enumerate(kinds):
            if kind != "import":
                query.disable_pattern(index)
    settings = tuple(query.pattern_settings(index) for index in range(query.pattern_count))
    return Queries(query, kinds, settings)


def spelled(node: Node, data: bytes) -> str:
    """A node's text, as names are spelled in all languages."""
    text = data[node.start_byte : node.end_byte].decode("utf-8", "replace")
    return text.replace("::", ".").removeprefix(":")  # Ruby's symbols
