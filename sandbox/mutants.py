"""Tests made to fail: a test that passes with a patch must fail once what it expects is wrong.

If it passes all the same, it does not see what the patch does, and its word counts for little.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

MOST = 3  # of one test

_OPPOSITE: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: ">=",
    ast.GtE: "<",
    ast.Gt: "<=",
    ast.LtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_METHODS = {
    "assertEqual": "assertNotEqual",
    "assertNotEqual": "assertEqual",
    "assertTrue": "assertFalse",
    "assertFalse": "assertTrue",
    "assertIs": "assertIsNot",
    "assertIsNot": "assertIs",
    "assertIsNone": "assertIsNotNone",
    "assertIsNotNone": "assertIsNone",
    "assertIn": "assertNotIn",
    "assertNotIn": "assertIn",
    "assertLess": "assertGreaterEqual",
    "assertGreaterEqual": "assertLess",
    "assertGreater": "assertLessEqual",
    "assertLessEqual": "assertGreater",
    "assertAlmostEqual": "assertNotAlmostEqual",
    "assertListEqual": "assertNotEqual",
    "assertDictEqual": "assertNotEqual",
    "assertTupleEqual": "assertNotEqual",
    "assertSetEqual": "assertNotEqual",
    "assertSequenceEqual": "assertNotEqual",
    "assertMultiLineEqual": "assertNotEqual",
}


@dataclass(frozen=True)
class Mutant:
    """A test file in which one expectation of a test is turned round, on a line (1-based)."""

    text: str
    line: int
    was: str
    now: str


def mutants(source: str, test: str, most: int = MOST) -> list[Mutant]:
    """Of the test whose function is named `test` (the last part of its id, without parameters).

    The last expectations first: they see the most of what the test does. None for a test without
    an `assert` or a unittest assertion, or a file that does not parse.
    """
    name = test.split("[", 1)[0].rsplit("::", 1)[-1].rsplit(".", 1)[-1]
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    found: list[Mutant] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            found += _of(source, node)
    found.sort(key=lambda one: -one.line)
    return found[:most]


def _of(source: str, function: ast.AST) -> Iterator[Mutant]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            yield _replaced(source, node.test, _negated(source, node.test))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            opposite = _METHODS.get(node.func.attr)
            if opposite:
                whole = _text(source, node.func)
                yield _replaced(
                    source, node.func, whole[: len(whole) - len(node.func.attr)] + opposite
                )


def _negated(source: str, node: ast.expr) -> str:
    """The opposite of an asserted expression."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = _text(source, node.left), _text(source, node.comparators[0])
        return f"({left}) {_OPPOSITE[type(node.ops[0])]} ({right})"
    return f"not ({_text(source, node)})"


def _text(source: str, node: ast.AST) -> str:
    text = ast.get_source_segment(source, node)
    assert text is not None
    return text


def _replaced(source: str, node: ast.expr, now: str) -> Mutant:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = source.splitlines(keepends=True)
    # Columns of `ast` count bytes.
    before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
    if node.lineno != node.end_lineno or "\n" in now:
        now = f"({now})"  # a break may stand only inside of brackets
    text = "".join([*lines[: node.lineno - 1], before, now, after, *lines[node.end_lineno :]])
    return Mutant(text, node.lineno, _text(source, node), now)
