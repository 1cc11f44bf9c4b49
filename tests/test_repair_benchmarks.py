"""Mining fixes from a history, and measuring whether they are among the candidates."""

import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import mine_fixes, repair_space
from tandem.errors import UsageError

ROOT = Path(__file__).parent.parent
BEFORE = "def first(xs, n):\n    if n < 0:\n        return None\n    return xs[n]\n"
FIXED = BEFORE.replace("n < 0", "n <= 0")


class History:
    """A repository that is made commit by commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        options = (
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "-c",
            "commit.gpgsign=false",
        )
        ran = subprocess.run(
            ["git", *options, *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return ran.stdout

    def commit(self, message: str, **files: str) -> None:
        for name, text in files.items():
            file = self.folder / (name.replace("__", "/") + ".py")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "-m", message)


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "project")
    made.commit("start", code=BEFORE, tests__test_code="pass\n", other="x = 1\n")
    made.commit("Fix the bound", code=FIXED, tests__test_code="assert 1\n")
    return made


def mined(history: History, **options) -> list[mine_fixes.Case]:
    return list(mine_fixes.cases(history.folder, Counter(), **options))


def test_a_fix_with_a_test_is_a_case(history: History) -> None:
    (case,) = mined(history)
    assert (case.path, case.before, case.after) == ("code.py", BEFORE, FIXED)
    assert case.tests == ("tests/test_code.py",)
    assert case.before.split("\n")[case.first : case.last] == ["    if n < 0:"]
    assert case.repository == "project"
    assert case.half() in mine_fixes.HALVES
    assert history.git("rev-parse", f"{case.commit}^").strip() == case.parent


@pytest.mark.parametrize(
    ("message", "files"),
    [
        ("Add a thing", {"code": BEFORE, "tests__test_code": "assert 2\n"}),
        ("Fix it", {"code": BEFORE}),
        ("Fix both", {"code": BEFORE, "other": "x = 2\n", "tests__test_code": "assert 2\n"}),
        ("Fix a comment", {"code": FIXED + "# why\n", "tests__test_code": "assert 2\n"}),
        ("Fix a docstring", {"code": '"""Text."""\n' + FIXED, "tests__test_code": "assert 2\n"}),
        ("Fix old code", {"code": "print 'a'\n", "tests__test_code": "assert 2\n"}),
        ("Fix a lot", {"code": "y = 1\n" * 30 + FIXED, "tests__test_code": "assert 2\n"}),
        ("Fix the test", {"tests__test_code": "assert 2\n"}),
        ("Fix the docs", {"docs__conf": "x = 1\n", "tests__test_code": "assert 2\n"}),
        ("Fix a new file", {"new": "x = 1\n", "tests__test_code": "assert 2\n"}),
    ],
)
def test_what_is_no_small_fix_of_code_is_none(
    history: History, message: str, files: dict[str, str]
) -> None:
    history.commit(message, **files)
    assert len(mined(history)) == 1


def test_a_fix_without_a_test_is_one_where_that_is_asked_for(history: History) -> None:
    history.commit("Fix it again", code=BEFORE)
    assert len(mined(history)) == 1
    assert len(mined(history, tested=False)) == 2


def test_the_same_fix_counts_once(history: History) -> None:
    history.commit("Revert a fix", code=BEFORE, tests__test_code="pass\n")
    history.commit("Fix the bound once more", code=FIXED, tests__test_code="assert 1\n")
    assert len(mined(history)) == 2


def test_another_seed_makes_other_halves(history: History) -> None:
    for number in range(12):
        fixed = BEFORE.replace("0", str(number + 7))
        history.commit(f"Fix {number}", code=fixed, tests__test_code=f"assert {number + 2}\n")
    halves = {seed: [case.half(seed) for case in mined(history)] for seed in ("", "a", "b")}
    assert all(set(one) == set(mine_fixes.HALVES) for one in halves.values())
    assert len({tuple(one) for one in halves.values()}) == 3


def test_a_fix_of_more_lines_than_asked_for_is_none(history: History) -> None:
    longer = FIXED + "x = 1\ny = 2\n"
    history.commit("Fix by two lines", code=longer, tests__test_code="assert 3\n")
    assert len(mined(history)) == 2
    assert len(mined(history, most=1)) == 1


def test_data_of_tests_is_not_given_to_the_runner(history: History) -> None:
    (case,) = mined(history)
    with_data = dataclasses.replace(case, tests=(*case.tests, "tests/data.sql"))
    assert with_data.suites == case.tests


def test_nothing_of_the_repository_runs(history: History, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    hook = history.folder / ".git/hooks/fsmonitor"
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    history.git("config", "core.fsmonitor", str(hook))
    history.git("config", "diff.external", str(hook))
    trace.unlink(missing_ok=True)
    assert mined(history)
    assert not trace.exists()


def test_a_folder_that_is_no_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git cannot read"):
        list(mine_fixes.cases(tmp_path, Counter()))


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("a\nb\nc\n", "a\nx\nc\n", (1, 2, 2)),
        ("a\nc\n", "a\nb\nc\n", (1, 1, 2)),
        ("a\nb\nc\n", "a\nc\n", (1, 2, 1)),
        ("a\na\n", "a\na\na\n", (2, 2, 3)),
        ("a\n" * 40, "b\n" * 40, None),
    ],
)
def test_the_changed_place_is_the_smallest(
    before: str, after: str, place: tuple[int, int, int] | None
) -> None:
    assert mine_fixes.changed(before, after) == place


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_mined_cases_are_measured(history: History, tmp_path: Path) -> None:
    """From the command line, the whole way."""
    out = tmp_path / "cases"
    ran = run("mine_fixes", str(history.folder), "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().endswith("headline: mined_fixes 1")
    (half,) = out.iterdir()
    figures = tmp_path / "figures.json"
    ran = run("repair_space", "--cases", str(half), "--list", "--json", str(figures))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().endswith("headline: repair_space_all 1.000")
    (case,) = json.loads(figures.read_text())["cases"]
    assert case["template"] == "operator.comparison"
    assert case["rank"] < case["tried"]
    ran = run("repair_space", "--cases", str(half), "--fit")
    assert ran.returncode == 0, ran.stderr
    assert '"operator.comparison": ' in ran.stdout


@pytest.mark.parametrize(
    "arguments", [(), ("--cases", "a", "--quixbugs", "b"), ("--cases", "/none")]
)
def test_bad_input_is_one_line(arguments: tuple[str, ...]) -> None:
    ran = run("repair_space", *arguments)
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1
    assert ran.stderr.startswith("repair_space: ")


def test_cases_are_not_written_into_this_repository(history: History) -> None:
    ran = run("mine_fixes", str(history.folder), "--out", str(ROOT / "cases"))
    assert ran.returncode == 1
    assert "stays outside" in ran.stderr
    assert not (ROOT / "cases").exists()


def test_a_damaged_case_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"repository": 1}')
    with pytest.raises(UsageError, match="is no case"):
        mine_fixes.read(tmp_path)


@pytest.fixture
def bugs(tmp_path: Path) -> Path:
    for folder, text in (
        ("python_programs", f'{BEFORE}\n\n"""\nA description.\n"""\n'),
        ("correct_python_programs", f'\n{FIXED}\n"""\ndef other():\n    pass\n"""\n'),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "first.py").write_text(text)
        (tmp_path / folder / "first_test.py").write_text(text)
    return tmp_path


def test_quixbugs_programs_are_compared_without_their_descriptions(bugs: Path) -> None:
    (case,) = repair_space.quixbugs(bugs)
    assert (case.name, case.before, case.after) == ("first", BEFORE, FIXED)


@pytest.mark.parametrize("whole", [False, True])
def test_the_fix_is_found_with_the_line_and_without(bugs: Path, whole: bool) -> None:
    (case,) = repair_space.quixbugs(bugs)
    found = repair_space.look(case, whole)
    assert found.rank is not None
    assert found.template == "operator.comparison"


def test_a_fix_that_no_template_makes_is_not_found() -> None:
    after = BEFORE.replace("return None", "raise Unheard(of, *xs, n=3)")
    place = mine_fixes.changed(BEFORE, after)
    assert place
    found = repair_space.look(repair_space.Case("a", BEFORE, after, *place[:2]), whole=False)
    assert found.rank is None
    assert found.tried > 100


def test_priors_are_fitted_to_what_was_right() -> None:
    cases = []
    for old, new in (("n < 0", "n <= 0"), ("xs[n]", "xs[n - 1]"), ("xs[n]", "xs[n + 1]")):
        after = BEFORE.replace(old, new)
        place = mine_fixes.changed(BEFORE, after)
        assert place
        cases.append(repair_space.Case(old, BEFORE, after, *place[:2]))
    told = repair_space.fitted(cases, jobs=1)
    assert all(0 < chance < 1 for chance, _, _ in told.values())
    assert told["number.offset"][0] > told["operator.sign"][0]
    right = sum(count for _, count, _ in told.values())
    assert right == pytest.approx(3)
