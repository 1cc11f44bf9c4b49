"""Where `tandem fix` loses the true fix of a mined case: line, candidate, or time.

    python -m benchmarks.repair_loss CASES --clones CLONES --kept FOLDER [--tries N] [--list]

CASES are of `benchmarks.reproduce`. Each case's tests run once in a sandbox; what that found is
kept in FOLDER, so that another look, after a template or an order has changed, runs nothing. The
rank of the line is that of the first suspect on a line that the fix changed, or next to what it
adds; the rank of the fix that of the first candidate that compiles to the same, in the order in
which the search would try them.
"""

import argparse
import itertools
import json
import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.mine_fixes import Case
from benchmarks.repair import mined
from sandbox import candidates, choose, image, pool, suite, suspects, worktree
from sandbox.repair.difference import difference
from sandbox.repair.normal import Normal
from sandbox.repair.source import Source
from sandbox.suspects import Found
from tandem.errors import TandemError

RANKS = (1, 5, 20, 50)
FIRST = (100, 500, 2000)


@dataclass(frozen=True)
class Kept:
    """What the tests of a case told, and what its candidates are taken from."""

    found: Found
    sources: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class Loss:
    """Ranks from 1, 0 for what is not there; `tests` fail, `others` pass; `makes` in seconds."""

    name: str
    line: int
    lines: int
    fix: int
    template: str
    tests: int
    others: int
    baseline: float
    makes: float
    why: str = ""


def kept(file: Path, clones: Path, folder: Path) -> Kept:
    """Of one case, from the folder if it is there. Raises TandemError."""
    known = folder / f"{file.stem}.pickle"
    if known.exists():
        return pickle.loads(known.read_bytes())
    with tempfile.TemporaryDirectory(prefix="tandem-loss-") as into:
        (bug,) = mined(file.parent, clones, Path(into), [file.stem])
        copy = worktree.snapshot(bug.folder, Path(into) / "copy")
        tests, tar = suite.parse(bug.test), worktree.tar_of(copy)
        began = time.monotonic()
        with pool.Pool(image.image_for(copy.root, tar), tar, size=1) as boxes:
            found = suspects.find(copy.root, tests, boxes)
        seconds = time.monotonic() - began
        sources = {**candidates.others(copy), **found.sources}
    one = Kept(found, sources, seconds)
    folder.mkdir(parents=True, exist_ok=True)
    known.write_bytes(pickle.dumps(one))
    return one


def looked(file: Path, folder: Path, tries: int) -> Loss:
    """Where one case's fix is, from what was kept of it."""
    told = json.loads(file.read_text("utf-8"))
    case = Case(**{k: v for k, v in told.items() if k in Case.__dataclass_fields__})
    one: Kept = pickle.loads((folder / f"{file.stem}.pickle").read_bytes())
    baseline = one.found.baseline
    found = Found(suspects.ranked(baseline, one.found.sources), baseline, one.found.sources)
    failing, _ = choose.spared([result.id for result in baseline.failing])
    wanted = set(range(case.first + 1, case.last + 1)) or {case.first, case.first + 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Source(case.before)
        normal = Normal(before)
        key = difference(before, Source(case.after), normal)
    near = {before.line(s.start) for line in wanted for s in before.at_line(line)} | wanted
    ranks = [
        rank
        for rank, suspect in enumerate(found.suspects, 1)
        if suspect.path == case.path and suspect.line in near
    ]
    facts = len(failing), len(baseline.passing), one.seconds
    line = min(ranks, default=0)
    if key is None:
        why = "more than one place"
        return Loss(file.stem, line, len(found.suspects), 0, "", *facts, 0.0, why)
    first, last = case.first, max(case.first, case.last)
    began, rank, template = time.perf_counter(), 0, ""
    stream = candidates.of_templates(found, one.sources)
    for number, candidate in enumerate(itertools.islice(stream, tries), 1):
        (place,) = candidate.places(one.sources)
        if candidate.path == case.path and place.first <= last + 2 and place.last >= first - 1:
            after = Source(candidate.applied(case.before))
            if difference(before, after, normal) == key:
                rank, template = number, candidate.template
                break
    makes = time.perf_counter() - began
    return Loss(file.stem, line, len(found.suspects), rank, template, *facts, makes)


def run(told: argparse.Namespace) -> None:
    files = sorted(told.cases.glob("*.json"))[: 2 if told.quick else None]
    for number, file in enumerate(files, 1):
        print(f"{number} of {len(files)} {file.stem}", file=sys.stderr, flush=True)
        kept(file, told.clones, told.kept)
    with ProcessPoolExecutor(told.jobs) as workers:
        found = list(workers.map(partial(looked, folder=told.kept, tries=told.tries), files))
    report(found, told)


def report(found: Sequence[Loss], told: argparse.Namespace) -> None:
    if told.list:
        rows = [
            [o.name, o.line, o.lines, o.fix, o.template or o.why, o.tests, o.others, o.makes]
            for o in found
        ]
        columns = ["case", "line", "of", "fix", "template", "failing", "passing", "s"]
        common.show("Ranks, 0 for what is not there", columns, rows)
    held: dict[str, int] = {"one place": sum(not one.why for one in found)}
    held |= {f"line in the first {n}": sum(0 < o.line <= n for o in found) for n in RANKS}
    held |= {f"fix in the first {n:,}": sum(0 < o.fix <= n for o in found) for n in FIRST}
    held["fix found"] = sum(one.fix > 0 for one in found)
    rows: list[list[Any]] = [
        [name, count, f"{count / len(found):.0%}"] for name, count in held.items()
    ]
    figures = {"held": held, "cases": [vars(one) for one in found]}
    headline = ("repair_loss_found", f"{held['fix found']}/{len(found)}")
    common.report(f"Of {len(found)} fixes", ("", "fixes", ""), rows, headline, figures, told.json)


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("cases", type=Path, metavar="CASES")
    parser.add_argument("--clones", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--kept", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--tries", type=int, default=5000, help="candidates that are looked at")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--list", action="store_true", help="also each case")
    try:
        run(parser.parse_args())
    except TandemError as error:
        sys.exit(f"repair_loss: {error}")


if __name__ == "__main__":
    main()
