"""How many bugs `tandem fix` mends, the line not given.

    python -m benchmarks.repair QUIXBUGS [--only NAME...] [--seconds N] [--no-model] [--json FILE]
    python -m benchmarks.repair --cases FOLDER --clones FOLDER
    python -m benchmarks.repair QUIXBUGS --no-model --agent

QUIXBUGS is a clone of jkoppel/QuixBugs; each of its Python programs becomes a small repository with
its own tests. The cases are of `benchmarks.reproduce`: real fixes of the repositories in `--clones`,
each as the fix's commit has it, but for the file that it mended. Fixed means: the first patch passes
all tests, but those that fail with the true fix, too. Same: on inputs that no test has it does what
the reference does. All code runs in sandboxes. `--agent` puts an agent before the templates whose
scripted model changes the file to no avail, runs the tests, and gives up: no fix may be lost by it.
"""

import argparse
import contextlib
import json
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.mine_fixes import Case
from benchmarks.reproduce import laid_out
from sandbox import assistant, audit, behaviour, daemon, image, suite, worktree
from sandbox.agent.loop import PLAN
from sandbox.agent.reflect import QUESTION
from sandbox.agent.team import Team
from sandbox.assistant import Assistant
from sandbox.container import Sandbox
from sandbox.fix import Fix, order_of
from sandbox.fixrun import RunFolder
from sandbox.patch import apply, parse
from sandbox.report import Report
from tandem.config import Config
from tandem.sections import ChatConfig
from tests.scripted_chat import Body, Turn, calls, says, scripted

MADE = 400  # inputs on which a patch is held against the reference


@dataclass(frozen=True)
class Bug:
    """A repository with a bug in `path`; `reference` is that file's text as it was mended.

    `test` is the command whose failing tests are to pass; `repository` "" stands for a made one.
    """

    name: str
    folder: Path
    path: str
    reference: str
    test: str


@dataclass(frozen=True)
class Row:
    """What came out for one bug; `same` None where no input could be made."""

    name: str
    fixed: bool
    label: str
    template: str
    rank: int
    tried: int
    seconds: float
    same: bool | None
    inputs: int
    failing: int
    error: str = ""


def quixbugs(clone: Path, into: Path, only: list[str]) -> Iterator[Bug]:
    """Its programs that have a reference and tests, each laid out with what it needs."""
    programs = clone / "python_programs"
    if not programs.is_dir():
        sys.exit(f"repair: {clone} is no clone of QuixBugs: it has no python_programs.")
    for file in sorted(programs.glob("*.py")):
        name, tests = file.stem, clone / "python_testcases"
        reference = clone / "correct_python_programs" / file.name
        if not (tests / f"test_{name}.py").exists() or not reference.exists():
            continue
        if only and name not in only:
            continue
        folder = into / name
        for part in ("python_programs", "python_testcases", "json_testcases"):
            (folder / part).mkdir(parents=True)
        for source, part in (
            (file, "python_programs"),
            (programs / "node.py", "python_programs"),
            (tests / f"test_{name}.py", "python_testcases"),
            (tests / "load_testdata.py", "python_testcases"),
            (tests / "node.py", "python_testcases"),
            (clone / "json_testcases" / f"{name}.json", "json_testcases"),
            (clone / "conftest.py", "."),
        ):
            if source.exists():
                shutil.copy(source, folder / part)
        path = f"python_programs/{file.name}"
        yield Bug(name, folder, path, reference.read_text("utf-8"), "pytest python_testcases")


def mined(cases: Path, clones: Path, into: Path, only: list[str]) -> Iterator[Bug]:
    """The cases of `benchmarks.reproduce`, laid out one by one."""
    for file in sorted(cases.rglob("*.json")):
        name, told = file.stem, json.loads(file.read_text("utf-8"))
        if "mended" not in told:
            sys.exit(
                f"repair: {file} tells of no test that the fix mends: see benchmarks.reproduce"
            )
        if only and name not in only:
            continue
        others = told.pop("others")
        del told["mended"]
        case = Case(**{**told, "tests": tuple(told["tests"])})
        laid_out(case, clones, into / name)
        shutil.rmtree(into / name / ".git")  # its commit holds the fix
        left_out = [f"--deselect={test}" for test in others]
        command = shlex.join(["pytest", *case.suites, *left_out])
        yield Bug(name, into / name, case.path, case.after, command)


def to_no_avail(bug: Bug) -> Callable[[Body], Turn]:
    """What a model says that plans, edits, tests and gives up."""
    edit = {"path": bug.path, "after": "# Looked at.\n", "line": 1}
    acts = iter([calls(("edit", edit)), calls(("run_tests", {}))])
    gives_up = calls(("finish", {"solved": False, "summary": "I do not know."}))

    def said(body: Body) -> Turn:
        last = body["messages"][-1]["content"]
        if last == PLAN:
            return says("1. Look.\n2. Mend.")
        return says("next: nothing") if last == QUESTION else next(acts, gives_up)

    return said


@contextlib.contextmanager
def behind(bug: Bug, log: audit.Log, agent: bool) -> Iterator[Team | None]:
    """Whoever works before the templates, if an `agent` is to."""
    if not agent:
        yield None
        return
    with scripted(to_no_avail(bug)) as server:
        yield Team(Config(chat=ChatConfig(endpoint=server.url, model="scripted")), log)
        if len(server.bodies) < 4:
            raise AssertionError(f"the agent asked {len(server.bodies)} times only")


