"""Hints of failing tests: what they are read from, and the candidates that come of them."""

from collections.abc import Sequence

import pytest

from sandbox.localize import Suspect
from sandbox.repair import search
from sandbox.repair.templates import wanted as by_hints
from sandbox.suite import Frame, TestResult
from sandbox.wanted import Wanted, places, wanted

TEST = """\
import pytest
from shop import NotSold, price


def test_price():
    with pytest.raises(NotSold, match="not sold: -1"):
        price(-1, "pear")


def test_other():
    assert price(1, "fig")
"""


def failed(message: str, kind: str = "AssertionError", frames: Sequence[Frame] = ()) -> TestResult:
    name = "tests/test_shop.py::test_price"
    return TestResult(name, "failed", 0.1, message=message, kind=kind, frames=tuple(frames))


def hints(result: TestResult) -> Wanted:
    return wanted([result], {"tests/test_shop.py": TEST})


def test_the_exception_and_the_message_that_the_test_expects() -> None:
    told = hints(failed("Failed: DID NOT RAISE <class 'shop.NotSold'>"))
    assert ("NotSold", "not sold: -1") in told.raised
    assert set(told.strings) == {"not sold: -1", "pear"}
    assert told.crashes == ()


@pytest.mark.parametrize(
    ("message", "edit"),
    [
        ("AssertionError: assert '3 old apples' == '3 apples'\n  ...", ("old", "")),
        ("AssertionError: assert 'an apple' == 'a apple'\n", ("an", "a")),
        ("AssertionError: assert {'a': ['x y']} == {'a': ['x z']}", ("y", "z")),
        ("AssertionError: 'x y' != 'x z'\n- x y\n+ x z\n", ("y", "z")),
        ("AssertionError: assert 'x'... == 'y'...\n\n  - the pear\n  + the fig\n", ("fig", "pear")),
        ("AssertionError: assert 'x;' == 'x !;'", ("x", "x !")),
    ],
)
def test_the_piece_of_text_that_came_and_what_was_due(message: str, edit: tuple[str, str]) -> None:
    assert edit in hints(failed(message)).edits


def test_an_exception_out_of_code_counts_and_one_of_the_test_does_not() -> None:
    code = Frame("shop.py", 3, "price", {})
    test = Frame("tests/test_shop.py", 7, "test_price", {})
    assert hints(failed("KeyError: 1", "KeyError", [test, code])).crashes == ("KeyError",)
    assert hints(failed("KeyError: 1", "KeyError", [test])).crashes == ()


def test_data_with_a_text_that_should_not_have_come_is_suspected() -> None:
    sources = {
        "shop.py": 'A = "one"\nNAMES = {\n    "a": "old apples",\n}\n',
        "tests/test_shop.py": TEST,
    }
    told = Wanted(edits=(("old apples", "apples"),))
    (found,) = places(told, [], sources)
    assert (found.path, found.line) == ("shop.py", 2)
    assert places(told, [Suspect("shop.py", 2, 0.5, ())], sources) == []


def made(source: str, line: int, told: Wanted) -> list[str]:
    more = by_hints.templates(told)
    suspects = [Suspect("shop.py", line, 1.0, ())]
    found = search.candidates(source, "shop.py", suspects, priors=by_hints.PRIORS, more=more)
    return [one.applied(source) for one in found if one.template in more]


CODE = """\
class NotSold(Exception): ...


def price(count, name):
    if name in ("fig", "plum"):
        return "a old price"
    return PRICES[name] * count
"""


@pytest.mark.parametrize(
    ("line", "told", "old", "new"),
    [
        (6, Wanted(edits=(("old ", ""),)), "a old price", "a price"),
        (5, Wanted(strings=("pear",)), '"plum")', '"plum", "pear")'),
        (
            7,
            Wanted(raised=(("shop.NotSold", "no"),)),
            "    return PRICES",
            '    if count < 0:\n        raise NotSold("no")\n    return PRICES',
        ),
        (
            7,
            Wanted(raised=(("NotSold", ""),), crashes=("KeyError",)),
            "    return PRICES[name] * count",
            "    try:\n        return PRICES[name] * count\n    except KeyError:\n        raise NotSold()",
        ),
        (
            7,
            Wanted(crashes=("KeyError",)),
            "    return PRICES[name] * count",
            "    try:\n        return PRICES[name] * count\n    except KeyError:\n        return 0",
        ),
    ],
)
def test_a_hint_makes_the_candidate(line: int, told: Wanted, old: str, new: str) -> None:
    assert CODE.replace(old, new) in made(CODE, line, told)


def test_an_exception_that_the_file_does_not_know_is_not_raised() -> None:
    assert made(CODE, 7, Wanted(raised=(("Unheard", ""),))) == []
