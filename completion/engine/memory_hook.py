"""A memory's guess mixed into the model's: how much of it, by how sure both are.

What a memory says is smoothed from short to long matches (Witten and Bell 1991, method C). The
weight of it is a logistic function of the longest match and of the model's own confidence, as in
adaptive kNN models (He et al. 2021, arXiv 2109.04212), fitted on held-out files of other
repositories: `python -m benchmarks.memory --fit`.
"""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch

from completion.engine.memory import Level, Recall
from completion.engine.memory_table import LONGEST


@dataclass(frozen=True)
class Guess:
    """`tokens` [n], rising, and their `chances` [n], which leave `rest` for all others."""

    tokens: np.ndarray
    chances: np.ndarray
    rest: float


def guess(levels: Sequence[Level]) -> Guess:
    """Of levels by rising length; the shortest one has all tokens that the others have."""
    tokens = levels[0].tokens
    chances, rest = np.zeros(len(tokens)), 1.0
    for level in levels:
        count, kinds = int(level.counts.sum()), len(level.tokens)
        lower = kinds / (count + kinds)
        chances *= lower
        chances[tokens.searchsorted(level.tokens)] += level.counts / (count + kinds)
        rest *= lower
    return Guess(tokens, chances, rest)


FEATURES = (
    *("constant", "length", "count", "kinds", "share"),
    *("agreed", "log agreed", "sure", "log sure"),
)


def features(levels: Sequence[Level], logprobs: np.ndarray) -> np.ndarray:
    """What the weight depends on [features]. Of the longest match: its length, how often it
    comes, how many different tokens follow, the first one's share, and what the model, whose
    log-probabilities [vocabulary] are given, thinks of that. And how sure the model is."""
    longest = levels[-1]
    count, first = int(longest.counts.sum()), int(longest.counts.argmax())
    agreed = max(float(logprobs[longest.tokens[first]]), _LEAST)
    sure = float(logprobs.max())
    return np.array(
        [
            1.0,
            math.log(longest.length),
            math.log(count),
            math.log(len(longest.tokens)),
            longest.counts[first] / count,
            math.exp(agreed),
            agreed,
            math.exp(sure),
            sure,
        ]
    )


# Fitted on 200 holes in click, requests, httpx and black (3,564 tokens).
WEIGHTS = np.array([-3.334, 0.835, 0.227, -0.163, 1.923, -0.257, 0.206, -1.016, -0.629])
_LEAST = -20.0


class MemoryHook:
    """Mixes a memory into one sequence's distribution.

    The end of an answer stays as likely as the model says: files do not know of it.
    """

    def __init__(self, recall: Recall, prompt: Sequence[int], ends: Set[int]) -> None:
        """`ends` are the tokens that end an answer."""
        self._view, self._weight = recall.view, recall.weight
        self._context = list(prompt[-LONGEST:])
        self._ends = np.array(sorted(ends), np.int64)

    def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        levels = self._view.levels(self._context) if self._weight else []
        if not levels:
            return logits
        logprobs = log_softmax(logits.float().cpu().numpy())
        share = min(self._weight * mixing(features(levels, logprobs)), 1.0)
        result = mixed(logprobs, guess(levels), share, self._ends)
        return torch.from_numpy(result).to(logits.device)

    def accept(self, token: int) -> None:
        self._context = [*self._context[1 - LONGEST :], token]


def mixing(of: np.ndarray, weights: np.ndarray = WEIGHTS) -> float:
    """The memory's weight, for features [features]."""
    return 1 / (1 + math.exp(-float(of @ weights)))


def mixed(logprobs: np.ndarray, said: Guess, share: float, ends: np.ndarray) -> np.ndarray:
    """Log-probabilities [vocabulary] of both: `share` of what is not an end is the memory's.

    What a guess leaves to others is the model's.
    """
    going_on = max(0.0, 1 - float(np.exp(logprobs[ends]).sum()))
    result = logprobs + logprobs.dtype.type(math.log1p(-share * (1 - said.rest)))
    result[ends] = logprobs[ends]
    with np.errstate(divide="ignore"):  # no share, or nothing goes on: the log of 0 is right
        added = np.log(share * going_on * said.chances)
    result[said.tokens] = np.logaddexp(result[said.tokens], added)
    return result


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Of logits [vocabulary], by this thread alone: torch's threads would wait for each other."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
