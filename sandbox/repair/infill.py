"""What a code model writes in the place of a suspicious statement: one template more.

The statement, its value, or a new line beside it is cut out and filled in: once greedily, then by
samples from fixed seeds, so that the same model gives the same candidates.
"""

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass

from completion import prompt
from completion.engine.generate import Decoder
from completion.engine.request import Request
from completion.templates import Template
from sandbox.repair.change import Change, Replace, Splice
from sandbox.repair.spot import Spot

SAMPLES = 4  # for each hole, the greedy one among them
TEMPERATURE = 0.8
TOKENS = 48  # of an answer
BUDGET = 768  # tokens of a prompt


@dataclass(frozen=True)
class Hole:
    """Characters of the file that are cut out. `beside`: nothing is, a line is to be written
    below the statement (True) or above it (False)."""

    start: int
    end: int
    before: str = ""
    after: str = ""
    beside: bool | None = None


class Infiller:
    """A loaded model with its FIM template, as a template for `search`."""

    def __init__(self, decoder: Decoder, template: Template, samples: int = SAMPLES) -> None:
        self._decoder = decoder
        self._template = template
        self._samples = samples

    def __call__(self, spot: Spot) -> Iterator[Change]:
        for hole in holes(spot):
            for text, weight in self._answers(spot, hole).items():
                yield from _changes(spot, hole, text, weight)

    def _answers(self, spot: Spot, hole: Hole) -> dict[str, float]:
        """Texts and how likely the model found them, by the mean of their tokens."""
        source, decoder = spot.source.text, self._decoder
        before, after = source[: hole.start] + hole.before, hole.after + source[hole.end :]
        fitted = prompt.fit(
            before + after,
            len(before),
            "python",
            self._template,
            min(BUDGET, decoder.context - TOKENS - 1),
            decoder.tokenizer.count,
            can_heal=True,
            path=spot.source.path,
        )
        if fitted is None:  # inside a secret
            return {}
        tokens = tuple(decoder.tokenizer.encode(fitted.prompt.text, begin=True))
        found: dict[str, float] = {}
        for number in range(self._samples):
            request = Request(
                tokens,
                TOKENS,
                temperature=TEMPERATURE if number else 0.0,
                seed=number,
                stop=("\n", *fitted.prompt.stop),
                heal=fitted.prompt.heal,
                logprobs=0,
            )
            chunks = list(decoder.generate(request))
            text = "".join(chunk.text for chunk in chunks).strip()
            nats = [one.logprob for chunk in chunks for one in chunk.logprobs]
            if text and chunks[-1].finish == "stop":
                likely = math.exp(sum(nats) / max(1, len(nats)))
                found[text] = max(likely, found.get(text, 0.0))
        return found


def holes(spot: Spot) -> Iterator[Hole]:
    """What is cut out of a statement, or put beside it."""
    one, source = spot.statement, spot.source
    end = one.head_end - 1 if one.compound else one.end  # the colon stays
    if source.text[one.start : one.start + 1] != "@" and end > one.start:
        yield Hole(one.start, end)
        value = _value(spot.node)
        if value is not None:
            start, behind = source.span(value)
            if (start, behind) != (one.start, end):
                yield Hole(start, behind)
    if one.block is not None and one.block.clean and one.block.indent.strip() == "":
        line = f"{source.newline}{one.block.indent}"
        yield Hole(one.start, one.start, after=line, beside=False)
        if not one.compound:
            behind = source.line_end(max(one.start, one.end - 1))
            whole = source.text[:behind].endswith(("\n", "\r"))
            before = one.block.indent if whole else line
            yield Hole(behind, behind, before=before, after=source.newline, beside=True)


def _value(node: ast.AST) -> ast.expr | None:
    """What a statement is about: what it returns, assigns, tests, goes through."""
    for name in ("value", "test", "iter", "exc"):
        found = getattr(node, name, None)
        if isinstance(found, ast.expr):
            return found
    return None


def _changes(spot: Spot, hole: Hole, text: str, weight: float) -> Iterator[Change]:
    if hole.beside is None:
        if spot.statement.compound and text.endswith(":"):
            text = text[:-1]
        yield Replace(hole.start, hole.end, text, weight)
        return
    block = spot.statement.block
    assert block is not None, "a line is written beside a block's statement"
    at = spot.statement.index + hole.beside
    yield Splice(block, at, at, (text,), weight, below=hole.beside)
