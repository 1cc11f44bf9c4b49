"""How much sooner the right change is tried once a bug of its kind was fixed in the repository.

    python -m benchmarks.episodes [--quick] [--json FILE]

A small shop has three places for each of eight kinds of bug (`benchmarks.parts.alike`). The fix of
a kind's first place is remembered; its bug is then made at the two others, one at a time, and the
candidates are counted until the right one comes: without a memory, with that one, and with the
fixes of all other kinds, which shows what memories cost that do not help. A kind's bugs fail with
the same exception and message. All lines of the wrong function are suspects. Nothing runs: a
candidate is right if it gives the right syntax tree.
"""

import ast
import itertools
import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.parts.alike import HEAD, KINDS, Kind
from sandbox import episodes
from sandbox.episodes import Episode
from sandbox.repair import search

MOST = 5_000  # candidates
PATH = "shop.py"


@dataclass(frozen=True)
class Line:
    path: str
    line: int
    score: float


def shop(kind: Kind | None = None, place: int = 0) -> str:
    """The whole file, with the bug of a kind at one of its places."""
    texts = [HEAD]
    for one in KINDS:
        for number, (text, wrong, right) in enumerate(one.places):
            bad = one is kind and number == place
            texts.append(text.replace(right, wrong) if bad else text)
    return "\n\n".join(texts)


def suspects(kind: Kind, place: int) -> list[Line]:
    """The lines of the wrong function."""
    text, wrong, right = kind.places[place]
    bad = text.replace(right, wrong)
    first = shop(kind, place).split(bad)[0].count("\n") + 1
    return [Line(PATH, first + n, 0.8) for n in range(1, bad.count("\n"))]


def tried(kind: Kind, place: int, memories: Sequence[Episode], most: int = MOST) -> int:
    """Candidates until the right one, it among them; `most` if it did not come."""
    wrong, right = shop(kind, place), shop()
    wanted = ast.dump(ast.parse(right))
    made, priors = episodes.templates(memories, [kind.symptom])
    found = search.candidates(wrong, PATH, suspects(kind, place), priors=priors, more=made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, one in enumerate(itertools.islice(found, most), 1):
            if ast.dump(ast.parse(one.applied(wrong))) == wanted:
                return number
    return most


def remembered(folder: Path) -> dict[str, Episode]:
    """The fix of each kind's first place, by the kind's name."""
    right = {PATH: shop()}
    return {
        kind.name: episodes.remember(
            folder, kind.name, [kind.symptom], right, {PATH: shop(kind)}, "by hand"
        )
        for kind in KINDS
    }


def run(quick: bool) -> tuple[list[list[Any]], dict[str, Any]]:
    most = 1_000 if quick else MOST
    with tempfile.TemporaryDirectory(prefix="tandem-episodes-") as folder:
        os.environ["TANDEM_HOME"] = folder  # nothing goes into the user's own memory
        known = remembered(Path(folder))
    rows: list[list[Any]] = []
    for kind in KINDS:
        others = [one for name, one in known.items() if name != kind.name]
        for place in range(1, len(kind.places)):
            counts = [
                tried(kind, place, memories, most)
                for memories in ([], [known[kind.name]], list(known.values()), others)
            ]
            rows.append([kind.name, place + 1, *counts])
    columns = list(zip(*(row[2:] for row in rows), strict=True))
    names = ("none", "same", "all", "others")
    figures = {
        name: {
            "median": common.percentile(column, 0.5),
            "sum": sum(column),
            "not found": sum(count >= most for count in column),
        }
        for name, column in zip(names, columns, strict=True)
    }
    for what in ("median", "sum", "not found"):
        rows.append([what, "", *(figures[name][what] for name in names)])
    return rows, {"most": most, **figures}


def main() -> None:
    options = common.options(__doc__ or "")
    rows, figures = run(options.quick)
    common.report(
        f"Candidates until the right one ({figures['most']}: it did not come)",
        ["kind of bug", "place", "no memory", "of its kind", "of all kinds", "of other kinds"],
        rows,
        ("candidates_median", f"{figures['none']['median']} → {figures['all']['median']}"),
        figures,
        options.json,
    )


if __name__ == "__main__":
    main()
