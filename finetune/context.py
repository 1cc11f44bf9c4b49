"""What pieces of other files are worth in a prompt: the same holes without them, with those of
each source alone, and with all.

Each hole is asked as from an editor with an unsaved file: the index sees the text without the
middle. The text around the cursor is the same in all prompts; pieces come on top of it. As many
tokens more of the file itself are measured too: that is what context must be better than.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from completion.document import Document
from completion.pieces import Context, Piece
from finetune.cases import Case
from finetune.context_report import gate_rows
from finetune.cross_file import CrossCase
from finetune.evaluate import Progress, Scored, answer_each, report, score_all
from finetune.modules import SIGNATURE, Target, squeezed
from finetune.report import Report
from finetune.variant import Variant

NONE, LONGER = "no context", "no context, longer text"
ALWAYS, ALL = "all, without gate", "all"
_WORDS = re.compile(r"\w\w")
# (document, cursor, budget of tokens) -> pieces, as `Retriever.context`.
Find = Callable[[Document, int, int], Context]


class Buffers(Protocol):
    """The part of the index that this needs."""

    def set_buffer(self, path: str, text: str | None) -> None: ...


@dataclass(frozen=True)
class Found:
    """What one way to look brought for a hole, in milliseconds of the wall clock."""

    context: Context
    ms: float


@dataclass(frozen=True)
class Sight:
    """A repository as retrieval sees it. `ways` to look by name, ALL and ALWAYS among them."""

    root: Path
    buffers: Buffers
    ways: Mapping[str, Find]
    budget: int

    def look(self, case: Case) -> dict[str, Found]:
        """With the hole's file open and not saved."""
        text = case.prefix + case.suffix
        path = self.root / case.path
        document = Document(path, case.language, text, root=self.root)
        self.buffers.set_buffer(case.path, text)
        # What comes first also pays for reading the buffer, which an editor's request does not.
        order = [ALWAYS, *(name for name in self.ways if name != ALWAYS)]
        try:
            found = {name: self._timed(name, document, len(case.prefix)) for name in order}
        finally:
            self.buffers.set_buffer(case.path, None)
        return {name: found[name] for name in self.ways}

    def _timed(self, name: str, document: Document, offset: int) -> Found:
        began = time.perf_counter()
        context = self.ways[name](document, offset, self.budget)
        return Found(context, 1000 * (time.perf_counter() - began))


@dataclass(frozen=True)
class _Hole:
    case: Case
    target: Target | None = None
    groups: tuple[str, ...] = ()


class Comparison:
    """One set of holes, looked at and, with a model, answered in every way."""

    def __init__(self, sights: Mapping[str, Sight], variant: Variant | None) -> None:
        """`sights` by the name of the repository, all with the same ways and budget. `variant` is
        how the model is asked without context; None measures the finding only."""
        self._sights = sights
        self._sight = next(iter(sights.values()))
        assert {ALL, ALWAYS} <= self._sight.ways.keys()
        self._variant = variant
        self._found: list[dict[str, Found]] = []

    @property
    def names(self) -> list[str]:
        without = [NONE, LONGER] if self._variant else []
        return [*without, *self._sight.ways]

    def run(
        self, holes: Sequence[CrossCase | Case], on_progress: Progress = lambda done, total: None
    ) -> Report:
        """A KeyboardInterrupt ends it early, as in `evaluate.run`."""
        self._found = []
        plain = [
            _Hole(one) if isinstance(one, Case) else _Hole(one.case, one.target, one.groups)
            for one in holes
        ]
        done = score_all(plain, self._score, on_progress)
        made = report(done.scored, self.names, done.skipped, done.complete)
        return replace(made, facts=self._facts(done.scored))

    def _score(self, hole: _Hole) -> Scored | None:
        found = self._sights[hole.case.source].look(hole.case)
        answered = self._answered(hole.case, found) if self._variant else Scored(hole.case, {}, 0)
        if answered is None:
            return None
        scores = {name: dict(answered.scores.get(name, {})) for name in self.names}
        for name, one in found.items():
            scores[name] |= self._figures(one.context, hole.target)
        self._found.append(found)
        return replace(answered, scores=scores, named=hole.groups)

    def _answered(self, case: Case, found: Mapping[str, Found]) -> Scored | None:
        """Ways that brought the same are asked once."""
        assert self._variant
        budget = self._sight.budget
        longer = replace(
            self._variant, name=LONGER, prompt_tokens=self._variant.prompt_tokens + budget
        )
        pairs = [(case, replace(self._variant, name=NONE)), (case, longer)]
        same: dict[str, str] = {}
        by_pieces: dict[tuple[Piece, ...], str] = {(): NONE}
        for name, one in found.items():
            pieces = one.context.pieces
            same[name] = by_pieces.setdefault(pieces, name)
            if same[name] == name:
                shown = replace(case, snippets=tuple(one.context.snippets))
                pairs.append((shown, replace(self._variant, name=name, context_tokens=budget)))
        answered = answer_each(pairs)
        if answered is None:
            return None
        scores = {**answered.scores, **{name: answered.scores[of] for name, of in same.items()}}
        return replace(answered, scores=scores)

    def _facts(self, scored: Sequence[Scored]) -> dict[str, Any]:
        stages: dict[str, list[float]] = {
            f"{ALWAYS}, first look": [found[ALWAYS].ms for found in self._found],
            ALL: [found[ALL].ms for found in self._found],
        }
        for found in self._found:
            for stage, ms in found[ALL].context.ms.items():
                stages.setdefault(f"  {stage}", []).append(ms)
        spent = [one.scores[name]["context"] for one in scored for name in self._sight.ways]
        return {
            "budget": self._sight.budget,
            "over_budget": sum(tokens > self._sight.budget for tokens in spent),
            "retrieval_ms": {name: _spread(ms) for name, ms in stages.items() if ms},
            "gate": gate_rows(scored, NONE, ALWAYS, ALL) if self._variant else [],
        }

    def _figures(self, context: Context, target: Target | None) -> dict[str, float]:
        """`context`: tokens as they are counted in the prompt; without a model as retrieval
        counted them."""
        tokens = context.tokens
        if self._variant:
            snippets = context.snippets
            tokens = self._variant.encoder.snippet_tokens("", snippets)
        figures = {
            "asked": float(bool(context.pieces)),
            "pieces": float(len(context.pieces)),
            "context": float(tokens),
        }
        if target is not None:
            figures["found"] = float(defined_there(context.pieces, target))
        return figures


def defined_there(pieces: Sequence[Piece], target: Target) -> bool:
    """Whether the signature of `target` stands in a piece of its file."""
    return any(
        piece.path == target.path
        and any(_starts_line(piece.text, one) for one in target.signatures)
        for piece in pieces
    )


def _starts_line(text: str, signature: str) -> bool:
    """Formatting aside; so that no other name goes on where it ends."""
    lines = text.split("\n")
    for start in range(len(lines)):
        rest, end = squeezed("\n".join(lines[start:])), len(signature)
        whole = end == SIGNATURE or not _WORDS.match(rest[end - 1 : end + 1])
        if whole and rest.startswith(signature):
            return True
    return False


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Nearest rank."""
    ordered = sorted(values)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
    return {"p50": at(0.5), "p95": at(0.95), "max": ordered[-1], "n": len(ordered)}
