"""How edits that are slightly wrong are applied: rightly, not at all, or wrongly.

    python -m benchmarks.hunks REPO... [--cases 1000] [--seed 9] [--wrong] [--json FILE] [--quick]

The cases are changes of real commits of cloned repositories, made wrong in the ways of
`parts/harms` and written as a chat model writes them: search/replace blocks, diffs with wrong
numbers, tool calls. In 28% of them refusal is right: the text stands at several places and no line
is clearly nearest to one (22.5%), a line that is to go is not the file's (3%), or the file has the
new text already (2.5%).

A decision is right if the result is the true text, up to the white space that was made wrong, or
if what must be refused is refused. Any other applied edit is a wrong application. Left out are
hunks whose harmed text is that of another place, letter for letter: they name that place.
Only git's objects are read: nothing of a repository runs.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from random import Random

from benchmarks import common, mine_fixes
from benchmarks.parts import harms
from benchmarks.parts.harms import Cut, Row
from sandbox import hunks
from tandem.errors import TandemError, UsageError

SUFFIXES = {".py", ".js", ".ts", ".tsx", ".go", ".rs", ".md", ".rst", ".toml", ".html", ".yml"}
DRIFTS = ("trailing", "tabs", "shifted", "spacing")
REPEATED = ("repeated", "repeated, a line between", "repeated, drifted")
APPLIED = (*harms.HARMS, "two harms", "numbers", "crlf", "repeated, a line near")
REFUSED = (*REPEATED, "another line", "applied already")
SHARES = {**dict.fromkeys(APPLIED, 60), **dict.fromkeys(REPEATED, 75)}
SHARES |= {"another line": 30, "applied already": 25}
WIDE = 9  # lines of context, where some are to be left out


@dataclass(frozen=True)
class Case:
    """`answer`: what a model wrote. `true`: the text it should give, None where refusal is right."""

    kind: str
    form: str
    path: str
    old: str
    true: str | None
    harms: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Decided:
    """What was done with a case: right, refused or wrong; and why, or how."""

    case: Case
    verdict: str
    said: str


def decide(case: Case) -> Decided:
    try:  # refusal is one of the answers
        patch = hunks.apply_all(hunks.parse(case.answer), {case.path: case.old}.get)
    except TandemError as error:
        return Decided(case, "right" if case.true is None else "refused", str(error))
    made = patch.files[case.path]
    assert made is not None
    is_right = case.true is not None and harms.same(made, case.true, case.harms)
    return Decided(case, "right" if is_right else "wrong", made)


def cases(repositories: list[Path], count: int, seed: int) -> list[Case]:
    """So many cases, each kind in its share. Raises UsageError if the histories have too few."""
    random = Random(seed)
    wanted = {kind: max(1, round(share * count / 1000)) for kind, share in SHARES.items()}
    found: Counter[str] = Counter()
    made: list[Case] = []
    streams = [_changes(folder, Random(f"{seed} {folder.name}")) for folder in repositories]
    for batch in zip_longest(*streams):
        for cut in filter(None, batch):
            # The rare ones first: few texts stand in a file twice.
            open_kinds = [kind for kind in wanted if found[kind] < wanted[kind]]
            if not open_kinds:
                return made
            open_kinds.sort(key=lambda kind: (kind not in REPEATED, found[kind] / wanted[kind]))
            for kind in open_kinds:
                case = _case(kind, cut, random)
                if case is not None:
                    made.append(case)
                    found[kind] += 1
                    break
    raise UsageError(f"Only {len(made)} of {count} cases.", "Name more or larger repositories.")


def _changes(folder: Path, random: Random) -> Iterator[Cut]:
    """One change of each file of each commit, in a random order."""
    commits = list(mine_fixes.commits(folder))
    random.shuffle(commits)
    for *_, files in commits:
        for status, old, new, path in files:
            if status != "M" or Path(path).suffix not in SUFFIXES:
                continue
            texts = mine_fixes.blob(folder, old), mine_fixes.blob(folder, new)
            if texts[0] is None or texts[1] is None or "\r" in texts[0] + texts[1]:
                continue
            if texts[0] != texts[1] and path.isprintable() and '"' not in path:
                able = harms.cuts(path, texts[0], texts[1])
                if able:
                    yield random.choice(able)


def _case(kind: str, cut: Cut, random: Random) -> Case | None:
    """A case of this kind from a change; None if it cannot be made of it."""
    if kind.startswith("repeated"):
        return _repeated(kind, cut, random)
    if harms.loosely(cut.before, cut.old) != 1:
        return None
    line = max(1, cut.start + 1 + random.randint(-200, 200))
    if kind in ("numbers", "crlf"):
        ended = cut if kind == "numbers" else replace(cut, old=_crlf(cut.old), true=_crlf(cut.true))
        return _written(kind, ended, list(cut.rows), (), line, random)
    if kind == "another line":
        rows = harms.other_change(list(cut.rows), random)
        if rows is None or harms.loosely(harms.side(rows, "-"), cut.old):
            return None
        return _written(kind, cut, rows, (), line, random, refused=True)
    if kind == "applied already":
        if harms.loosely(cut.before, cut.true):
            return None
        done = replace(cut, old=cut.true)
        return _written(kind, done, list(cut.rows), (), line, random, refused=True)
    names = (
        tuple(random.sample((*DRIFTS, "blanks", "stale"), 2)) if kind == "two harms" else (kind,)
    )
    if kind == "elided":
        cut = harms.widened(cut, WIDE)
    return _harmed(kind, cut, names, line, random)


def _harmed(
    kind: str, cut: Cut, names: tuple[str, ...], line: int, random: Random, refused: bool = False
) -> Case | None:
    rows: list[Row] = list(cut.rows)
    for name in names:
        harmed = harms.HARMS[name](rows, random)
        # What the old lines do not show, nobody can mend.
        if not harmed or harms.side(harmed, "-") == harms.side(rows, "-"):
            return None
        rows = harmed
    if harms.side(rows, "-") == harms.side(rows, "+"):
        return None
    before = harms.side(rows, "-")
    # Trailing spaces alone make no other place of it, but what is the same is not harmed.
    blur = str if names == ("trailing",) else str.rstrip
    if not any(map(str.strip, before)) or harms.standing(before, cut.old, blur):
        return None
    if kind == "elided" and _readings(rows, cut.old) != 1:
        return None
    if "stale" in names and harms.loosely(before, cut.old):
        return None
    return _written(kind, cut, rows, names, line, random, refused)


def _readings(rows: list[Row], old: str) -> int:
    """In how many ways lines with `...` can be read into a text."""
    before = harms.side(rows, "-")
    at = next(n for n, line in enumerate(before) if line.lstrip("/# \t") == "...")
    starts = harms.standing(before[:at], old, harms.no_space)
    ends = harms.standing(before[at + 1 :], old, harms.no_space)
    return sum(end >= start + at for start in starts for end in ends)


def _repeated(kind: str, cut: Cut, random: Random) -> Case | None:
    """A change with so little context that its text stands at several places."""
    for context in (3, 2, 1, 0):
        narrow = harms.widened(cut, context)
        before = narrow.before
        places = harms.standing(before, narrow.old)
        if any(line.strip() for line in before) and len(places) > 1:
            break
    else:
        return None
    if narrow.start not in places or _all_same(narrow, places):
        return None
    other = min((n for n in places if n != narrow.start), key=lambda n: abs(n - narrow.start))
    gap = abs(other - narrow.start)
    toward = 1 if other > narrow.start else -1
    if kind == "repeated, a line near":
        line = narrow.start + 1 + random.choice((-1, 1)) * random.randint(0, gap // 8)
        if line < 1 or harms.loosely(before, narrow.old) != len(places):
            return None
        return _written(kind, narrow, list(narrow.rows), (), line, random)
    line = 0
    if kind == "repeated, a line between" or (kind.endswith("drifted") and random.random() < 0.5):
        line = narrow.start + 1 + toward * (gap // 2 + random.randint(-(gap // 10), gap // 10))
        if line - 1 in places:
            return None
    if kind.endswith("drifted"):
        names = (random.choice(DRIFTS),)
        return _harmed(kind, narrow, names, line, random, refused=True)
    return _written(kind, narrow, list(narrow.rows), (), line, random, refused=True)


def _all_same(cut: Cut, places: list[int]) -> bool:
    """Whether the change gives the same text at all its places: then there is nothing to choose."""
    file = cut.old.split("\n")
    after = harms.side(cut.rows, "+")
    made = {"\n".join([*file[:n], *after, *file[n + len(cut.before) :]]) for n in places}
    return len(made) == 1


def _written(
    kind: str,
    cut: Cut,
    rows: list[Row],
    names: tuple[str, ...],
    line: int,
    random: Random,
    refused: bool = False,
) -> Case | None:
    """The case with its answer, in a form that can say what the case is about."""
    if not harms.side(rows, "-"):
        return None
    is_about_line = kind.startswith("repeated")
    form = random.choice(("diff", "call") if is_about_line and line else harms.FORMS)
    if form == "block" and any(text.rstrip() == harms.DIVIDER for _, text in rows):
        form = "call"
    if form == "call" and not is_about_line and random.random() < 0.5:
        line = 0
    answer = harms.written(form, cut.path, rows, line, random)
    return Case(kind, form, cut.path, cut.old, None if refused else cut.true, names, answer)


def _crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("repositories", nargs="+", type=Path, metavar="REPO")
    parser.add_argument("--cases", type=int, default=0, help="1,000, or with --quick 200")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--wrong", action="store_true", help="show each decision that is not right")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"hunks: {error}")


def run(arguments: argparse.Namespace) -> None:
    count = arguments.cases or (200 if arguments.quick else 1000)
    decided = [decide(case) for case in cases(arguments.repositories, count, arguments.seed)]
    if arguments.wrong:
        for one in decided:
            if one.verdict != "right":
                print(f"--- {one.verdict}: {one.case.kind}\n{one.case.answer}\n{one.said[:400]}\n")
    tally = Counter((one.case.kind, one.verdict) for one in decided)
    rows, figures = [], {}
    for kind in (*APPLIED, *REFUSED):
        right, refused, wrong = (tally[kind, verdict] for verdict in ("right", "refused", "wrong"))
        should = "refuse" if kind in REFUSED else "apply"
        rows.append([kind, should, right + refused + wrong, right, refused, wrong])
        figures[kind] = {"right": right, "refused": refused, "wrong": wrong}
    parts = {
        "all": decided,
        "of it to apply": [one for one in decided if one.case.true is not None],
        "of it to refuse": [one for one in decided if one.case.true is None],
    }
    for name, part in parts.items():
        counted = Counter(one.verdict for one in part)
        rows.append([name, "", len(part), *(counted[v] for v in ("right", "refused", "wrong"))])
        figures[name] = dict(counted)
    share = sum(one.verdict == "right" for one in decided) / len(decided)
    wrong = sum(one.verdict == "wrong" for one in decided)
    common.report(
        f"Edits that are slightly wrong; {wrong} wrong applications",
        ("", "should", "cases", "right", "not applied", "applied wrongly"),
        rows,
        ("hunks_decided_rightly", f"{share:.3f}"),
        {"share": share, "wrong": wrong, "kinds": figures},
        arguments.json,
    )


if __name__ == "__main__":
    main()
