"""Suspicious lines from spectra, stack frames and values; all pure."""

import math
import textwrap

from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.localize import Suspect, localize
from sandbox.statements import statements
from sandbox.suite import Frame, TestResult

SOURCE = textwrap.dedent(
    '''\
    """A module."""
    import math


    def area(width, height):
        """The area."""
        if width < 0:
            return 0
        product = width + height
        return product


    def hang(n):
        total = 0
        while n > 0:
            total += n
        return total


    LIMITS = {
        "a": 1,
        "b": 2,
    }
    '''
)
PATH = "shapes.py"
TEST = "tests/test_shapes.py"
TESTS = "from shapes import area\n\n\ndef test_a():\n    assert area(2, 3) == 6\n"


def passed(id: str) -> TestResult:
    return TestResult(id, "passed", 0.1)


def failed(id: str, kind: str = "AssertionError", **more) -> TestResult:
    return TestResult(id, "failed", 0.1, "boom", kind, **more)


def ran(*lines: int, test: bool = False) -> dict[str, frozenset[int]]:
    return {TEST if test else PATH: frozenset(lines)}


def order(suspects: list[Suspect]) -> list[int]:
    return [suspect.line for suspect in suspects]


def test_no_failing_test_gives_no_suspects() -> None:
    assert localize([passed("a")], {"a": ran(7, 9)}, {PATH: SOURCE}) == []
    assert localize([], {}, {PATH: SOURCE}) == []


def test_lines_that_only_failing_tests_run_come_first() -> None:
    results = [failed("f"), passed("p1"), passed("p2")]
    covered = {"f": ran(5, 7, 9, 10), "p1": ran(5, 7, 8), "p2": ran(5, 7, 8)}
    suspects = localize(results, covered, {PATH: SOURCE})
    assert set(order(suspects)[:2]) == {9, 10}
    assert 8 not in order(suspects)
    assert "1 of 1 failing and 0 of 2 passing" in suspects[0].why[0]


def test_the_spectrum_is_ochiai() -> None:
    results = [failed("f1"), failed("f2"), passed("p1"), passed("p2"), passed("p3")]
    covered = {"f1": ran(10), "f2": ran(9), "p1": ran(10), "p2": ran(10), "p3": ran(7)}
    both = {s.line: s.score for s in localize(results, covered, {PATH: SOURCE})}
    alone = {s.line: s.score for s in localize(results[:2], covered, {PATH: SOURCE})}
    # With nothing but the spectrum, scores are in the ratio of Ochiai's coefficients.
    assert math.isclose(both[10] / alone[10], math.sqrt(1 / 3), rel_tol=0.01)


def test_a_crash_puts_the_line_that_raised_first_and_names_it() -> None:
    frames = (Frame(TEST, 5, "test_a"), Frame(PATH, 9, "area"))
    result = failed("f", "TypeError", frames=frames)
    covered = {"f": {**ran(5, 7, 9), **ran(5, test=True)}, "p": ran(5, 7, 9, 10)}
    suspects = localize([result, passed("p")], covered, {PATH: SOURCE, TEST: TESTS})
    assert order(suspects)[0] == 9
    assert "TypeError in area" in suspects[0].why
    assert all(suspect.path == PATH for suspect in suspects)


def test_the_caller_on_the_stack_counts_less_than_the_line_that_raised() -> None:
    text = "def f(x):\n    return g(x, 1)\n\n\ndef g(a, b):\n    return a / b\n"
    frames = (Frame("m.py", 2, "f"), Frame("m.py", 6, "g"))
    result = failed("t", "ZeroDivisionError", frames=frames)
    suspects = localize([result], {"t": {"m.py": frozenset({2, 6})}}, {"m.py": text})
    assert order(suspects) == [6, 2]


def test_a_loop_that_did_not_end_is_suspected_whole() -> None:
    frames = (Frame(TEST, 5, "test_a"), Frame(PATH, 16, "hang"))
    result = TestResult("f", "timeout", 1.0, "stopped", "Timeout", frames)
    covered = {"f": ran(5, 7, 14, 15, 16), "p": ran(13, 14, 15, 17)}
    suspects = localize([result, passed("p")], covered, {PATH: SOURCE})
    assert set(order(suspects)[:2]) == {15, 16}
    assert any("did not end" in reason for reason in suspects[0].why)


def test_a_wrong_value_points_at_its_return_and_at_what_flowed_into_it() -> None:
    returned = (Frame(PATH, 10, "area", {"return": "5"}),)
    result = failed("f", returned=returned, frames=(Frame(TEST, 5, "test_a"),))
    suspects = localize([result], {"f": ran(5, 7, 9, 10, 14)}, {PATH: SOURCE, TEST: TESTS})
    assert set(order(suspects)[:2]) == {9, 10}
    why = {suspect.line: suspect.why for suspect in suspects}
    assert "gave 5 to the test" in why[10]
    assert "sets product, used on line 10" in why[9]


def test_recursion_without_end_points_at_the_recursing_line() -> None:
    text = "def f(n):\n    if n == 0:\n        return 0\n    return f(n + 1)\n"
    frames = (Frame("m.py", 4, "f"), Frame("m.py", 2, "f"))
    result = failed("t", "RecursionError", frames=frames)
    covered = {"t": {"m.py": frozenset({1, 2, 4})}, "p": {"m.py": frozenset({1, 2, 3})}}
    suspects = localize([result, passed("p")], covered, {"m.py": text})
    assert order(suspects)[0] == 4


