"""Learns the display gate: logistic regression by Newton's method, a threshold, held-out figures.

The threshold hides as much as it can while it costs at most LOST of the accepted characters. It
is chosen on answers that the weights have not seen (by folds), and judged on others again.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from completion.display import Figures, Gate

LOST = 0.12
# Chosen with room to spare: what is held out is a draw too, and a few long answers weigh much.
_LOST_IN_FOLDS = 0.10
FOLDS = 5
RIDGE = 3.0
_STEPS = 30
_DRAWS = 1000


@dataclass(frozen=True)
class Row:
    """A suggestion that was shown, and how many of its characters were accepted. Rows of one
    `group` are alike (a stretch of code, an hour of work): they are held out together."""

    features: Mapping[str, float]
    characters: int
    group: Hashable


def learn(
    rows: Sequence[Row], held_out: Sequence[Row], trained: Mapping[str, Any], prior: Gate | None
) -> Gate:
    """A gate from `rows`, judged on `held_out`. With a `prior` the weights start from its ones
    and leave them as far as the rows demand. Both need rows that were accepted and such that
    were not."""
    assert _mixed(rows), "something must be accepted and something not"
    assert held_out, "there must be something to judge by"
    names = sorted({name for row in rows for name in row.features})
    scale = _Scale.of(names, rows, prior)
    number: dict[Hashable, int] = {}
    group = np.array([number.setdefault(row.group, len(number)) for row in rows])
    fold = np.random.default_rng(0).permutation(len(number))[group] % FOLDS
    scores = np.zeros(len(rows))
    for one in range(FOLDS):
        rest = [row for row, its in zip(rows, fold, strict=True) if its != one]
        inside = np.flatnonzero(fold == one)
        if not len(inside):
            continue
        weights = _fit(rest, scale) if _mixed(rest) else scale.start
        scores[inside] = _chance(scale.matrix([rows[n] for n in inside.tolist()]) @ weights)
    limit = threshold(scores, [row.characters for row in rows], _LOST_IN_FOLDS)
    weights = _fit(rows, scale)
    gate = Gate(
        weights=dict(zip(names, map(float, weights[:-1].round(5)), strict=True)),
        means=dict(zip(names, map(float, scale.means), strict=True)),
        scales=dict(zip(names, map(float, scale.scales), strict=True)),
        bias=round(float(weights[-1]), 5),
        threshold=round(float(limit), 5),
        figures=Figures(0, 0, 0, 0.0, 0.0, 0.0, 0.0),
        trained={**trained, "shown": len(rows), "accepted": sum(r.characters > 0 for r in rows)},
    )
    return Gate(**{**vars(gate), "figures": judge(gate, held_out)})


def threshold(scores: np.ndarray, characters: Sequence[int], lost: float) -> float:
    """The highest score below which at most a share `lost` of the accepted characters lies."""
    order = np.argsort(scores, kind="stable")
    passed = np.cumsum(np.asarray(characters, float)[order])
    count = int(np.searchsorted(passed, lost * passed[-1], side="right"))
    return float(scores[order[min(count, len(order) - 1)]])


def judge(gate: Gate, rows: Sequence[Row]) -> Figures:
    """What the gate does to these rows; the interval is over their groups (bootstrap)."""
    shown = np.array([gate.likely(row.features) for row in rows])
    characters = np.array([row.characters for row in rows], float)
    number: dict[Hashable, int] = {}
    group = np.array([number.setdefault(row.group, len(number)) for row in rows])
    taken = characters > 0
    counts = [
        np.bincount(group, values.astype(float), len(number))
        for values in (np.ones(len(rows)), taken, shown, shown & taken)
    ]
    rng = np.random.default_rng(0)
    picks = rng.multinomial(len(number), np.full(len(number), 1 / len(number)), _DRAWS)
    drawn = _gain(*(picks @ one for one in counts))
    gain = float(_gain(*(one.sum() for one in counts)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    total = characters.sum()
    return Figures(
        shown=len(rows),
        accepted=int(taken.sum()),
        hidden=int((~shown).sum()),
        gain=round(gain, 4),
        low=round(float(low), 4),
        high=round(float(high), 4),
        lost=round(float(characters[~shown].sum() / total), 4) if total else 0.0,
    )


def _gain(everything: Any, taken: Any, shown: Any, kept: Any) -> Any:
    """Of the share of what is shown that is accepted; 0 where nothing can be told."""
    before = taken / np.maximum(everything, 1)
    after = kept / np.maximum(shown, 1)
    return np.where(before > 0, after / np.maximum(before, 1e-9) - 1, 0.0)


@dataclass(frozen=True)
class _Scale:
    """How features become numbers around 0; `start` are the weights without any row, then the
    bias."""

    names: list[str]
    means: np.ndarray
    scales: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, names: list[str], rows: Sequence[Row], prior: Gate | None) -> "_Scale":
        means, scales, start = [], [], []
        for name in names:
            if prior is not None and name in prior.weights:
                means.append(prior.means[name])
                scales.append(prior.scales[name])
                start.append(prior.weights[name])
                continue
            values = np.array([row.features[name] for row in rows if name in row.features])
            means.append(round(float(values.mean()), 5))
            scales.append(round(max(float(values.std()), 0.05), 5))
            start.append(0.0)
        rate = np.mean([row.characters > 0 for row in rows])
        bias = prior.bias if prior is not None else float(np.log(rate / (1 - rate)))
        return cls(names, np.array(means), np.array(scales), np.array([*start, bias]))

    def matrix(self, rows: Sequence[Row]) -> np.ndarray:
        """[rows, features + 1]; what is missing is 0, the last column is 1."""
        found = np.ones((len(rows), len(self.names) + 1))
        for n, row in enumerate(rows):
            for m, name in enumerate(self.names):
                known = row.features.get(name)
                found[n, m] = 0 if known is None else (known - self.means[m]) / self.scales[m]
        return found


def _fit(rows: Sequence[Row], scale: _Scale) -> np.ndarray:
    """Weights [features + 1] that make the rows most likely, less RIDGE / 2 times the square of
    their way from the start; the bias is free."""
    x = scale.matrix(rows)
    y = np.array([row.characters > 0 for row in rows], float)
    ridge = np.full(x.shape[1], RIDGE)
    ridge[-1] = 1e-6
    weights = scale.start.copy()
    for _ in range(_STEPS):
        chance = _chance(x @ weights)
        slope = x.T @ (y - chance) - ridge * (weights - scale.start)
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        weights += step * min(1.0, 5.0 / max(1e-9, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _chance(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def _mixed(rows: Sequence[Row]) -> bool:
    return len({row.characters > 0 for row in rows}) == 2
