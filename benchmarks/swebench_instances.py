"""Mined fixes as instances in SWE-bench's format, with the tests that each one mends and keeps.

    python -m benchmarks.swebench_instances CASES --clones FOLDER --out INSTANCES.jsonl [--most N]

CASES are what `benchmarks.reproduce` keeps, FOLDER holds the clones that they came from. The base
commit is the fix's parent; the commit's change to the tests is the test patch, and its change to
the mended file is the gold patch. The tests run in a sandbox with the gold patch and without it:
what fails without and passes with it is FAIL_TO_PASS, what passes both times is PASS_TO_PASS.
Instances hold other people's code, so --out must not be in this repository.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import common
from benchmarks.mine_fixes import Case
from sandbox import git
from sandbox.messages import Run
from sandbox.patch import Patch
from sandbox.swebench.evaluate import run_tests
from sandbox.swebench.instance import Instance, changed, clone_of
from tandem.errors import TandemError, UsageError


def cases(folder: Path) -> Iterator[Case]:
    """The cases of `benchmarks.reproduce`, without what it says of their tests."""
    for file in sorted(folder.rglob("*.json")):
        told = json.loads(file.read_text("utf-8"))
        told.pop("mended", None)
        told.pop("others", None)
        yield Case(**{**told, "tests": tuple(told["tests"])})


def instance(case: Case, clones: Path) -> Instance:
    """A case as an instance whose tests are known. Raises TandemError, where none is mended too."""
    clone = clone_of(case.repository, clones).resolve()
    old = {path: _text(clone, case.parent, path) for path in case.tests}
    new = {path: _text(clone, case.commit, path) for path in case.tests}
    there = {path: text for path, text in old.items() if text is not None}
    gold = {case.path: case.after}
    paths = [path for path, text in new.items() if path.endswith(".py") and text is not None]
    head = git.run(clone, "cat-file", "commit", case.commit).decode("utf-8", "replace")
    one = Instance(
        f"{case.repository}-{case.commit[:12]}",
        case.repository,
        case.parent,
        head.partition("\n\n")[2].strip(),
        Patch(new).diff(there),
        (),
        (),
        Patch(gold).diff({case.path: case.before}),
    )
    with tempfile.TemporaryDirectory(prefix="tandem-instances-") as folder:
        copy = one.laid_out(clones, Path(folder) / "repository")
        changed(one.patch, copy)  # or the file is not what it was mined as
        before, after = (_passing(run_tests(copy, paths, {**new, **fix})) for fix in ({}, gold))
    if not after - before:
        raise UsageError("no test fails without the fix and passes with it")
    return replace(
        one,
        fail_to_pass=tuple(sorted(after - before)),
        pass_to_pass=tuple(sorted(after & before)),
    )


def _passing(ran: Run) -> set[str]:
    return {result.id for result in ran.results if result.outcome == "passed"}


def _text(clone: Path, commit: str, path: str) -> str | None:
    """A file's text in a commit; None if it is not there. Raises UsageError if it is no text."""
    if not git.run(clone, "ls-tree", "--full-tree", commit, "--", path):
        return None
    try:
        return git.run(clone, "cat-file", "blob", f"{commit}:{path}").decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text") from error


def run(told: argparse.Namespace) -> None:
    out = told.out.resolve()
    if out.is_relative_to(common.REPOSITORY):
        raise UsageError("--out is in this repository.", "Other people's code stays outside.")
    most = min(told.most, 2) if told.quick else told.most
    counts: Counter[str] = Counter()
    with out.open("w", encoding="utf-8") as stream:
        for case in cases(told.cases):
            if counts["instances"] >= most:
                break
            name = f"{case.repository}-{case.commit[:12]}"
            try:
                stream.write(json.dumps(instance(case, told.clones).as_json()) + "\n")
                stream.flush()
                counts["instances"] += 1
                print(f"{name}: an instance", file=sys.stderr, flush=True)
            except TandemError as error:
                counts["passed over"] += 1
                print(f"{name}: {error}", file=sys.stderr, flush=True)
    common.report(
        "Fixes as instances",
        ["", "count"],
        [[name, counts[name]] for name in ("instances", "passed over")],
        ("instances", str(counts["instances"])),
        dict(counts),
        told.json,
    )


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("cases", type=Path, metavar="CASES")
    parser.add_argument("--clones", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--most", type=int, default=100, help="instances")
    try:
        run(parser.parse_args())
    except TandemError as error:
        sys.exit(f"swebench_instances: {error}")


if __name__ == "__main__":
    main()
