"""Whether the true fix is among the candidates, and how early: of mined cases, or of QuixBugs.

    python -m benchmarks.mine_fixes REPO... --out CASES
    python -m benchmarks.repair_space --cases CASES/first
    python -m benchmarks.repair_space --quixbugs QUIXBUGS [--whole]
    python -m benchmarks.repair_space --cases CASES/first --fit

A case's line is given: the lines that the fix changed, or those on both sides where it only adds.
With --whole every line is as suspicious as any other. Candidates are compared by what they
compile to; nothing is run. --fit prints the priors that make the cases' fixes likeliest (of the
half that is there to look at).
"""

import argparse
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import common, mine_fixes
from sandbox.repair.catalogue import TEMPLATES
from sandbox.repair.difference import difference
from sandbox.repair.normal import Key
from sandbox.repair.priors import USUAL
from sandbox.repair.search import Search
from sandbox.repair.source import Source, Statement
from tandem.errors import TandemError, UsageError

FIRST = (1, 10, 100, 1000)
QUICK = 25
MOST = 200_000  # candidates of a case
# Each template counts as if it had been asked so often more and been right so often: what a hundred
# of these cases never show may well be the fix of another bug.
_ASKED, _RIGHT = 100.0, 1.0


@dataclass(frozen=True)
class Case:
    name: str
    before: str
    after: str
    first: int
    last: int


@dataclass(frozen=True)
class Found:
    """`rank` from 0, None if the fix is not among the `tried` candidates."""

    name: str
    rank: int | None
    template: str
    tried: int
    seconds: float


def chosen(cases: Path | None, bugs: Path | None) -> list[Case]:
    """The mined cases or QuixBugs, whichever folder is given. Raises UsageError."""
    if cases is not None and bugs is None:
        return mined(cases)
    if bugs is not None and cases is None:
        return quixbugs(bugs)
    raise UsageError("Give either --cases or --quixbugs.", "See --help.")


def mined(folder: Path) -> list[Case]:
    return [
        Case(f"{c.repository}-{c.commit[:9]} {c.path}", c.before, c.after, c.first, c.last)
        for c in mine_fixes.read(folder)
    ]


def quixbugs(folder: Path) -> list[Case]:
    """The Python programs that have a corrected one. Raises UsageError if there are none."""
    found = []
    for right in sorted((folder / "correct_python_programs").glob("*.py")):
        wrong = folder / "python_programs" / right.name
        if right.stem.endswith("_test") or not wrong.is_file():
            continue
        before, after = wrong.read_text("utf-8"), _without_texts(right.read_text("utf-8"))
        # Descriptions stand in the faulty programs only, other solutions in the right ones.
        before = _without_texts(before)
        place = mine_fixes.changed(before, after)
        if place and before != after:
            found.append(Case(right.stem, before, after, place[0], place[1]))
    if not found:
        raise UsageError(f"{folder} has no QuixBugs.", "Clone jkoppel/QuixBugs.")
    return found


def _without_texts(text: str) -> str:
    """The program without strings that stand alone, and without blank lines."""
    source = Source(text)
    kept, at = "", 0
    for one in source.statements:
        body = source.text[one.start : one.end]
        if one.parent is None and body.startswith(('"""', "'''")):
            kept += text[at : one.start]
            at = one.end
    return "\n".join(line for line in (kept + text[at:]).split("\n") if line.strip()) + "\n"


def prepared(case: Case) -> tuple[Source, Search, Key, list[Statement]] | None:
    """The parsed case, its fix's key, and the statements of its lines; None where the fix is in
    more than one place for us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Source(case.before)
        search = Search(source)
        key = difference(source, Source(case.after), search.normal)
    if key is None:
        return None
    lines = list(range(case.first + 1, case.last + 1)) or [case.first, case.first + 1]
    placed = [one for line in lines for one in source.at_line(line)]
    return source, search, key, list(dict.fromkeys(placed))


def look(case: Case, whole: bool, most: int = MOST) -> Found:
    began = time.perf_counter()
    ready = prepared(case)
    if ready is None:
        return Found(case.name, None, "more than one place", 0, time.perf_counter() - began)
    source, search, key, statements = ready
    if whole:
        statements = source.statements
    tried = 0
    for candidate, found in search.run([(1.0, one) for one in statements]):
        if found == key:
            return Found(case.name, tried, candidate.template, tried + 1, _since(began))
        tried += 1
        if tried >= most:
            break
    return Found(case.name, None, "", tried, _since(began))


def shares(case: Case) -> tuple[list[str], dict[str, float]]:
    """The templates that have proposals for the case's statements, once for each of these, and the
    fix's share of the proposals of those that have it."""
    asked: list[str] = []
    right: dict[str, float] = {}
    ready = prepared(case)
    if ready is not None:
        _, search, key, statements = ready
        for statement in statements:
            for name, proposals in search.by_template(statement):
                asked.append(name)
                share = sum(candidate.prior for candidate, found in proposals if found == key)
                if share:
                    right[name] = max(share, right.get(name, 0.0))
    return asked, right


