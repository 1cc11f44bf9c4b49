"""What leaves a run: no patch that is refused, none that a judge found not to hold."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox import audit
from sandbox.behaviour import Standing
from sandbox.choose import Check, Judged
from sandbox.leaving import JUDGED, SHOWN, Leaving, may_change
from sandbox.localize import Suspect
from sandbox.repair.change import Candidate
from sandbox.validate import Tried
from sandbox.verdict import Check as VerdictCheck
from sandbox.verdict import Verdict

SOURCES = {"a.py": "x = 1\ny = 2\nz = 3\n", "conftest.py": "x = 1\n"}
RANKED = [Suspect("b.py", 1, 0.9, ()), Suspect("a.py", 2, 0.5, ())]


def judged(number: int, text: str = "", path: str = "a.py") -> Judged:
    start = SOURCES[path].index("1") if path != "a.py" else SOURCES[path].index("2")
    candidate = Candidate(path, start, start + 1, text or f"{number}{number}", "t", 0.5)
    tried = Tried(number, candidate, "passed", 0.1)
    return Judged(tried, (Check("c", True, ""),), Standing(1.0, 1.0, 0, 0), 1, 1)


class Judge:
    """Says what holds by the new text; keeps what it was asked."""

    def __init__(self, *bad: str) -> None:
        self.bad, self.asked = bad, list[str]()

    def __call__(self, files: Mapping[str, str | None]) -> Verdict:
        (text,) = files.values()
        assert text
        self.asked.append(text)
        held = not any(word in text for word in self.bad)
        return Verdict((VerdictCheck("the failing tests pass", held, "one fails"),), (), 0.1)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def leaving(notes: list[str], empty_home: Path):
    logs = []

    def make(judge: Judge) -> Leaving:
        logs.append(audit.start("20260101-000000-abcd"))
        return Leaving(SOURCES, RANKED, judge, logs[-1], notes.append)

    yield make
    for log in logs:
        log.close()


def test_what_holds_leaves_with_its_diff_rank_and_verdict(leaving, notes: list[str]) -> None:
    (found,) = leaving(Judge()).of([judged(7)])
    assert "-y = 2\n+y = 77\n" in found.diff
    assert (found.path, found.line, found.rank, found.number) == ("a.py", 2, 2, 7)
    assert found.verdict == "holds in a fresh container: 1 checks"
    assert notes == []


def test_what_does_not_hold_is_told_and_left_out(leaving, notes: list[str]) -> None:
    found = leaving(Judge("77")).of([judged(7), judged(8)])
    assert [one.number for one in found] == [8]
    assert notes == ["candidate 7 did not hold: the failing tests pass: one fails"]


def test_the_first_are_judged_and_the_others_are_told_as_not_judged(leaving) -> None:
    judge = Judge()
    found = leaving(judge).of([judged(n) for n in range(1, 9)])
    assert len(found) == SHOWN
    assert len(judge.asked) == JUDGED
    assert [bool(one.verdict) for one in found] == [n < JUDGED for n in range(SHOWN)]


def test_a_patch_of_a_start_up_file_is_refused_before_it_is_judged(leaving, notes) -> None:
    judge = Judge()
    assert leaving(judge).of([judged(1, path="conftest.py")]) == []
    assert judge.asked == []
    assert "candidate 1 is refused: conftest.py" in notes[0]


def test_a_line_that_was_not_suspicious_has_no_rank(leaving) -> None:
    made = Leaving(SOURCES, RANKED[:1], Judge(), leaving(Judge()).log, lambda line: None)
    assert made.of([judged(1)])[0].rank == 0


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("shop/till.py", True),
        ("src/a.py", True),
        ("tests/test_till.py", False),
        ("conftest.py", False),
        ("sitecustomize.py", False),
        ("setup.py", False),
        ("README.md", False),
        ("../out.py", False),
        (".git/hooks/x.py", False),
    ],
)
def test_which_files_a_fix_may_touch(path: str, may: bool) -> None:
    assert may_change(path) is may
