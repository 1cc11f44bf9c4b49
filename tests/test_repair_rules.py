"""Changes as rules with names abstracted, and what those propose at other places."""

import ast
import textwrap
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.repair.difference import difference
from sandbox.repair.normal import Normal
from sandbox.repair.rules import HOLE, LONGEST, Rule, rules_of
from sandbox.repair.search import candidates
from sandbox.repair.source import Source
from sandbox.repair.templates.remembered import Remembered

PLACE = """\
import os

LIMIT = 10


class Rows:
    def rows(self, start, stop, items):
        for row in items:
            print(row)
        if items:
            print(self.low, start < stop, self.table[start])
        f = open(start)
        start.close()
        return [n for n in range(start, self.high)]
"""


@dataclass(frozen=True)
class Suspect:
    path: str
    line: int
    score: float = 1.0


def rule(before: str, after: str) -> Rule:
    """The largest one."""
    return rules_of(function(before), function(after))[0]


def function(body: str) -> str:
    return f"import os\n\n\ndef f(self, a, b, xs):\n{textwrap.indent(body, '    ')}\n"


def proposed(before: str, after: str, text: str = PLACE) -> list[str]:
    """The files that the rules of a change make of another one, the likeliest first."""
    template = Remembered(rules_of(function(before), function(after)))
    lines = range(1, text.count("\n") + 1)
    found = candidates(
        text, "a.py", [Suspect("a.py", n) for n in lines], priors={"memory": 9.0},
        more={"memory": template},
    )  # fmt: skip
    return [one.applied(text) for one in found if one.template == "memory"]


RULES = [
    ("return range(a, b)", "return range(a, b + 1)", "range(_0, _1)", "range(_0, _1 + 1)"),
    ("if a:\n    pass", "if a is not None:\n    pass", "_0", "_0 is not None"),
    ("return self.x[a]", "return self.x.get(a, 0)", "_0[_1]", "_0.get(_1, 0)"),
    ("if a < b:\n    pass", "if a <= b:\n    pass", "_0 < _1", "_0 <= _1"),
    ("return a.low", "return a.high", "_0.low", "_0.high"),
    ("return open(a)", "return open(a, 'rb')", "open(_0)", "open(_0, 'rb')"),
    ("return os.path(a)", "return os.path(a, b)", "os.path(_0)", "os.path(_0, _1)"),
    ("a += b", "a -= b", "_0 += _1", "_0 -= _1"),
    ("a.z()\nreturn a", "return a", "_0.z()", ""),
    ("return [x for x in a]", "return {x for x in a}", "[_0 for _0 in _1]", "{_0 for _0 in _1}"),
    ("return map(lambda k: k, a)", "return map(lambda k: -k, a)", "map(lambda k: k, _0)", ""),
]


def test_a_name_that_the_change_brings_stays() -> None:
    found = rule(
        "a[0] = self.get(b)", "found = self.get(b)\nif found is not None:\n    a[0] = found"
    )
    assert found.new == "found = _1.get(_2)\nif found is not None:\n    _0[0] = found"
    text = "def g(x, y, z):\n    x[0] = y.get(z)\n"
    first = proposed(
        "a[0] = self.get(b)", "found = self.get(b)\nif found is not None:\n    a[0] = found", text
    )[0]
    assert "    found = y.get(z)\n    if found is not None:\n        x[0] = found\n" in first


@pytest.mark.parametrize(("before", "after", "old", "new"), RULES)
def test_a_change_becomes_a_rule(before: str, after: str, old: str, new: str) -> None:
    found = rule(before, after)
    assert found.old == old
    if new:
        assert found.new == new


def test_the_largest_rule_comes_first_and_the_inner_ones_after() -> None:
    found = rules_of(function("return list(range(a, b))"), function("return list(range(a, b + 1))"))
    assert [one.old for one in found] == ["list(range(_0, _1))", "range(_0, _1)", "_0"]
    assert [one.place for one in found] == ["Return.value", "Call.args", "Call.args"]


