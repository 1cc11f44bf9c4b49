"""Candidates by their prior and by what a model thinks of them; by the prior alone without one."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sandbox.repair.change import Candidate

# Candidates that are weighed together: what comes later cannot overtake what came before.
BLOCK = 512


@dataclass(frozen=True)
class Weights:
    """Of a gain's parts, in nats of the prior. benchmarks.repair_order says what they bring, and
    fits them to the first half of mined fixes; these are rounder than any such few cases tell."""

    nats: float = 0.1
    tokens: float = 0.1
    mean: float = 1.0


WEIGHTS = Weights()
# Beyond this many nats a gain says that much text came or went, not that it is right.
_MOST = 8.0


@dataclass(frozen=True)
class Gain:
    """What a change does to the text from its first token to a little behind it: nats that it
    becomes likelier by, tokens that it becomes longer by, nats that its mean token gains."""

    nats: float
    tokens: int
    mean: float


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


def score(candidate: Candidate, gain: Gain, weights: Weights = WEIGHTS) -> float:
    """In nats; only differences mean something."""
    gained = weights.nats * gain.nats + weights.tokens * gain.tokens + weights.mean * gain.mean
    return math.log(candidate.prior) + max(-_MOST, min(_MOST, gained))
