"""Searching a repository through its index: definitions by name, and lines by their words.

For people and models that look around; completions ask the index itself.
"""

import re
from dataclasses import dataclass

from completion.index import Index, terms_of
from tandem import secrets

LINE_WIDTH = 200  # characters of a line that is shown
_NEAR = 6  # chunks that are looked at for each line that is wanted


@dataclass(frozen=True)
class Match:
    """A place, `line` from 1, and what stands there. `kind` is a definition's; "" for a line."""

    path: str
    line: int
    text: str
    kind: str = ""


def symbols(index: Index, name: str, limit: int = 20) -> list[Match]:
    """Where a name is defined: also `Class.method`, which then must be the container's."""
    container, _, last = name.rpartition(".")
    found = index.definitions(last, limit if not container else 200)
    return [
        Match(
            one.file.path,
            one.symbol.first + 1,
            _shown(one.symbol.signature or one.symbol.name),
            one.symbol.kind,
        )
        for one in found
        if not container or one.symbol.container.rpartition(".")[2] == container.rpartition(".")[2]
    ][:limit]


def text(index: Index, query: str, limit: int = 20) -> list[Match]:
    """Lines that say the query as it is, then those that say most of its words, of the chunks
    that say all of them; where there are none, of chunks that say some rare ones."""
    terms = terms_of(query)
    words = terms or re.findall(r"\w+", query.lower())
    chunks = index.saying(terms, limit * _NEAR) or index.neighbours(terms, limit * _NEAR)
    ranked: list[tuple[int, int, Match]] = []
    for number, chunk in enumerate(chunks):
        said = index.text_of(chunk)
        for row, line in enumerate(said.split("\n") if said else (), chunk.first):
            low = line.lower()
            score = sum(word in low for word in words) + (len(words) if query.lower() in low else 0)
            if score:
                ranked.append((-score, number, Match(chunk.file.path, row + 1, _shown(line))))
    ranked.sort(key=lambda one: one[:2])
    return list(dict.fromkeys(match for _, _, match in ranked))[:limit]


def _shown(line: str) -> str:
    return secrets.redact(line.strip())[:LINE_WIDTH]
