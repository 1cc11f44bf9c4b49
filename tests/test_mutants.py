"""A test turned round fails where the test passed."""

import ast
import textwrap

import pytest

from sandbox.mutants import MOST, mutants

SOURCE = textwrap.dedent("""
    import unittest


    def helper():
        assert True


    def test_one():
        x = 1
        assert x == 1
        assert "é" + "a" in "éa", "a message"
        assert (
            x
            < 2
        )


    class TestTwo(unittest.TestCase):
        def test_two(self):
            self.assertEqual(1 + 1, 2)

        def test_nothing(self):
            pass


    def test_three():
        assert 1 <= 1 <= 2
        assert not None
""")


def passes(text: str, name: str) -> bool:
    """Of a file of ours."""
    space: dict = {}
    exec(compile(text, "made", "exec"), space)
    case = space["TestTwo"]
    try:
        getattr(case(name), name)() if hasattr(case, name) else space[name]()
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("name", ["test_one", "test_two", "test_three"])
def test_each_mutant_of_a_passing_test_fails(name: str) -> None:
    assert passes(SOURCE, name)
    found = mutants(SOURCE, f"tests/test_x.py::TestTwo::{name}[1-2]")
    assert found
    for one in found:
        assert not passes(one.text, name), one


def test_only_the_named_test_is_changed() -> None:
    for one in mutants(SOURCE, "test_two"):
        assert passes(one.text, "test_one")
        assert passes(one.text, "test_three")
        assert one.text.count("\n") == SOURCE.count("\n")


def test_the_last_expectations_come_first() -> None:
    lines = [one.line for one in mutants(SOURCE, "test_one")]
    assert lines == sorted(lines, reverse=True)
    assert len(lines) == 3 <= MOST


def test_a_mutant_tells_what_was_turned_round() -> None:
    (found,) = mutants(SOURCE, "tests.test_x.TestTwo.test_two")
    assert (found.was, found.now) == ("self.assertEqual", "self.assertNotEqual")


@pytest.mark.parametrize(
    ("source", "test"),
    [("def test_a(: pass", "test_a"), (SOURCE, "test_nothing"), (SOURCE, "test_unknown")],
)
def test_where_there_is_nothing_to_turn_round_there_is_no_mutant(source: str, test: str) -> None:
    assert mutants(source, test) == []


@pytest.mark.parametrize(
    "asserted",
    [
        "a == b",
        "a is not None",
        "a in (b, 1)",
        "a < b",
        "not a",
        "f(a,\n      b)",
        "[a,\n   b] == [1,\n 2]",
        "a == (yield)",
        "lambda: a",
        "a if b else c",
        "a == 1 if b else c",
        "a and b or c",
    ],
)
def test_any_assertion_makes_a_file_that_parses(asserted: str) -> None:
    source = f"def test_a(a, b, c, f):\n    assert {asserted}\n    return 1\n"
    ast.parse(source)
    (found,) = mutants(source, "test_a")
    tree = ast.parse(found.text)
    assert ast.dump(tree) != ast.dump(ast.parse(source))
    assert found.text.endswith("    return 1\n")