def test_a_new_statement_is_put_next_to_what_it_stood_next_to() -> None:
    before = "b.x()\nfor x in xs:\n    x.y()"
    found = rules_of(
        function(before), function(f"b.x()\nif xs is None:\n    return []\n{before[6:]}")
    )
    assert [(one.kind, one.old) for one in found] == [
        ("before", "for _0 in _1: pass"),
        ("after", "_0.x()"),
    ]
    assert found[0].new == "if _1 is None:\n    return []"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return a", "return b"),  # any name for any other
        ("return a", "return a"),
        ("a = 1\nb = 2", "a = 2\nb = 3"),  # two places
        ("return a", "return ("),
        ("return _0", "return _0 + 1"),  # its own names look like holes
        ("return 1", f"return '{'x' * LONGEST}'"),
    ],
)
def test_what_is_no_rule(before: str, after: str) -> None:
    assert rules_of(function(before), function(after)) == ()


PROPOSED = [
    ("return range(a, b)", "return range(a, b + 1)", "range(start, self.high + 1)"),
    ("if a:\n    pass", "if a is not None:\n    pass", "if items is not None:"),
    ("return self.x[a]", "return self.x.get(a, 0)", "self.table.get(start, 0)"),
    ("if a < b:\n    pass", "if a <= b:\n    pass", "start <= stop"),
    ("return a.low", "return a.high", "print(self.high, start"),
    ("return open(a)", "return open(a, 'rb')", "f = open(start, 'rb')"),
    ("return os.path(a)", "return os.path(a, b)", ""),  # there is none
    ("a.close()\nreturn a", "return a", "f = open(start)\n        return"),
    ("return open(a)", "return os.fspath(a)", "f = os.fspath(start)"),
]


@pytest.mark.parametrize(("before", "after", "wanted"), PROPOSED)
def test_a_rule_is_tried_at_another_place(before: str, after: str, wanted: str) -> None:
    found = proposed(before, after)
    assert any(wanted in text for text in found) if wanted else found == []


def test_a_guard_takes_the_names_of_its_new_place() -> None:
    before = "for x in xs:\n    x.y()"
    found = proposed(before, f"if xs is None:\n    return []\n{before}")
    guard = "        if items is None:\n            return []\n        for row in items:"
    assert guard in found[0]


def test_what_takes_a_holes_place_keeps_its_meaning() -> None:
    text = "def g(a, b):\n    return abs(a if b else 1)\n"
    (found,) = proposed("return abs(a)", "return abs(a * 2)", text)[:1]
    assert "abs((a if b else 1) * 2)" in found


def test_names_that_the_new_place_does_not_know_are_not_used() -> None:
    before, after = (
        f"def helper():\n    pass\n\n\n{function(b)}" for b in ("return a", "return helper(a)")
    )
    template = Remembered(rules_of(before, after))
    found = candidates("def g(x):\n    return x\n", "a.py", [Suspect("a.py", 2)],
                       more={"memory": template})  # fmt: skip
    assert not [one for one in found if one.template == "memory"]


def test_every_proposal_is_python_and_no_hole_is_left() -> None:
    for before, after, *_ in RULES:
        for text in proposed(before, after):
            names = [n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)]
            assert not any(map(HOLE.fullmatch, names))


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "xs", "self.é", "1", "'s'", "None", "os"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "<", "or", "is", "**"]), inner).map(
            lambda t: f"({t[0]}) {t[1]} ({t[2]})"
        ),
        inner.map(lambda t: f"len({t})"),
        inner.map(lambda t: f"({t}).m(*xs, k={t})"),
        inner.map(lambda t: f"[x for x in ({t}) if x]"),
        inner.map(lambda t: f"(lambda k: {t})"),
        inner.map(lambda t: f"xs[{t}]"),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, EXPRESSIONS)
def test_a_rule_finds_its_own_change_again(one: str, other: str) -> None:
    """Where a change has rules the first of them makes that change of the old file."""
    before, after = function(f"return {one}"), function(f"return {other}")
    rules = rules_of(before, after)
    if not rules or set(HOLE.findall(rules[0].new)) - set(HOLE.findall(rules[0].old)):
        return  # the new names are then chosen from many
    old = Source(before)
    if difference(old, Source(after), Normal(old)) is None:
        return  # Python itself sees no change: `1` and `1 or 1`
    found = proposed(f"return {one}", f"return {other}", before)
    wanted = ast.dump(ast.parse(after))
    assert wanted in [ast.dump(ast.parse(text)) for text in found]
