"""Which mined fixes can be seen at work here: a test fails without the fix and passes with it.

    python -m benchmarks.reproduce CASES --clones FOLDER --out FOLDER [--each N] [--most N]

CASES are of `benchmarks.mine_fixes`, FOLDER holds the clones that they came from. The newest come
first, the repositories in turns, until each half has N. Each is laid out as the fix's commit has
it but for the file that it mended, and its own tests run in a sandbox, with that file as it was
before and after. `benchmarks.repair --cases` takes what is kept; tests that fail either way, such
as those that want the network, are named to be left out.
"""

import argparse
import functools
import json
import shlex
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.mine_fixes import HALVES, Case, read
from sandbox import daemon, image, suite, tester, worktree
from sandbox.container import Sandbox
from tandem.errors import TandemError, UsageError

TEST_S = 20.0  # a test may take
ALL_S = 150.0  # all tests of a case may take


def shown(case: Case, clones: Path) -> tuple[list[str], list[str]]:
    """The tests that the fix mends, and those that fail with it, too. Raises TandemError."""
    with tempfile.TemporaryDirectory(prefix="tandem-reproduce-") as folder:
        copy = laid_out(case, clones, Path(folder) / "copy")
        tar = worktree.tar_of(copy)
        tests = suite.parse(shlex.join(["pytest", *case.suites]))
        with Sandbox(image.image_for(copy.root, tar), tar) as sandbox:
            server = tester.in_sandbox(sandbox, tests, copy.root)
            try:
                before = server.run(test_s=TEST_S, all_s=ALL_S)
                bad = [result.id for result in before.results if result.bad]
                if not bad:
                    return [], []
                files = {case.path: case.after}
                after = server.run(bad, files, test_s=TEST_S, all_s=ALL_S)
            finally:
                server.close()
    ended = {result.id: result.bad for result in after.results}
    return [id for id in bad if not ended.get(id, True)], [id for id in bad if ended.get(id, True)]


@functools.cache
def newest(clone: Path) -> str:
    """The image of a repository's newest commit. All its cases run in this one, as making one
    for each takes longer than all else; what needs another is not seen at work, and left out."""
    with tempfile.TemporaryDirectory(prefix="tandem-newest-") as folder:
        copy = worktree.snapshot(clone, Path(folder) / "copy", "HEAD")
        return image.image_for(copy.root, worktree.tar_of(copy))


def laid_out(case: Case, clones: Path, into: Path) -> worktree.Snapshot:
    """The fix's commit with the file as it was before. Raises TandemError."""
    copy = worktree.snapshot(clones / case.repository, into, case.commit)
    (copy.root / case.path).write_text(case.before, "utf-8")
    image.lend(newest(clones / case.repository), copy.root)
    return copy


def in_turns(cases: Sequence[Case]) -> Iterator[Case]:
    """The newest first, one of each repository in turn."""
    by_repository: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: -case.time):
        by_repository[case.repository].append(case)
    rounds = zip_longest(*(by_repository[name] for name in sorted(by_repository)))
    return (case for case in chain.from_iterable(rounds) if case is not None)


def run(told: argparse.Namespace) -> None:
    out = told.out.resolve()
    if out.is_relative_to(common.REPOSITORY):
        raise UsageError("--out is in this repository.", "Other people's code stays outside.")
    daemon.client()
    rows: list[list[Any]] = []
    figures: dict[str, Any] = {}
    each = 1 if told.quick else told.each
    for half in HALVES:
        counts: Counter[str] = Counter()
        names: Counter[str] = Counter()
        folder = told.cases / half
        for case in in_turns(read(folder) if any(folder.glob("*.json")) else []):
            if counts["shown"] >= each:
                break
            if case.repository in told.without or names[case.repository] >= told.most:
                continue
            name = f"{case.repository}-{case.commit[:12]}"
            print(f"{half} {counts['shown']} of {each}: {name}", file=sys.stderr, flush=True)
            try:
                mended, others = shown(case, told.clones)
            except TandemError as error:
                counts["not laid out"] += 1
                print(f"  {error}", file=sys.stderr, flush=True)
                continue
            what = "shown" if mended else "fails with the fix" if others else "no test fails"
            counts[what] += 1
            if mended:
                names[case.repository] += 1
                (out / half).mkdir(parents=True, exist_ok=True)
                kept = {**asdict(case), "mended": mended, "others": others}
                text = json.dumps(kept, indent=1) + "\n"
                (out / half / f"{name}.json").write_text(text, "utf-8")
        what = ("shown", "fails with the fix", "no test fails", "not laid out")
        rows.append([half, *(counts[name] for name in what), len(names)])
        figures[half] = {**counts, "repositories": dict(names)}
    common.report(
        "Fixes seen at work",
        ["", "shown", "fails with the fix", "no test fails", "not laid out", "repositories"],
        rows,
        ("fixes_shown", str(sum(row[1] for row in rows))),
        figures,
        told.json,
    )


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("cases", type=Path, metavar="CASES")
    parser.add_argument("--clones", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--each", type=int, default=24, help="cases of each half")
    parser.add_argument("--most", type=int, default=6, help="of a repository in each half")
    parser.add_argument("--without", nargs="*", default=[], help="repositories to pass over")
    try:
        run(parser.parse_args())
    except TandemError as error:
        sys.exit(f"reproduce: {error}")


if __name__ == "__main__":
    main()
