"""Real bug fixes from the history of cloned repositories, for `benchmarks.repair_space`.

A case is a commit whose message speaks of a fix, that changed one Python file outside of the
tests, in one place of a few lines, and some test with it. Half of them, by a hash, are to fit and
to look at; the other half is to judge. Only git's objects are read: nothing of a repository runs.
Cases hold other people's code, so --out must not be in this repository.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import common
from tandem.errors import TandemError, UsageError

MOST_LINES = 10  # of the place, before and after
LARGEST = 400_000  # bytes of a file
HALVES = ("first", "second")
_GIT = (
    *("git", "--no-pager", "-c", "core.fsmonitor=", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", f"core.attributesFile={os.devnull}", "-c", "log.showSignature=false"),
    *("-c", "core.quotePath=false"),
)
_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
_LOG = (
    *("log", "--no-merges", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff"),
    *("--no-textconv", "--no-mailmap", "--format=%x00%H %P%x01%ct%x01%B%x02", "HEAD"),
)
_FIX = re.compile(
    r"(?i)\b(fix|bug|crash|regress|error|exception|wrong|incorrect|broke|fail|invalid|leak)"
)
_TEST = re.compile(r"(^|/)(tests?|testing|conftest\.py$|test_[^/]*$|[^/]*_tests?\.py$)")
_NOT_SOURCE = re.compile(r"(^|/)(docs?|examples?|setup\.py$|noxfile\.py$|tasks?/|_vendor|vendor)")


@dataclass(frozen=True)
class Case:
    """`first` and `last`: the lines of `before`, from 0, that the fix changed, as a range."""

    repository: str
    commit: str
    parent: str
    time: int
    path: str
    tests: tuple[str, ...]
    first: int
    last: int
    before: str
    after: str

    def half(self, seed: str = "") -> str:
        """Which half it falls into; another seed makes other halves."""
        name = " ".join([*([seed] if seed else []), self.repository, self.commit])
        return HALVES[hashlib.sha256(name.encode()).digest()[0] & 1]

    @property
    def suites(self) -> tuple[str, ...]:
        """Its test files that a test runner takes; the others are data."""
        return tuple(path for path in self.tests if path.endswith(".py"))


def cases(
    folder: Path, skips: Counter[str], tested: bool = True, most: int = MOST_LINES
) -> Iterator[Case]:
    """The cases of one repository, the newest first. Raises UsageError for a folder that is none.

    `tested` False takes commits without a test as well; `most` lines may change.
    """
    seen: set[tuple[str, ...]] = set()
    for commit, parent, time, message, files in commits(folder):
        picked = _picked(files, tested)
        if picked is None or not parent or " " in parent:
            continue
        if not _FIX.search(message):
            skips["message speaks of no fix"] += 1
            continue
        path, old, new = picked
        before, after = blob(folder, old), blob(folder, new)
        if before is None or after is None:
            skips["unreadable"] += 1
            continue
        place = changed(before, after)
        if place is None or max(place[1:]) - place[0] > most:
            skips["not one small place"] += 1
        elif not _code_differs(before, after):
            skips["no code of this Python changed"] += 1
        else:
            first, last, end = place
            lines = (path, *before.split("\n")[first:last], "", *after.split("\n")[first:end])
            if lines in seen:
                skips["seen before"] += 1
                continue
            seen.add(lines)
            tests = tuple(name for _, _, _, name in files if _TEST.search(name))
            name = folder.resolve().name
            yield Case(name, commit, parent, time, path, tests, first, last, before, after)


def changed(before: str, after: str) -> tuple[int, int, int] | None:
    """Lines first to last of `before` that became first to end of `after`; None if too many."""
    old, new = before.split("\n"), after.split("\n")
    least = min(len(old), len(new))
    first = next((i for i in range(least) if old[i] != new[i]), least)
    tails = range(least - first)
    tail = next((i for i in tails if old[-1 - i] != new[-1 - i]), least - first)
    last, end = len(old) - tail, len(new) - tail
    return (first, last, end) if max(last, end) - first <= MOST_LINES else None


def read(folder: Path) -> list[Case]:
    """Cases that `main` wrote, by name. Raises UsageError if there are none."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            row = json.loads(file.read_text("utf-8"))
            found.append(Case(**{**row, "tests": tuple(row["tests"])}))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{file} is no case: {error}.", "Mine them again.") from error
    if not found:
        raise UsageError(f"{folder} has no cases.", "Run python -m benchmarks.mine_fixes first.")
    return found


