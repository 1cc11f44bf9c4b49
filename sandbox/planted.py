"""Tests of ours among the repository's: what a verdict that was forged would get wrong. Pure.

One must fail and one must pass, under names nobody can know. The tests in question run once more
under another name, and, with their assertions turned around, must fail.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sandbox.suite import Suite


@dataclass(frozen=True)
class Planted:
    """`files` go into the repository; the ids say how each of their tests must end.

    `twins` are the tests in question by the id of their copy, `turned` by that of the copy whose
    assertions are turned around.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    must_pass: tuple[str, ...] = ()
    must_fail: tuple[str, ...] = ()
    twins: Mapping[str, str] = field(default_factory=dict)
    turned: Mapping[str, str] = field(default_factory=dict)
    own: str = ""  # the file with the two tests that are all ours

    @property
    def ids(self) -> list[str]:
        return [*self.must_pass, *self.must_fail, *self.twins, *self.turned]


def plant(suite: Suite, targets: Sequence[str], tests: Mapping[str, str], salt: str) -> Planted:
    """What to plant beside the tests `targets`. `tests` are the texts of test files by path,
    `salt` is random. Nothing can be planted beside any command.
    """
    if suite.kind == "command" or not targets:
        return Planted()
    files = {_file(suite, target, tests) for target in targets}
    beside = min(path for path in files if path) if any(files) else ""
    if not beside:
        return Planted()
    path = _renamed(beside, salt + "a")
    if suite.kind == "unittest":
        module = _module(suite, targets, beside, path)
        names = [f"{module}.T{salt}.test_{end}{salt}" for end in ("good", "bad")]
        return Planted({path: _UNITTEST.format(salt=salt)}, (names[0],), (names[1],), own=path)
    names = [f"{path}::test_{end}{salt}" for end in ("good", "bad")]
    planted: dict[str, str] = {path: _PYTEST.format(salt=salt)}
    twins: dict[str, str] = {}
    turned: dict[str, str] = {}
    for n, original in enumerate(sorted(file for file in files if file)):
        mine = [target for target in targets if target.startswith(original + "::")]
        if not mine:
            continue
        twin, inverse = _renamed(original, f"{salt}b{n}"), _renamed(original, f"{salt}c{n}")
        planted[twin] = tests[original]
        twins |= {twin + target[len(original) :]: target for target in mine}
        changed = turn(tests[original], {function_of(target) for target in mine})
        if changed:
            planted[inverse] = changed[0]
            sure = [target for target in mine if function_of(target) in changed[1]]
            turned |= {inverse + target[len(original) :]: target for target in sure}
    return Planted(planted, (names[0],), (names[1],), twins, turned, path)


def turn(text: str, functions: set[str]) -> tuple[str, set[str]] | None:
    """The text with every assertion of these functions turned around, and those that had one that
    is sure to run: a statement of the function's own body, before which it cannot return.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    sure: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in functions:
            if any(isinstance(statement, ast.Assert) for statement in node.body):
                sure.add(node.name)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Assert):
                    inner.test = ast.UnaryOp(ast.Not(), inner.test)
    return (ast.unparse(ast.fix_missing_locations(tree)), sure) if sure else None


def function_of(id: str) -> str:
    return id.split("[")[0].rsplit("::", 1)[-1]


_PYTEST = """\
def test_good{salt}():
    assert [n * 7 for n in range(3)] == [0, 7, 14]


def test_bad{salt}():
    assert [n * 7 for n in range(3)] == [0, 7, 15]
"""
_UNITTEST = """\
import unittest


class T{salt}(unittest.TestCase):
    def test_good{salt}(self):
        self.assertEqual([n * 7 for n in range(3)], [0, 7, 14])

    def test_bad{salt}(self):
        self.assertEqual([n * 7 for n in range(3)], [0, 7, 15])
"""


def _renamed(path: str, salt: str) -> str:
    """A file of the same folder whose name is of the same form."""
    folder, slash, name = path.rpartition("/")
    ending = re.search(r"_tests?\.py$", name)
    return f"{folder}{slash}" + (f"t{salt}{ending[0]}" if ending else f"test_{salt}.py")


def _file(suite: Suite, target: str, tests: Mapping[str, str]) -> str:
    """The file that a test is in, "" if it is not among `tests`."""
    if suite.kind == "pytest":
        path = target.split("::")[0]
        return path if path in tests else ""
    names = target.split(".")
    for end in range(len(names) - 1, 0, -1):
        tail = "/".join(names[:end]) + ".py"
        # The longest: discovery may start below the repository's root.
        if found := sorted(path for path in tests if f"/{path}".endswith(f"/{tail}")):
            return found[0]
    return ""


def _module(suite: Suite, targets: Sequence[str], beside: str, path: str) -> str:
    """The planted file's module, named as that of the test file beside it is."""
    stem = beside.rsplit("/", 1)[-1].removesuffix(".py")
    for target in targets:
        names = target.split(".")
        if stem in names:
            package = names[: names.index(stem)]
            return ".".join([*package, path.rsplit("/", 1)[-1].removesuffix(".py")])
    return path.removesuffix(".py").replace("/", ".")
