"""Changed functions are swapped in a process that has all tests loaded, and give what a start anew
gives; what lies outside of them, or ran while loading, is loaded anew."""

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.inside import swap
from sandbox.repair import search
from sandbox.suite import parse
from sandbox.tester import TestServer
from tests.local_tests import serve, write

LOADS = """\
import os
with open(os.environ["LOADS"], "a") as file:
    file.write("x")
"""
CODE = """\
import functools

RATE = 2


def kept(function):
    @functools.wraps(function)
    def inner(*given):
        return function(*given)

    return inner


def made_early(n):
    return [n] * 3


EARLY = made_early(RATE)


class Shelf:
    def __init__(self, places):
        self.places = list(places)

    @property
    def size(self):
        return len(self.places)

    @kept
    def sorted(self, less=0):
        def key(place):
            return -place - less

        return sorted(self.places, key=key)

    def grown(self):
        class Bigger(Shelf):
            def __init__(self, places):
                super().__init__([*places, 9])

        return Bigger(self.places)


def total(shelf):
    found = 0
    for place in shelf.places:
        found += place * RATE
    return found
"""
TESTS = """\
from shop.code import EARLY, Shelf, total


def test_total():
    assert total(Shelf([1, 2])) == 6


def test_sorted():
    assert Shelf([1, 3, 2]).sorted() == [3, 2, 1]


def test_size():
    assert Shelf([1, 3, 2]).grown().size == 4


def test_early():
    assert EARLY == [2, 2, 2]
"""
FILES = {"shop/__init__.py": LOADS, "shop/code.py": CODE, "tests/test_code.py": TESTS}
IDS = [f"tests/test_code.py::test_{name}" for name in ("total", "sorted", "size", "early")]


@dataclass
class Shop:
    server: TestServer
    loads: Path

    def ended(self, text: str, cold: bool = False) -> list[str]:
        run = self.server.run(IDS, {"shop/code.py": text}, cold=cold, test_s=1.0)
        return [one.outcome for one in run.results]

    def loaded(self, text: str) -> bool:
        """Whether the package was imported to run this; the first run makes the hot server."""
        self.ended(CODE + "# once\n")
        before = self.loads.stat().st_size
        self.ended(text)
        return self.loads.stat().st_size > before


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    loads = tmp_path / "loads"
    loads.touch()
    monkeypatch.setenv("LOADS", str(loads))
    server = serve(write(tmp_path / "repo", FILES), parse("pytest tests"))
    yield Shop(server, loads)
    server.close()


@pytest.mark.parametrize(
    ("old", "new", "ended"),
    [
        ("found += place", "found -= place", ["failed", "passed", "passed", "passed"]),
        ("-place - less", "place - less", ["passed", "failed", "passed", "passed"]),
        ("    found = 0\n", "    found = 0\n    found = 1\n", ["failed", *["passed"] * 3]),
        ("[*places, 9]", "[*places]", ["passed", "passed", "failed", "passed"]),
        ("len(self.places)", "len(self.places) + 1", ["passed", "passed", "failed", "passed"]),
        ("    return found\n", "    return found\n    # more\n", ["passed"] * 4),
    ],
)
def test_a_change_within_functions_loads_nothing(
    shop: Shop, old: str, new: str, ended: list[str]
) -> None:
    text = CODE.replace(old, new)
    assert text != CODE
    assert not shop.loaded(text) or "# more" in text
    assert shop.ended(text) == shop.ended(text, cold=True) == ended


@pytest.mark.parametrize(
    ("old", "new", "ended"),
    [
        ("RATE = 2", "RATE = 3", ["failed", "passed", "passed", "failed"]),
        ("[n] * 3", "[n] * 2", ["passed", "passed", "passed", "failed"]),
        ("    @property\n", "", ["passed", "passed", "failed", "passed"]),
        ("function(*given)", "function(*given)[1:]", ["passed", "failed", "passed", "passed"]),
        ("less=0", "less=1", ["passed"] * 4),
        ("    return inner\n", "    return function\n", ["passed"] * 4),
    ],
)
def test_what_loading_depends_on_gives_what_a_start_anew_gives(
    shop: Shop, old: str, new: str, ended: list[str]
) -> None:
    text = CODE.replace(old, new)
    assert text != CODE
    assert shop.ended(text) == shop.ended(text, cold=True) == ended


def test_a_function_that_ran_while_loading_is_loaded_anew(shop: Shop) -> None:
    assert shop.loaded(CODE.replace("[n] * 3", "[n] * 2"))


def test_all_kinds_of_candidates_end_as_in_a_start_anew(shop: Shop) -> None:
    suspects = [
        Line("shop/code.py", number)
        for number, text in enumerate(CODE.splitlines(), 1)
        if text.strip()
    ]
    made = search.candidates(CODE, "shop/code.py", suspects)
    for one in itertools.islice(made, 0, 3000, 50):
        text = one.applied(CODE)
        assert shop.ended(text) == shop.ended(text, cold=True), one


@dataclass(frozen=True)
class Line:
    path: str
    line: int
    score: float = 0.5


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ("a = 1\n\n\ndef f():\n    return 2\n", ["", "", "", "def f():", "    return 2"]),
        ("a = 2\n\n\ndef f():\n    return 1\n", ["a = 2", "", "", "def f():", "    return 1"]),
        ("a = 1\n\n\ndef f():\n    return 1\nb = 2\n", None),
    ],
)
def test_only_the_function_that_differs_is_compiled(new: str, told: list[str] | None) -> None:
    old = "a = 1\n\n\ndef f():\n    return 1\n"
    _, narrowed = swap.narrow(old, new, swap.units(ast.parse(old)))
    assert [line for line in narrowed.split("\n") if line] == [
        line for line in (new.split("\n") if told is None else told) if line
    ]
