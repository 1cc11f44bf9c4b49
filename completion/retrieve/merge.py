"""From each source's candidates to the pieces of a prompt.

Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): a candidate's score is the sum
over the sources of weight / (60 + rank). No source's own scores have to be compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from completion.cut import Count
from completion.pieces import Piece, Source
from completion.retrieve.candidates import Candidate
from tandem import secrets

_K = 60
# What is surely meant comes before what only looks alike.
WEIGHTS: Mapping[Source, float] = {
    "callees": 4.0,
    "members": 3.0,
    "definitions": 2.0,
    "edits": 1.5,
    "siblings": 1.0,
    "lexical": 1.0,
}
# A piece of which the text around the cursor shows so much already is of no use.
_SHOWN = 0.8
# Tokens: with fewer left there is nothing worth a path's own tokens.
_LEAST = 12
_AROUND = 3  # a template's tokens around a path and its text
_FORMS = 3  # of a definition: header, skeleton, body


@dataclass(frozen=True)
class Visible:
    """What the prompt shows of the file itself: rows [first, last], and their lines, stripped."""

    path: str
    first: int
    last: int
    lines: frozenset[str]


def fuse(ranked: Mapping[Source, Sequence[Candidate]]) -> list[Candidate]:
    """All candidates once, the best first; what two sources name keeps the weightier's form."""
    scores: dict[tuple[str, str], float] = {}
    best: dict[tuple[str, str], Candidate] = {}
    for source, candidates in sorted(ranked.items(), key=lambda item: -WEIGHTS[item[0]]):
        for rank, candidate in enumerate(candidates):
            score = WEIGHTS[source] / (_K + rank)
            scores[candidate.key] = scores.get(candidate.key, 0.0) + score
            best.setdefault(candidate.key, candidate)
    return sorted(best.values(), key=lambda one: (-scores[one.key], one.key))


def fill(
    candidates: Iterable[Candidate], budget: int, count: Count, visible: Visible
) -> tuple[Piece, ...]:
    """The pieces that fit `budget` tokens: every one's shortest form first, longer ones after.

    `count` gives the tokens of a line; a text's are the sum of its lines', so that lines seen
    before need no counting. Their order is by place, not by score, so that a new one moves few
    others; edits are last.
    """
    every = list(candidates)
    made = _Filling(budget, count, visible)
    # Half a header says little, so the whole comes before mere likeness gets its turn.
    made.add(one for one in every if one.source != "lexical")
    made.lengthen(1)
    made.add(one for one in every if one.source == "lexical")
    for form in range(2, _FORMS):
        made.lengthen(form)
    pieces = [piece for _, piece in made.chosen.values()]
    return tuple(sorted(pieces, key=lambda one: (one.source == "edits", one.path, one.first)))


class _Filling:
    """A prompt's pieces as they come in; `left` tokens of the budget."""

    def __init__(self, budget: int, count: Count, visible: Visible) -> None:
        self.chosen: dict[tuple[str, str], tuple[Candidate, Piece]] = {}
        self.left = budget
        self._paths: dict[tuple[str, str], int] = {}  # tokens of a path that a piece pays for
        self._count, self._visible = count, visible

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Each in its shortest form, as long as there is room."""
        for candidate in candidates:
            if self.left < _LEAST:
                return
            if _covered(candidate, self.chosen.values()):
                continue
            named = any(candidate.path == piece.path for _, piece in self.chosen.values())
            path = 0 if named else self._count(candidate.path + "\n") + _AROUND
            made = self._fitting(candidate, 0, self.left - path)
            if made is not None:
                self.chosen[candidate.key] = candidate, replace(made, tokens=made.tokens + path)
                self._paths[candidate.key] = path
                self.left -= made.tokens + path

    def lengthen(self, form: int) -> None:
        """Give those that have this form its text instead, the best first."""
        for key, (candidate, piece) in list(self.chosen.items()):
            if form >= len(candidate.texts) or self.left < _LEAST:
                continue
            path = self._paths.get(key, 0)
            longer = self._fitting(candidate, form, self.left + piece.tokens - path, whole=True)
            if longer is not None and longer.tokens > piece.tokens - path:
                self.left -= path + longer.tokens - piece.tokens
                self.chosen[key] = candidate, replace(longer, tokens=path + longer.tokens)

    def _fitting(
        self, candidate: Candidate, form: int, room: int, whole: bool = False
    ) -> Piece | None:
        """Its text without secrets, cut to whole lines that fit; None if nothing new remains."""
        text = candidate.texts[form]()
        if not text or _shown(candidate, text, self._visible):
            return None
        kept: list[str] = []
        tokens = 0
        lines = secrets.redact(text).split("\n")
        for line in lines:
            needed = self._count(line + "\n")
            if tokens + needed > room:
                break
            tokens += needed
            kept.append(line)
        if len(kept) < len(lines):
            # Half an edit would say something else.
            if whole or not kept or candidate.source == "edits":
                return None
            while kept and not kept[-1].strip():
                kept.pop()
        return Piece(
            candidate.path,
            "\n".join(kept),
            candidate.source,
            candidate.reason,
            candidate.first,
            candidate.last,
            candidate.symbol,
            tokens,
        )


def _shown(candidate: Candidate, text: str, visible: Visible) -> bool:
    if candidate.source == "edits":
        # What went away is nowhere else to be seen.
        added = [line[1:].strip() for line in text.split("\n") if line.startswith("+")]
        only_added = len(added) == text.count("\n") + 1
        return only_added and all(line in visible.lines for line in added)
    if candidate.path == visible.path and (
        visible.first <= candidate.first and candidate.last <= visible.last
    ):
        return True
    lines = [line.strip() for line in text.split("\n") if len(line.strip()) > 3]
    return sum(line in visible.lines for line in lines) >= _SHOWN * max(1, len(lines))


def _covered(candidate: Candidate, chosen: Iterable[tuple[Candidate, Piece]]) -> bool:
    """Mere code that overlaps a piece we have."""
    if candidate.symbol or candidate.source == "edits":
        return False
    return any(
        other.path == candidate.path
        and piece.source == "lexical"
        and other.first <= candidate.last
        and candidate.first <= other.last
        for other, piece in chosen
    )
