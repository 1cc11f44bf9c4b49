"""Which of several answers to show: what speaks for and against each, summed up and told.

The first candidate is the greedy answer. `benchmarks.candidates` says what choosing brings and
costs: likelihood does the work, and the rest settles what it leaves open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Candidate:
    """`text` as it would be shown. `logprobs` are its tokens', in nats, as the server told them.

    `suffix_gain`: by how much it makes the text after the cursor likelier, in nats; None where
    nobody asked. `parses`: no syntax error touches it in its place. `unknown`: names in it that
    neither the file nor the repository has.
    """

    text: str
    logprobs: tuple[float, ...] = ()
    suffix_gain: float | None = None
    parses: bool = True
    unknown: int = 0


@dataclass(frozen=True)
class Weights:
    """What each part counts, in nats of log-probability."""

    first: float = 0.0
    likelihood: float = 1.0
    token: float = 0.0
    suffix: float = 0.0
    broken: float = -3.0
    unknown: float = -1.0


WEIGHTS = Weights()


@dataclass(frozen=True)
class Ranked:
    """A candidate, its place in what was given, and its score by parts, for the trace."""

    candidate: Candidate
    index: int
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return sum(self.parts.values())

    def told(self) -> dict[str, object]:
        """For the trace."""
        parts = {name: round(value, 3) for name, value in self.parts.items()}
        return {"index": self.index, "score": round(self.score, 3), "parts": parts}


def order(candidates: Sequence[Candidate], weights: Weights = WEIGHTS) -> list[Ranked]:
    """The best first; of equally good ones the one that came first.

    Blank texts are left out. Of equal texts the best stays, with the place of the first. Without
    log-probabilities of all of them likelihood says nothing, and they stay as they came.
    """
    likely = all(one.logprobs for one in candidates if one.text.strip())
    gains = [one.suffix_gain for one in candidates if one.text.strip()]
    reads_on = bool(gains) and None not in gains
    best: dict[str, Ranked] = {}
    for index, one in enumerate(candidates):
        if not one.text.strip():
            continue
        parts = _parts(one, index, weights, likely, reads_on)
        found = Ranked(one, index, parts)
        known = best.get(one.text)
        if known is None:
            best[one.text] = found
        elif found.score > known.score:
            best[one.text] = Ranked(one, known.index, parts)
    return sorted(best.values(), key=lambda ranked: (-ranked.score, ranked.index))


def _parts(
    one: Candidate, index: int, weights: Weights, likely: bool, reads_on: bool
) -> dict[str, float]:
    parts = {
        "first": weights.first * (index == 0),
        "likelihood": weights.likelihood * sum(one.logprobs) if likely else 0.0,
        "length": weights.token * len(one.logprobs) if likely else 0.0,
        "suffix": weights.suffix * (one.suffix_gain or 0.0) if reads_on else 0.0,
        "syntax": weights.broken * (not one.parses),
        "names": weights.unknown * one.unknown,
    }
    return {name: value for name, value in parts.items() if value}
