"""How much of a draft to verify: as much as pays, by what was measured, often nothing.

A pass that reads k guessed tokens beside the one that is known yields one token and as many
guesses as hold in a row. Verifying is exact (`Running.verify`), so all here is about time only.
"""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul

from completion.engine.draft import Draft

MAX_DRAFT = 32
# Before anything is measured: chances by source and by tokens matched before, and what each token
# more costs of a pass. Optimistic, because what is not tried is not measured.
_PRIOR = {
    "context": {0: 0.1, 1: 0.3, 2: 0.45, 3: 0.6, 4: 0.7, 6: 0.8, 9: 0.9, 17: 0.95},
    "prediction": {0: 0.7, 1: 0.8, 2: 0.85, 3: 0.9, 6: 0.95, 17: 0.97},
}
_PRIOR_TRIES = 8.0
_PRIOR_COST = 0.05
_REMEMBERED_TRIES = 256.0
_REMEMBERED_PASSES = 512
_SMOOTHING = 0.25


class Acceptance:
    """How often a guessed token holds, given that those before it did; recent tries count more."""

    def __init__(self) -> None:
        self._counts = {
            (source, length): [rate * _PRIOR_TRIES, _PRIOR_TRIES]
            for source, rates in _PRIOR.items()
            for length, rate in rates.items()
        }
        self._bucket = {source: _buckets(list(rates)) for source, rates in _PRIOR.items()}

    def chance(self, key: tuple[str, int]) -> float:
        held, tried = self._counts[self._key(key)]
        return held / tried

    def learn(self, draft: Draft, truth: Sequence[int]) -> None:
        """What came. It need not have been verified, so that this learns while drafts are off."""
        for guess, key, token in zip(draft.tokens, draft.keys, truth, strict=False):
            count = self._counts[self._key(key)]
            count[0] += guess == token
            count[1] += 1
            if count[1] > _REMEMBERED_TRIES:
                count[:] = [count[0] / 2, count[1] / 2]
            if guess != token:
                break

    def _key(self, key: tuple[str, int]) -> tuple[str, int]:
        source, length = key
        buckets = self._bucket[source]
        return source, buckets[min(length, len(buckets) - 1)]


class PassCost:
    """Time of a pass by its width in tokens, as measured; widths between are interpolated."""

    def __init__(self) -> None:
        self._measured: dict[int, tuple[float, int]] = {}
        self._passes = 0

    def measured(self, width: int, milliseconds: float) -> None:
        self._passes += 1
        known = self._measured.get(width)
        if known is not None:
            milliseconds = known[0] + _SMOOTHING * (milliseconds - known[0])
        self._measured[width] = milliseconds, self._passes
        # What was slow once must not stay ruled out for ever.
        oldest = self._passes - _REMEMBERED_PASSES
        self._measured = {w: known for w, known in self._measured.items() if known[1] > oldest}

    def of(self, width: int) -> float:
        """Milliseconds, or in units of a pass over one token while nothing is measured."""
        below = max((w for w in self._measured if w <= width), default=0)
        above = min((w for w in self._measured if w >= width), default=0)
        if below and above:
            low, high = self._measured[below][0], self._measured[above][0]
            share = (width - below) / (above - below) if above > below else 0.0
            return low + share * (high - low)
        near = below or above
        return _prior(width) if not near else self._measured[near][0] * _prior(width) / _prior(near)


class Speculation:
    """What a decoder has learned about drafts: the chances of guesses, the cost of passes."""

    def __init__(self) -> None:
        self.acceptance = Acceptance()
        self.cost = PassCost()

    def plan(self, drafts: Sequence[Draft]) -> list[int]:
        """How many tokens of each sequence's draft one pass over all of them should verify.

        The most expected tokens per time: guesses by falling chance, as many as raise it.
        """
        chance = self.acceptance.chance
        guesses = sorted(
            (-reached, number, place)
            for number, draft in enumerate(drafts)
            for place, reached in enumerate(accumulate(map(chance, draft.keys), mul))
        )
        width = tokens = len(drafts)
        best, taken = tokens / self.cost.of(width), 0
        for count, (reached, _, _) in enumerate(guesses, 1):
            tokens -= reached
            if (speed := tokens / self.cost.of(width + count)) > best:
                best, taken = speed, count
        counts = [0] * len(drafts)
        for _, number, _ in guesses[:taken]:
            counts[number] += 1
        return counts


def _buckets(starts: list[int]) -> list[int]:
    """For each length up to the last bucket's start, the start of its bucket."""
    return [max(s for s in starts if s <= length) for length in range(starts[-1] + 1)]


def _prior(width: int) -> float:
    return 1 + _PRIOR_COST * (width - 1)