def test_one_failing_test_alone_ranks_what_it_ran_with_the_riskier_lines_first() -> None:
    suspects = localize([failed("f")], {"f": ran(5, 7, 9, 10)}, {PATH: SOURCE})
    assert set(order(suspects)) == {5, 7, 9, 10}
    assert order(suspects)[-1] == 5  # a `def` has little to be wrong
    assert suspects[0].why == ("run by the failing test",)


def test_without_coverage_the_stack_alone_gives_suspects() -> None:
    result = failed("f", "ImportError", frames=(Frame(PATH, 2, "<module>"),))
    suspects = localize([result], {}, {PATH: SOURCE})
    assert order(suspects) == [2]
    assert suspects[0].score > 0


def test_tests_are_suspected_only_if_nothing_else_ran() -> None:
    result = failed("f", frames=(Frame(TEST, 5, "test_a"),))
    (suspect,) = localize([result], {"f": ran(5, test=True)}, {TEST: TESTS})
    assert (suspect.path, suspect.line) == (TEST, 5)
    both = {"f": {**ran(9), **ran(5, test=True)}}
    assert order(localize([result], both, {PATH: SOURCE, TEST: TESTS})) == [9]


def test_a_statement_of_many_lines_is_one_suspect_at_its_start() -> None:
    assert order(localize([failed("f")], {"f": ran(20, 21, 22)}, {PATH: SOURCE})) == [20]


def test_files_that_do_not_parse_or_are_not_there_are_left_out() -> None:
    covered = {"f": {"gone.py": frozenset({1}), "bad.py": frozenset({1}), PATH: frozenset({9})}}
    suspects = localize([failed("f")], covered, {PATH: SOURCE, "bad.py": "def ("})
    assert [suspect.path for suspect in suspects] == [PATH]


lines = st.frozensets(st.integers(1, 30), max_size=15)
outcomes = st.sampled_from(["passed", "failed", "error", "timeout", "skipped"])


@example([("timeout", frozenset([1, 7]), 7, 0)])  # its own frame, and in the loop
@given(
    st.lists(st.tuples(outcomes, lines, st.integers(0, 30), st.integers(0, 30)), max_size=8),
)
def test_any_evidence_gives_ordered_scores_within_0_and_1(told: list) -> None:
    results, covered = [], {}
    for n, (outcome, ran_lines, at, gave) in enumerate(told):
        frames = (Frame(PATH, at, "f"),) if at else ()
        returned = (Frame(PATH, gave, "f"),) if gave else ()
        results.append(TestResult(str(n), outcome, 0.1, "", "E", frames, returned))
        covered[str(n)] = {PATH: ran_lines}
    suspects = localize(results, covered, {PATH: SOURCE})
    scores = [suspect.score for suspect in suspects]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len({suspect.line for suspect in suspects}) == len(suspects)
    assert all(suspect.why for suspect in suspects)
    assert suspects == localize(results, covered, {PATH: SOURCE})


def test_a_compound_statement_stands_for_its_header() -> None:
    known = statements("if (a and\n        b):\n    x = 1\nelse:\n    x = 2\n")
    assert {line: s.line for line, s in known.items()} == {1: 1, 2: 1, 3: 3, 5: 5}


def test_what_a_statement_reads_and_sets_is_known() -> None:
    known = statements("x[i] = y\nz.a += w\nq.append(r)\nfor k in ks:\n    pass\n")
    assert (known[1].reads, known[1].writes) == ({"x", "i", "y"}, {"x"})
    assert known[2].writes == {"z"}
    assert known[3].writes == {"q"}
    assert (known[4].reads, known[4].writes) == ({"ks"}, {"k"})


def test_loops_and_functions_around_a_statement_are_known() -> None:
    known = statements(SOURCE)
    assert [(known[n].loop, known[n].function) for n in (14, 15, 16, 17, 20)] == [
        (0, 13),
        (15, 13),
        (15, 13),
        (0, 13),
        (0, 0),
    ]


def test_what_decides_on_a_statement_is_the_innermost_header() -> None:
    known = statements("while a:\n    if b:\n        c()\n    def f():\n        d()\n")
    assert [known[n].under for n in (1, 2, 3, 4, 5)] == [0, 1, 2, 1, 0]


def test_a_condition_that_decided_on_a_wrong_value_is_suspected() -> None:
    text = (
        "def pick(xs, unused):\n    best = 0\n    other = unused + 1 * 2\n    for x in xs:\n"
        "        if x < best:\n            best = x\n    return best\n"
    )
    result = failed("t", returned=(Frame("m.py", 7, "pick", {"return": "0"}),))
    suspects = localize([result], {"t": {"m.py": frozenset(range(1, 8))}}, {"m.py": text})
    why = {suspect.line: suspect.why for suspect in suspects}
    assert order(suspects)[0] == 5
    assert "decides on line 6" in why[5]
    assert len(why[3]) == 1  # the value did not come through there


def test_statements_in_handlers_and_cases_are_found() -> None:
    text = "try:\n    a()\nexcept E as e:\n    b(e)\nfinally:\n    c()\nmatch x:\n    case 1:\n        d()\n"
    assert {2, 4, 6, 9} <= set(statements(text))


def test_what_does_not_parse_has_no_statements() -> None:
    assert statements("def f(:\n") == {}
    assert statements("\0") == {}
