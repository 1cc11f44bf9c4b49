"""When looking into other files is not worth the tokens.

Most retrievals do not help (Repoformer, arXiv 2403.10059: about 80%), and each new one costs the
model a reading of the whole prompt. The rules are few, cheap, and follow from what was measured
on holes with and without each source (docs/context.md, docs/LOG.md of 2026-11-26): code that is
merely alike gains nothing but in imports, or where it is very alike.
"""

from collections.abc import Sequence

from completion.pieces import Source
from completion.retrieve.candidates import Candidate, Query
from completion.scope import Place

# BM25 of a chunk that is nearly the same code. Below it likeness moved the loss by less than chance.
ALIKE = 30.0


def before(source: Source, query: Query) -> str:
    """Why a source is not even asked here, "" if it is."""
    place = query.scope.place
    if place in ("comment", "string") and source != "edits":
        return f"in a {place}"
    if place == "import" and source in ("callees", "siblings"):
        return "in an import"
    return ""


def least(place: Place) -> float:
    """BM25 of a chunk that is worth reading at such a place."""
    return 0.0 if place == "import" else ALIKE


def worth(source: Source, found: Sequence[Candidate], query: Query) -> Sequence[Candidate]:
    """Those of a source's candidates that are worth their tokens."""
    if source != "lexical":
        return found
    return [candidate for candidate in found if candidate.score >= least(query.scope.place)]
