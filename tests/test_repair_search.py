"""Candidates of a file: in order, different, lazily made, and each of them Python."""

import ast
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sandbox.repair import catalogue
from sandbox.repair.change import Candidate, Change, Replace
from sandbox.repair.priors import PRIORS, prior
from sandbox.repair.search import candidates
from sandbox.repair.spot import Spot


@dataclass(frozen=True)
class Suspect:
    line: int
    score: float = 1.0
    path: str = "a.py"


def found(text: str, *suspects: Suspect, **options) -> list[Candidate]:
    return list(candidates(text, "a.py", suspects or (Suspect(1),), **options))


def dump(text: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(text, "a.py", "exec", dont_inherit=True)
        return ast.dump(ast.parse(text))


# Statements of programs, over names with characters of one to four bytes.
NAMES = st.sampled_from(["x", "ys", "é", "ƒ_n", "self", "𝒳"])
ATOMS = st.one_of(
    NAMES,
    st.sampled_from(["0", "1", "None", "True", "[]", "'é🎉'", "b'a'", "''", "{}", "f'{x!r} é'"]),
)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, inner)
    operators = st.sampled_from(
        ["+", "-", "*", "//", "%", "<", "<=", "==", "!=", "and", "or", "in", "is"]
    )
    return st.one_of(
        st.tuples(inner, operators, inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        st.tuples(inner, operators, inner).map(" ".join),
        pairs.map(lambda t: f"len({t[0]}, é={t[1]})"),
        pairs.map(lambda t: f"({t[0]})[{t[1]}]"),
        pairs.map(lambda t: f"({t[0]}).é({t[1]})"),
        pairs.map(lambda t: f"[x for x in {t[0]} if {t[1]}]"),
        pairs.map(lambda t: f"({t[0]} if {t[1]} else 1)"),
        inner.map(lambda t: f"not {t}"),
        inner.map(lambda t: f"({t})[1:{t}]"),
        inner.map(lambda t: f"f(  # é\n{t})"),
    )


EXPRESSIONS = st.recursive(ATOMS, _combined, max_leaves=5)
SIMPLE = st.one_of(
    st.tuples(NAMES, EXPRESSIONS).map(" = ".join),
    st.tuples(NAMES, EXPRESSIONS).map(" += ".join),
    EXPRESSIONS.map(lambda t: f"return {t}"),
    EXPRESSIONS.map(lambda t: f"f({t})  # é"),
    EXPRESSIONS.map(lambda t: f"raise ValueError({t})"),
    EXPRESSIONS.map(lambda t: f"assert {t}"),
    st.sampled_from(["break", "pass", "x: int = 1", "del x", "yield x", 'é = """a\n é"""']),
)
HEADS = st.one_of(
    EXPRESSIONS.map(lambda t: f"if {t}:"),
    EXPRESSIONS.map(lambda t: f"while {t}:"),
    st.tuples(NAMES, EXPRESSIONS).map(lambda t: f"for {t[0]} in {t[1]}:"),
    EXPRESSIONS.map(lambda t: f"with {t} as x:"),
    st.just("def é(self, x=[], *, ys=1):"),
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A function of two levels, which compiles."""
    indent = draw(st.sampled_from(["\t", "    ", " "]))
    lines = [
        "import os",
        "async def ƒ(self, x, ys=None):" if draw(st.booleans()) else "def ƒ(self, x, ys=None):",
    ]
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            lines.append(indent + draw(SIMPLE))
        else:
            lines.append(indent + draw(HEADS))
            lines += [2 * indent + draw(SIMPLE) for _ in range(draw(st.integers(1, 2)))]
    text = "\n".join(lines) + draw(st.sampled_from(["\n", ""]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(programs(), st.integers(0, 10_000))
def test_every_candidate_is_python_and_different(text: str, seed: int) -> None:
    try:
        original = dump(text)
    except SyntaxError:
        return
    lines = range(1, text.count("\n") + 2)
    every = found(text, *(Suspect(line, 1 / line) for line in lines))
    priors = [one.prior for one in every]
    assert priors == sorted(priors, reverse=True)
    assert all(0 < one.prior <= 1 for one in every)
    picked = every[seed % 7 :: max(1, len(every) // 60)]
    for one in picked:
        assert 0 <= one.start <= one.end <= len(text)
        assert text[one.start : one.end] != one.text
        assert dump(one.applied(text)) != original


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@example("async def f(x):\n    if x:\n        return x\n    return 1\n", 3)
@given(programs(), st.integers(1, 8))
def test_no_two_candidates_have_one_tree(text: str, line: int) -> None:
    try:
        dump(text)
    except SyntaxError:
        return
    every = found(text, Suspect(line), Suspect(line + 1))[:400]
    trees = [dump(one.applied(text)) for one in every]
    assert len(set(trees)) == len(trees)


PROGRAM = """import os


def first(items, limit):
    found = []
    for item in items:
        if item < limit:
            found.append(item)
    return items
"""


def test_the_same_question_has_the_same_answer() -> None:
    asked = (Suspect(7), Suspect(9, 0.5))
    assert found(PROGRAM, *asked) == found(PROGRAM, *asked)


def test_a_more_suspicious_line_comes_first() -> None:
    start = PROGRAM.index("    return items")

    def share(score: float) -> float:
        some = found(PROGRAM, Suspect(7, 0.5), Suspect(9, score))[:60]
        return sum(one.start >= start for one in some) / len(some)

    assert share(1.0) > share(0.5) > share(0.01)


def test_lines_of_other_files_and_lines_without_suspicion_are_passed_over() -> None:
    assert not found(PROGRAM, Suspect(7, path="b.py"), Suspect(9, 0.0))


def test_a_line_that_is_named_twice_counts_once() -> None:
    assert found(PROGRAM, Suspect(9), Suspect(9, 0.5)) == found(PROGRAM, Suspect(9))


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\0'\n", "print 'a'\n", "x = " + "(" * 500])
def test_a_file_that_is_no_python_has_none(text: str) -> None:
    assert not found(text)


@pytest.mark.parametrize("text", ["", "\n\n", "# only this\n", '"""Text."""'])
def test_an_empty_file_has_few(text: str) -> None:
    for one in found(text):
        dump(one.applied(text))


def test_given_priors_decide_the_order() -> None:
    every = found(PROGRAM, Suspect(7), priors={"operator.comparison": 1.0})
    assert every[0].template == "operator.comparison"
    assert every[0].applied(PROGRAM).count("item <= limit") == 1


def test_a_template_s_proposals_share_its_prior() -> None:
    every = found(PROGRAM, Suspect(7))
    for name in ("operator.comparison", "condition.negate"):
        own = sum(one.prior for one in every if one.template == name)
        assert 0 < own <= prior(name) * 1.0001


def test_candidates_are_made_as_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    whole = catalogue.TEMPLATES["operator.comparison"]

    def counted(spot: Spot) -> Iterator[Change]:
        asked.append(spot.line)
        yield from whole(spot)

    monkeypatch.setitem(catalogue.TEMPLATES, "operator.comparison", counted)
    suspects = [Suspect(line, 1 / line**3) for line in range(1, 10)]
    some = candidates(PROGRAM, "a.py", suspects, priors={"operator.comparison": 1e-9})
    list(itertools.islice(some, 5))
    assert not asked
    list(some)
    assert len(asked) == 7  # statements that are not the import or nested twice in one line


def test_one_more_template_is_asked_like_the_others() -> None:
    def model(spot: Spot) -> Iterator[Change]:
        one = spot.statement
        yield Replace(one.start, one.end, "return found", 2.0)
        yield Replace(one.start, one.end, "return (items)", 1.0)
        yield Replace(one.start, one.end, "return found +", 1.0)

    every = [one for one in found(PROGRAM, Suspect(9), model=model) if one.template == "model"]
    assert [one.text for one in every] in ([], ["return found"])
    first = found(PROGRAM, Suspect(9), model=model, priors={"model": 1.0})[0]
    assert (first.template, first.text) == ("model", "return found")


def test_a_warning_of_the_compiler_is_nobody_s_business() -> None:
    text = "x = 1\nif x == 1:\n    pass\n"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        every = found(text, Suspect(2))
    assert not told
    assert any(one.text == "is" for one in every)


def test_priors_are_chances_of_known_templates() -> None:
    assert set(PRIORS) <= set(catalogue.TEMPLATES) | {"model"}
    assert all(0 < value < 1 for value in PRIORS.values())


def test_thousands_a_file_come_without_parsing_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROGRAM + "\n\n" + "\n".join(f"CONSTANT_{n} = {n}" for n in range(2000)) + "\n"
    parsed: list[str] = []
    whole = ast.parse

    def counted(source: str, *arguments, **named):
        parsed.append(source)
        return whole(source, *arguments, **named)

    monkeypatch.setattr(ast, "parse", counted)
    assert len(found(text, *(Suspect(line) for line in range(5, 10)))) > 2000
    assert sum(one == text for one in parsed) == 1


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_stay_what_they_are(end: str) -> None:
    text = PROGRAM.replace("\n", end)
    for one in found(text, Suspect(7), Suspect(9)):
        result = one.applied(text)
        assert result.count("\n") == result.count(end)


def test_what_is_not_touched_keeps_its_formatting() -> None:
    text = "def f( a,b ):   # one\n\n    return g( a,  # two\n              b<a )\n"
    compared = [one for one in found(text, Suspect(3)) if one.template == "operator.comparison"]
    assert text.replace("b<a", "b<=a") in [one.applied(text) for one in compared]
