"""Candidates by their prior and by what a model thinks of them; by the prior alone without one."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sandbox.repair.change import Candidate

# Candidates that are weighed together: what comes later cannot overtake what came before.
BLOCK = 512
# Of a nat that the file becomes likelier, in nats of the prior, and for each token more. Fitted
# by benchmarks.repair_order on the first half of mined fixes.
GAIN, TOKENS = 0.3, 0.3


@dataclass(frozen=True)
class Gain:
    """By how many nats a change makes the text around it likelier, and how many tokens longer."""

    nats: float
    tokens: int


class Likelihood(Protocol):
    """What `likelihood.Reader` is: a model that reads code."""

    def gains(self, source: str, candidates: Sequence[Candidate]) -> list[Gain]:
        """One for each candidate, all of the file with this text."""
        ...


def ordered(
    candidates: Iterable[Candidate],
    sources: Mapping[str, str],
    model: Likelihood | None,
    block: int = BLOCK,
) -> Iterator[Candidate]:
    """The same candidates, block by block, the best of each block first.

    `sources` are the texts of their files by path. Ties stay as they came.
    """
    if model is None:
        yield from candidates
        return
    waiting = iter(candidates)
    while together := list(itertools.islice(waiting, block)):
        gains: dict[int, Gain] = {}
        for path in dict.fromkeys(one.path for one in together):
            own = [number for number, one in enumerate(together) if one.path == path]
            told = model.gains(sources[path], [together[number] for number in own])
            gains |= dict(zip(own, told, strict=True))
        yield from (
            together[number]
            for number in sorted(gains, key=lambda n: (-score(together[n], gains[n]), n))
        )


def score(candidate: Candidate, gain: Gain, weights: tuple[float, float] = (GAIN, TOKENS)) -> float:
    """In nats; only differences mean something."""
    return math.log(candidate.prior) + weights[0] * gain.nats + weights[1] * gain.tokens
