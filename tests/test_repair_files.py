"""Candidates of several files: the first suspects first, pieces of the files near them, hints."""

from collections.abc import Mapping

import pytest

from sandbox import candidates
from sandbox.baseline import Baseline
from sandbox.localize import Suspect
from sandbox.repair import search
from sandbox.suite import TestResult
from sandbox.suspects import Found, ranked

SHOP = "def price(n):\n    found = n\n    cost = n\n    return found\n"
OTHER = "def weight(n):\n    return gram(n)\n\n\ndef gram(n):\n    return n\n"
FAILED = TestResult("tests/test_a.py::test_a", "failed", 0.1, message="", kind="AssertionError")


def found(suspects: list[Suspect], sources: Mapping[str, str], *failing: TestResult) -> Found:
    return Found(tuple(suspects), Baseline(failing=failing), sources)


def test_of_suspects_that_score_alike_the_first_is_changed_first() -> None:
    suspects = [Suspect("a.py", line, 0.5, ()) for line in (3, 2, 4)]
    for order in (suspects, suspects[::-1]):
        made = candidates.of_templates(found(order, {"a.py": SHOP}), {"a.py": SHOP})
        first = next(one for one in made if one.template == "statement.delete")
        assert first.places({"a.py": SHOP})[0].first == order[0].line


def test_files_are_parsed_once_for_all_suspicious_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = search.parse

    def counted(item: tuple[str, str]) -> object:
        parsed.append(item[0])
        return parse(item)

    monkeypatch.setattr(search, "parse", counted)
    sources = {f"shop/{name}.py": SHOP for name in "abcdef"} | {"shop/other.py": OTHER}
    suspects = [Suspect(f"shop/{name}.py", 2, 0.5, ()) for name in "abcdef"]
    list(candidates.of_templates(found(suspects, sources), sources))
    assert all(parsed.count(path) <= 2 for path in sources)  # as a suspect, and for its pieces
    assert parsed.count("shop/other.py") == 1


def test_pieces_are_taken_from_files_near_and_not_from_tests() -> None:
    sources = {
        "shop/a.py": SHOP,
        "shop/b.py": OTHER,
        "tests/test_a.py": "def f(n):\n    spoil(n)\n",
    }
    text = "from shop.b import gram\n\n\ndef price(n):\n    return n\n"
    suspects = [Suspect("shop/a.py", 5, 1.0, ())]
    told = found(suspects, {"shop/a.py": text})
    made = [
        one.applied(text) for one in candidates.of_templates(told, {**sources, "shop/a.py": text})
    ]
    assert any("return gram(n)" in one for one in made)
    assert not any("spoil" in one for one in made)


def test_the_text_that_was_due_is_tried_in_data_that_no_test_ran() -> None:
    data = 'A = 1\nNAMES = {\n    "a": "some old apples",\n}\n'
    message = "AssertionError: assert 'some old apples' == 'some apples'"
    failing = TestResult("tests/test_a.py::test_a", "failed", 0.1, message, "AssertionError")
    baseline = Baseline(failing=(failing,))
    suspects = ranked(baseline, {"a.py": data})
    assert [(one.path, one.line) for one in suspects] == [("a.py", 2)]
    made = candidates.of_templates(Found(suspects, baseline, {"a.py": data}), {"a.py": data})
    assert next(made).applied(data) == data.replace("some old", "some")