def repaired(bug: Bug, seconds: float, helper: Assistant | None, agent: bool = False) -> Row:
    began = time.monotonic()
    run = RunFolder.new(order_of(bug.folder, test=bug.test, seconds=seconds, agent=agent))
    try:
        with audit.start(run.id) as log, behind(bug, log, agent) as team:
            report = Fix(run, log, assistant=helper, team=team).run()
            log.seal()
    except Exception as error:
        return Row(bug.name, False, "", "", 0, 0, time.monotonic() - began, None, 0, 0, str(error))
    took = time.monotonic() - began
    tried = sum(report.tried.values())
    if not report.found:
        return Row(bug.name, False, report.ended, "", 0, tried, took, None, 0, len(report.failing))
    best = report.found[0]
    same, inputs = agrees(bug, report)
    return Row(
        bug.name,
        True,
        best.label,
        best.template,
        best.rank,
        tried,
        took,
        same,
        inputs,
        len(report.failing),
    )


def agrees(bug: Bug, report: Report) -> tuple[bool | None, int]:
    """Whether the first patch does as the reference on inputs like those of all tests."""
    best = report.found[0]
    if best.path != bug.path:
        return False, 0
    before = (bug.folder / bug.path).read_text("utf-8")
    patched = apply(parse(best.diff), {best.path: before}).files[best.path]
    function = behaviour.function_at(before, bug.path, best.line)
    if function is None:
        return None, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = worktree.snapshot(bug.folder, Path(folder) / "copy")
        tar = worktree.tar_of(copy)
        with Sandbox(image.image_for(copy.root, tar), tar) as sandbox:
            given = [*suite.parse(bug.test).args]
            found = behaviour.record(sandbox, function, given)
            if found is None:
                return None, 0
            ours, theirs = (
                behaviour.play(sandbox, found, {bug.path: (text or "").encode()}, MADE, seed=77)
                for text in (patched, bug.reference)
            )
    # Where the reference itself does not answer, nobody says what is right.
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if b.kind == "value"]
    return all(a.digest == b.digest for a, b in pairs), len(pairs)


def main() -> None:
    parser = common.parser(__doc__ or "")
    parser.add_argument("quixbugs", type=Path, nargs="?", help="a clone of jkoppel/QuixBugs")
    parser.add_argument("--cases", type=Path, help="a folder of benchmarks.reproduce")
    parser.add_argument("--clones", type=Path, help="where those repositories are")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seconds", type=float, default=120.0, help="for one search")
    parser.add_argument("--no-model", action="store_true", help="templates alone")
    parser.add_argument("--agent", action="store_true", help="behind an agent that gives up")
    told = parser.parse_args()
    if (told.quixbugs is None) == (told.cases is None):
        parser.error("name a clone of QuixBugs, or --cases FOLDER")
    if told.cases and not told.clones:
        parser.error("name the folder of the cases' repositories: --clones FOLDER")
    daemon.client()
    rows = []
    helper = None if told.no_model else assistant.load(Config().model)
    with tempfile.TemporaryDirectory(prefix="tandem-repair-") as folder:
        for number, bug in enumerate(_bugs(told, Path(folder)), 1):
            print(f"{number} {bug.name}", file=sys.stderr, flush=True)
            rows.append(repaired(bug, told.seconds, helper, told.agent))
            print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    report(rows, told)


def _bugs(told: argparse.Namespace, folder: Path) -> Iterator[Bug]:
    only = told.only or (["gcd", "flatten"] if told.quick and told.quixbugs else [])
    if told.quixbugs:
        yield from quixbugs(told.quixbugs, folder, only)
    else:
        found = mined(told.cases, told.clones, folder, only)
        yield from (bug for bug, _ in zip(found, range(2 if told.quick else 10_000), strict=False))


def report(rows: list[Row], told: argparse.Namespace) -> None:
    fixed = [row for row in rows if row.fixed]
    judged = [row for row in fixed if row.same is not None]
    same = sum(bool(row.same) for row in judged)
    table: list[list[Any]] = []
    for row in rows:
        alike = {True: f"yes, {row.inputs}", False: f"no, {row.inputs}", None: ""}[row.same]
        how = row.error[:40] or row.label
        table.append([row.name, how, row.template, row.rank or "", row.tried, row.seconds, alike])
    seconds = statistics.median(row.seconds for row in rows) if rows else 0.0
    figures = {
        "bugs": len(rows),
        "fixed": len(fixed),
        "verified": sum(row.label == "verified" for row in fixed),
        "judged": len(judged),
        "same": same,
        "median_s": seconds,
        "rows": [vars(row) for row in rows],
    }
    title = f"{len(fixed)} of {len(rows)} fixed; {same} of {len(judged)} as the reference"
    with contextlib.suppress(BrokenPipeError):
        common.report(
            f"{title}; median {seconds:.0f} s a bug",
            ["bug", "patch", "template", "rank", "tried", "s", "as the reference"],
            table,
            ("fixed", f"{len(fixed)}/{len(rows)}"),
            figures,
            told.json,
        )


if __name__ == "__main__":
    main()