def fitted(
    cases: Sequence[Case], jobs: int, rounds: int = 40
) -> dict[str, tuple[float, float, int]]:
    """Each template's chance to hold the fix of a statement that it has proposals for, how often
    it was right, and how often it was asked.

    By expectation-maximisation: where several templates propose a fix, each is given what its
    share of the proposals' weight earns.
    """
    with ProcessPoolExecutor(jobs) as pool:
        told = list(pool.map(shares, cases))
    asked = Counter(name for names, _ in told for name in names)
    found = [right for _, right in told if right]
    priors = dict.fromkeys(TEMPLATES, USUAL)
    right = dict.fromkeys(TEMPLATES, _RIGHT)
    for _ in range(rounds):
        right = dict.fromkeys(TEMPLATES, _RIGHT)
        for best in found:
            total = sum(priors[name] * share for name, share in best.items())
            for name, share in best.items():
                right[name] += priors[name] * share / total
        priors = {name: right[name] / (asked[name] + _ASKED) for name in TEMPLATES}
    return {name: (priors[name], right[name] - _RIGHT, asked[name]) for name in TEMPLATES}


def _since(began: float) -> float:
    return time.perf_counter() - began


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("--cases", type=Path, metavar="FOLDER", help="of benchmarks.mine_fixes")
    parser.add_argument("--quixbugs", type=Path, metavar="FOLDER", help="a clone of QuixBugs")
    parser.add_argument("--whole", action="store_true", help="no line is given")
    parser.add_argument("--fit", action="store_true", help="print fitted priors instead")
    parser.add_argument("--jobs", type=int, default=1, help="processes; the rate is of one")
    parser.add_argument("--list", action="store_true", help="also each case")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"repair_space: {error}")


def run(arguments: argparse.Namespace) -> None:
    cases = chosen(arguments.cases, arguments.quixbugs)
    if arguments.quick:
        cases = cases[:: math.ceil(len(cases) / QUICK)]
    if arguments.fit:
        priors = fitted(cases, arguments.jobs)
        for name, (chance, right, asked) in sorted(priors.items(), key=lambda one: -one[1][0]):
            print(f'    "{name}": {chance:.4f},  # {right:.1f} of {asked}')
        return
    found = list(_looked(cases, arguments.whole, arguments.jobs))
    if arguments.list:
        for one in sorted(found, key=lambda one: (one.rank is None, one.rank, one.name)):
            print(f"{'-' if one.rank is None else one.rank:>7}  {one.template:24} {one.name}")
    ranks = [one.rank for one in found if one.rank is not None]
    held = {f"first {k:,}": sum(rank < k for rank in ranks) for k in FIRST} | {"all": len(ranks)}
    held["one place"] = sum(one.template != "more than one place" for one in found)
    rows = [[name, count, f"{count / len(found):.1%}"] for name, count in held.items()]
    tried, seconds = sum(one.tried for one in found), sum(one.seconds for one in found)
    rows.append(["candidates", tried, f"{tried / seconds:,.0f} a second"])
    source = arguments.cases or arguments.quixbugs
    given = "no line given" if arguments.whole else "line given"
    title = f"Fixes among the candidates: {len(found)} of {source.name}, {given}"
    figures = {"cases": [vars(one) for one in found], "held": held, "of": len(found)}
    headline = ("repair_space_all", f"{len(ranks) / len(found):.3f}")
    common.report(title, ("", "fixes", "share"), rows, headline, figures, arguments.json)


def _looked(cases: Sequence[Case], whole: bool, jobs: int) -> Iterator[Found]:
    with ProcessPoolExecutor(jobs) as pool:
        for number, one in enumerate(pool.map(partial(look, whole=whole), cases), 1):
            yield one
            if number % max(1, len(cases) // 10) == 0:
                print(f"{number} of {len(cases)} cases", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
