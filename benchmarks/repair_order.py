"""How much earlier the true fix comes when a model orders the candidates: of mined cases or QuixBugs.

    python -m benchmarks.repair_order --cases CASES/first

The line is given. Only cases whose fix is among the first --first candidates by prior are read:
the order changes nothing for the others. --fit prints the weights that put the fixes first (of
the half that is there to look at).
"""

import argparse
import itertools
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import common, repair_space
from completion import models
from completion.engine import shipped
from completion.engine.generate import Decoder
from completion.sources import DEFAULT
from sandbox.repair.change import Candidate
from sandbox.repair.likelihood import Reader
from sandbox.repair.order import WEIGHTS, Gain, Weights, score
from tandem.errors import TandemError, UsageError

KS = (1, 5, 10, 30, 100)
QUICK = 3
GRID = {
    "nats": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8),
    "tokens": (0.0, 0.1, 0.2, 0.4, 0.8),
    "mean": (0.0, 0.25, 0.5, 1.0, 2.0),
}


@dataclass(frozen=True)
class Read:
    """A case's candidates with their gains; `right` is the place of the fix among them."""

    name: str
    candidates: Sequence[Candidate]
    gains: Sequence[Gain]
    right: int
    seconds: float

    def rank(self, weights: Weights) -> int:
        scores = [score(*one, weights) for one in zip(self.candidates, self.gains, strict=True)]
        return sum(other > scores[self.right] for other in scores)


def readings(
    cases: Sequence[repair_space.Case], model: Reader, first: int, most: int
) -> Iterator[Read]:
    done = 0
    for case in cases:
        if done == most:
            return
        ready = repair_space.prepared(case)
        if ready is None:
            continue
        _, search, key, statements = ready
        found = list(itertools.islice(search.run([(1.0, one) for one in statements]), first))
        right = next((i for i, (_, other) in enumerate(found) if other == key), None)
        if right is None:
            continue
        began = time.perf_counter()
        candidates = [candidate for candidate, _ in found]
        gains = model.gains(case.before, candidates)
        yield Read(case.name, candidates, gains, right, time.perf_counter() - began)
        done += 1
        print(f"{done} read: {case.name}", file=sys.stderr, flush=True)


def fitted(found: Sequence[Read]) -> Weights:
    """Of a grid, the weights with the lowest mean logarithm of the fix's rank."""
    grid = [Weights(*values) for values in itertools.product(*GRID.values())]
    return min(grid, key=lambda w: sum(math.log2(1 + one.rank(w)) for one in found))


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--cases", type=Path, metavar="FOLDER", help="of benchmarks.mine_fixes")
    parser.add_argument("--quixbugs", type=Path, metavar="FOLDER", help="a clone of QuixBugs")
    parser.add_argument("--model", default=DEFAULT, help="a name of `tandem models`")
    parser.add_argument("--first", type=int, default=200, help="candidates that are ordered")
    parser.add_argument("--n", type=int, default=1000, help="cases that are read at most")
    parser.add_argument("--fit", action="store_true", help="print fitted weights as well")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"repair_order: {error}")


def run(arguments: argparse.Namespace) -> None:
    cases = repair_space.chosen(arguments.cases, arguments.quixbugs)
    found_model = models.resolve(arguments.model)
    decoder = Decoder.load(found_model.folder, shipped=shipped.of(found_model))
    most = QUICK if arguments.quick else arguments.n
    found = list(readings(cases, Reader(decoder), arguments.first, most))
    if not found:
        raise UsageError("No fix is among the first candidates.", "Give more cases, or --first.")
    orders = {"prior alone": Weights(0, 0, 0), "with the model": WEIGHTS}
    if arguments.fit:
        best = fitted(found)
        print(f"fitted: {best}")
        orders["fitted"] = best
    rows, figures = [], {}
    for name, weights in orders.items():
        ranks = [one.rank(weights) for one in found]
        mean = statistics.fmean(math.log2(1 + rank) for rank in ranks)
        held = [f"{sum(rank < k for rank in ranks) / len(ranks):.0%}" for k in KS]
        rows.append([name, f"{2**mean - 1:.1f}", *held])
        figures[name] = ranks
    tried = sum(len(one.candidates) for one in found)
    rate = tried / sum(one.seconds for one in found)
    rows.append(["candidates a second", f"{rate:.0f}", *[""] * len(KS)])
    title = f"Rank of the fix, {len(found)} cases, {arguments.model}"
    columns = ("", "typical rank", *(f"first {k}" for k in KS))
    typical = {name: row[1] for name, row in zip(orders, rows, strict=False)}
    headline = ("repair_order_typical_rank", str(typical["with the model"]))
    common.report(title, columns, rows, headline, figures | {"typical": typical}, arguments.json)


if __name__ == "__main__":
    main()
