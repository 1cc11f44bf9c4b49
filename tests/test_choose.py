"""Which plausible patch comes first: what the checks say, then behaviour, then size."""

import textwrap
from collections.abc import Mapping, Sequence

import pytest

from sandbox import choose
from sandbox.behaviour import Standing
from sandbox.choose import Check, Judged, change_size, order, spared
from sandbox.repair.change import Candidate
from sandbox.validate import Tried


def judged(
    number: int = 1,
    checks: Sequence[bool | None] = (True,),
    kept: float = 1.0,
    broken: int = 0,
    size: int = 1,
) -> Judged:
    tried = Tried(number, Candidate("a.py", 0, 1, "", "t", 0.5), "passed", 0.1)
    made = tuple(Check(f"check {n}", passed, "") for n, passed in enumerate(checks))
    return Judged(tried, made, Standing(kept, 1.0, broken, 10), size, 1)


@pytest.mark.parametrize(
    ("checks", "label"),
    [
        ((True, True, None), "verified"),
        ((True, False), "plausible"),
        ((None, None), "plausible"),
        ((), "plausible"),
    ],
)
def test_verified_is_what_some_check_held_and_none_failed(checks, label: str) -> None:
    assert judged(checks=checks).label == label


def test_verified_comes_before_all_else() -> None:
    good, bad = judged(9, (True,), kept=0.2, size=9), judged(1, (False,), kept=1.0)
    assert sorted([bad, good], key=order) == [good, bad]


def test_behaviour_comes_before_size_and_size_before_the_order_of_trying() -> None:
    best, small, first, last = (
        judged(4, kept=1.0, size=9),
        judged(3, kept=0.5, size=1),
        judged(1, kept=0.5, size=2),
        judged(2, kept=0.5, size=2),
    )
    assert sorted([last, first, small, best], key=order) == [best, small, first, last]


def test_hanging_on_inputs_that_worked_counts_against_a_patch() -> None:
    good, bad = judged(2, kept=0.9), judged(1, kept=0.9, broken=3)
    assert sorted([bad, good], key=order) == [good, bad]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 10])
def test_some_failing_tests_are_held_out_of_the_search(count: int) -> None:
    failing = [f"t{n}" for n in range(count)]
    seen, held = spared(failing)
    assert sorted((*seen, *held)) == sorted(failing)
    assert len(held) == (count // 3 if count >= choose.HELD_OUT_FROM else 0)
    assert seen or not failing


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [("x + 1", "x - 1", 2), ("x", "y", 2), ("1", "2", 2), ("x", "x + 1", 3), ("x", "x", 0)],
)
def test_size_is_what_differs_in_the_tree(old: str, new: str, size: int) -> None:
    source = f"def f(x, y):\n    return {old}\n"
    start = source.index("return ") + len("return ")
    candidate = Candidate("a.py", start, start + len(old), new, "t", 0.5)
    assert change_size({"a.py": source}, candidate) == size


class Tests:
    """Passes a test if the file holds what its name asks for: a unit's stand-in for a sandbox."""

    __test__ = False

    def __init__(self, blind: bool = False) -> None:
        self.blind = blind  # passes whatever the test says

    def run(self, ids: Sequence[str], files: Mapping[str, str | None], **_: object):
        from sandbox.suite import TestResult
        from sandbox.tester import Run

        space: dict = {}
        exec(files["a.py"] or "", space)
        test = files.get("test_a.py") or SOURCES["test_a.py"]
        results = []
        for one in ids:
            inner = dict(space)
            exec(test.replace("from a import f", ""), inner)
            try:
                inner[one.rsplit("::", 1)[1]]()
                passed = True
            except AssertionError:
                passed = self.blind
            results.append(TestResult(one, "passed" if passed else "failed", 0.0))
        return Run(tuple(results))

    def close(self) -> None: ...


SOURCES = {
    "a.py": "def f(x):\n    return x\n",
    "test_a.py": textwrap.dedent("""
        from a import f

        def test_two():
            assert f(1) == 2

        def test_three():
            assert f(2) == 3
    """),
}
TWO, THREE = "test_a.py::test_two", "test_a.py::test_three"


def checks_of(text: str, tests: Tests | None = None, held_out=(THREE,)) -> dict[str, bool | None]:
    start = SOURCES["a.py"].index("return x") + len("return ")
    tried = Tried(1, Candidate("a.py", start, start + 1, text, "t", 0.5), "passed", 0.1)
    judge = choose.Judge(
        tests or Tests(),  # pyright: ignore[reportArgumentType]
        None,  # pyright: ignore[reportArgumentType] - no function is called by this suite
        choose.Suite("unittest"),
        SOURCES,
        choose.Goal((TWO,), ()),
        held_out,
    )
    (found,) = judge.judge([tried])
    return {check.name: check.passed for check in found.checks}


def test_a_right_patch_passes_what_the_search_did_not_see() -> None:
    assert checks_of("x + 1") == {
        "held-out tests": True,
        "tests turned round": True,
        "made inputs": None,
    }


def test_a_patch_for_one_input_fails_the_tests_that_were_held_out() -> None:
    assert checks_of("2")["held-out tests"] is False


def test_with_no_test_to_spare_nothing_is_claimed() -> None:
    assert checks_of("2", held_out=())["held-out tests"] is None


def test_a_test_that_passes_either_way_speaks_for_nobody() -> None:
    assert checks_of("x + 1", Tests(blind=True))["tests turned round"] is False
