"""When looking into other files is not worth the tokens.

Most retrievals do not help (Repoformer, arXiv 2403.10059: about 80%), and each new one costs the
model a reading of the whole prompt. What decides here is cheap and was measured: docs/context.md.
"""

from collections.abc import Mapping, Sequence

from completion.pieces import Source
from completion.retrieve.candidates import Candidate, Query

# Mere likeness helps only where it is strong: BM25 over the number of words asked for.
_STRUCTURAL: tuple[Source, ...] = ("callees", "members", "definitions", "edits")


def before(source: Source, query: Query) -> str:
    """Why a source is not even asked here, "" if it is."""
    place = query.scope.place
    if place in ("comment", "string") and source not in ("edits",):
        return f"in a {place}"
    if place == "import" and source in ("definitions", "siblings", "lexical"):
        return "in an import"
    return ""


def after(ranked: Mapping[Source, Sequence[Candidate]], query: Query) -> dict[Source, str]:
    """The sources that are not to be used, seeing what all of them found, and why."""
    return {}