def commits(
    folder: Path,
) -> Iterator[tuple[str, str, int, str, list[tuple[str, str, str, str]]]]:
    """Commit, parents, time, message, and of each file its status, blobs and path."""
    listed = _git(folder, *_LOG)
    for record in listed.decode("utf-8", "replace").split("\0")[1:]:
        head, _, raw = record.partition("\x02")
        hashes, time, message = head.split("\x01", 2)
        commit, _, parents = hashes.partition(" ")
        files = []
        for line in raw.splitlines():
            if line.startswith(":"):
                facts, _, path = line.partition("\t")
                _, _, old, new, status = facts.split(" ")
                files.append((status, old, new, path))
        yield commit, parents, int(time), message, files


def _picked(
    files: Sequence[tuple[str, str, str, str]], tested: bool
) -> tuple[str, str, str] | None:
    """The one source file that changed, and its blobs."""
    code = [one for one in files if one[3].endswith(".py")]
    sources = [one for one in code if not _TEST.search(one[3])]
    tests = [one for one in code if _TEST.search(one[3]) and one[0] in "AM"]
    if len(sources) != 1 or (tested and not tests):
        return None
    status, old, new, path = sources[0]
    return (path, old, new) if status == "M" and not _NOT_SOURCE.search(path) else None


def blob(folder: Path, name: str) -> str | None:
    """A file's text with "\\n" at its line ends; None if it is too large or no UTF-8."""
    data = _git(folder, "cat-file", "blob", name)
    try:
        return None if len(data) > LARGEST else data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _code_differs(before: str, after: str) -> bool:
    """Both parse, and differ in more than comments, layout and docstrings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trees = ast.parse(before), ast.parse(after)
    except (SyntaxError, ValueError):
        return False
    for tree in trees:
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [one for one in body if not _is_text(one)]  # type: ignore[attr-defined]
    return ast.dump(trees[0]) != ast.dump(trees[1])


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        ran = subprocess.run(
            [*_GIT, "-C", str(folder), *arguments],
            env={**_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)},
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"git cannot read {folder}.", "Name a repository's top folder.") from error
    return ran.stdout


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("repositories", nargs="+", type=Path, metavar="REPO")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--untested", action="store_true", help="also commits without a test")
    parser.add_argument("--seed", default="", help="of the halves")
    parser.add_argument("--lines", type=int, default=MOST_LINES, help="that a fix changes at most")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except TandemError as error:
        sys.exit(f"mine_fixes: {error}")


def run(arguments: argparse.Namespace) -> None:
    out = arguments.out.resolve()
    if out.is_relative_to(common.REPOSITORY):
        raise UsageError("--out is in this repository.", "Other people's code stays outside.")
    skips: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = {}
    for repository in arguments.repositories[: 1 if arguments.quick else None]:
        counted = counts.setdefault(repository.resolve().name, Counter())
        for case in cases(repository, skips, tested=not arguments.untested, most=arguments.lines):
            half = case.half(arguments.seed)
            folder = out / half
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{case.repository}-{case.commit[:12]}.json"
            file.write_text(json.dumps(asdict(case), indent=1) + "\n", "utf-8")
            counted[half] += 1
    rows = [[name, *(counted[half] for half in HALVES)] for name, counted in counts.items()]
    total = sum(sum(counted.values()) for counted in counts.values())
    figures = {"cases": {n: dict(c) for n, c in counts.items()}, "left out": dict(skips)}
    headline = ("mined_fixes", str(total))
    common.report("Bug fixes", ("", *HALVES), rows, headline, figures, arguments.json)


if __name__ == "__main__":
    main()
