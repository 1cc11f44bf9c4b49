"""The search over candidates: cheapest tests first, in order, side by side, to be gone on with.

`Tests` here are a function of the file's text, so that each stage can be told exactly; a search
through real sandboxes is in test_fix.py.
"""

import threading
import time
from collections.abc import Mapping, Sequence

import pytest

from sandbox.repair.change import Candidate, Place
from sandbox.suite import TestResult
from sandbox.tester import Run
from sandbox.validate import Budget, Goal, Search, Tried

SOURCE = "a = 1\nb = 2\n\n\n\n\n\n\n\nc = 3\n"
COVERED = {"t_near": {"m.py": frozenset({2})}, "t_far": {"m.py": frozenset({10})}}
GOAL = Goal(("t_bad",), ("t_far", "t_near"), COVERED)


def change(number: int, to: str = "") -> Candidate:
    """Another value on the first line."""
    return Candidate("m.py", 4, 5, to or str(number), "test", 1 / number)


class Scripted:
    """Passes the tests whose names the first line's value spells, as in `bad near far`."""

    def __init__(self, wait: float = 0.0) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.wait = wait
        self.closed = False

    def run(
        self,
        ids: Sequence[str] | None = None,
        files: Mapping[str, str | None] | None = None,
        **_: object,
    ) -> Run:
        assert ids
        self.asked.append(tuple(ids))
        time.sleep(self.wait)
        text = (files or {})["m.py"] or ""
        passing = text.split("\n", 1)[0]
        if "die" in passing:
            return Run(why="died")
        how = "skipped" if "skip" in passing else "passed"
        results = [
            TestResult(one, how if one.removeprefix("t_") in passing else "failed", 0.0)
            for one in ids
        ]
        return Run(tuple(results))

    def close(self) -> None:
        self.closed = True


def search(
    those: Sequence[Candidate], /, known: Sequence[Tried] = (), **budget: float
) -> tuple[list[Tried], Scripted]:
    tests = Scripted()
    found = Search([tests], GOAL, {"m.py": SOURCE}, Budget(**budget)).run(  # pyright: ignore[reportArgumentType]
        those, known=known
    )
    return found, tests


@pytest.mark.parametrize(
    ("passing", "stage", "asked"),
    [
        ("0", "failing", [("t_bad",)]),
        ("'bad'", "covering", [("t_bad",), ("t_near",)]),
        ("'bad near'", "all", [("t_bad",), ("t_near",), ("t_far",)]),
        ("'bad near far'", "passed", [("t_bad",), ("t_near",), ("t_far",)]),
        ("'die'", "lost", [("t_bad",)]),
    ],
)
def test_tests_are_asked_in_stages_until_one_fails(
    passing: str, stage: str, asked: list[tuple[str, ...]]
) -> None:
    (found,), tests = search([change(1, passing)])
    assert found.stage == stage
    assert found.plausible is (stage == "passed")
    assert tests.asked == asked


def test_a_failing_test_that_is_skipped_is_not_mended() -> None:
    (found,), _ = search([change(1, "'bad near far skip'")])
    assert found.stage == "failing"


def test_the_test_that_failed_is_named() -> None:
    (found,), _ = search([change(1, "'bad'")])
    assert found.test == "t_near"


def test_the_search_ends_when_enough_were_found() -> None:
    found, _ = search([change(n, f"'bad near far {n}'") for n in range(1, 30)], wanted=3)
    assert [one.number for one in found] == [1, 2, 3]


def test_after_the_first_only_so_many_more_are_tried() -> None:
    candidates = [change(n) for n in range(1, 50)]
    candidates[4] = change(5, "'bad near far'")
    found, _ = search(candidates, after_first=10)
    assert len(found) == 15


def test_no_more_are_tried_than_allowed() -> None:
    found, _ = search([change(n) for n in range(1, 50)], candidates=7)
    assert [one.number for one in found] == [1, 2, 3, 4, 5, 6, 7]


def test_when_time_is_up_nothing_new_is_begun() -> None:
    assert search([change(1)], seconds=0)[0] == []


def test_what_is_known_is_not_tried_again() -> None:
    candidates = [change(n) for n in range(1, 9)]
    first, _ = search(candidates, candidates=3)
    rest, tests = search(candidates, known=first)
    assert [one.number for one in rest] == [4, 5, 6, 7, 8]
    assert len(tests.asked) == 5


def test_what_is_known_counts_for_the_budget() -> None:
    candidates = [change(n, f"'bad near far {n}'") for n in range(1, 9)]
    first, _ = search(candidates, wanted=2)
    assert [one.number for one in search(candidates, known=first, wanted=3)[0]] == [3]


def test_workers_share_the_candidates_and_each_is_tried_once() -> None:
    workers = [Scripted(0.002) for _ in range(3)]
    told: list[int] = []
    search = Search(workers, GOAL, {"m.py": SOURCE}, Budget())
    found = search.run([change(n) for n in range(1, 41)], lambda one: told.append(one.number))
    assert [one.number for one in found] == list(range(1, 41))
    assert sorted(told) == list(range(1, 41))
    assert all(worker.asked for worker in workers)


def test_a_stopped_search_tells_what_it_had() -> None:
    search = Search([Scripted(0.01)], GOAL, {"m.py": SOURCE}, Budget())
    threading.Timer(0.05, search.stop).start()
    found = search.run(change(n) for n in range(1, 10_000))
    assert 0 < len(found) < 9000


def test_an_error_of_one_worker_ends_the_search() -> None:
    class Broken(Scripted):
        def run(self, *_: object, **__: object) -> Run:
            raise OSError("gone")

    search = Search([Broken(), Scripted(0.001)], GOAL, {"m.py": SOURCE}, Budget())
    with pytest.raises(OSError, match="gone"):
        search.run(change(n) for n in range(1, 100_000))


def test_near_are_tests_that_ran_a_line_of_the_change_or_one_beside_it() -> None:
    assert GOAL.near(Place("m.py", 1, 1)) == ["t_near"]
    assert GOAL.near(Place("m.py", 8, 9)) == ["t_far"]
    assert GOAL.near(Place("m.py", 5, 7)) == ["t_far", "t_near"]
    assert GOAL.near(Place("other.py", 1, 10)) == []
