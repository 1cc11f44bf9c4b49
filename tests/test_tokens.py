"""Names, calls, brackets and what is open at the end of a stretch of code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.languages import ROWS
from completion.tokens import LONGEST_RECEIVER, Tokens, read


def tokens(code: str, language: str) -> Tokens:
    return read(code, 0, len(code), 0, language)


def spelled(found: Tokens) -> list[tuple[str, str, bool]]:
    return [(one.receiver, one.text, one.call) for one in found.names]


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "a.b(c) ", [("", "a", False), ("a", "b", True), ("", "c", False)]),
        ("python", "a(1)[2].b ", [("", "a", True), ("a(1)[2]", "b", False)]),
        ("python", "'x'.join(a) ", [("'x'", "join", True), ("", "a", False)]),
        ("python", "(a + b).c ", [("", "a", False), ("", "b", False), ("(a + b)", "c", False)]),
        ("python", "self.a ", [("self", "a", False)]),
        ("python", "def f(a): ", [("", "a", False)]),
        ("python", "a\n(b) ", [("", "a", False), ("", "b", False)]),
        ("typescript", "a?.b!.c ", [("", "a", False), ("a", "b", False), ("a?.b", "c", False)]),
        ("typescript", "a\n  .b() ", [("", "a", False), ("a", "b", True)]),
        ("typescript", "...a ", [("", "a", False)]),
        ("typescript", "f<A>(b) ", [("", "f", True), ("", "A", False), ("", "b", False)]),
        ("rust", "a::b::<C>(d) ", [("", "a", False), ("a", "b", True), ("", "C", False), ("", "d", False)]),
        ("rust", "f!(a) ", [("", "f", True), ("", "a", False)]),
        ("c", "int f(A *a) ", [("", "A", False), ("", "a", False)]),
        ("c", "A f(a->b) ", [("", "A", False), ("", "f", False), ("", "a", False), ("a", "b", False)]),
        ("php", "$a->b($c) ", [("", "$a", False), ("$a", "b", True), ("", "$c", False)]),
        ("php", "$this->a ", [("$this", "a", False)]),
        ("ruby", "@a&.b? ", [("", "@a", False), ("@a", "b?", False)]),
        ("lua", "a.b:c(d) ", [("", "a", False), ("a", "b", False), ("a.b", "c", True), ("", "d", False)]),
        ("javascript", "$x.#y ", [("", "$x", False), ("$x", "#y", False)]),
        ("go", "a.B{c: 1} ", [("", "a", False), ("a", "B", False), ("", "c", False)]),
    ],
)  # fmt: skip
def test_names(language: str, code: str, expected: list[tuple[str, str, bool]]) -> None:
    assert spelled(tokens(code, language)) == expected


@pytest.mark.parametrize(
    ("language", "code", "callee"),
    [
        ("python", "f(a, ", "f"),
        ("python", "f(g(a), ", "f"),
        ("python", "f(a)", None),
        ("python", "f([a, {b: ", "f"),
        ("python", "f((a, ", "f"),
        ("python", "def f(a, ", None),
        ("python", "if (a, ", None),
        ("python", "return (a, ", None),
        ("typescript", "f(() => { ", None),
        ("typescript", "new A(b, ", "A"),
        ("java", "void f(A a, ", None),
        ("java", "A f(A a, ", None),
        ("java", "return f(a, ", "f"),
        ("python", "f(a))) g(", "g"),
        ("python", "f(a] b, ", None),
    ],
)
def test_callee(language: str, code: str, callee: str | None) -> None:
    found = tokens(code, language).callee
    assert (found.text if found else None) == callee
    assert found is None or found.call


@pytest.mark.parametrize(
    ("language", "code", "inside", "quote"),
    [
        ("python", "x = 'a", "string", "'"),
        ("python", "x = 'a'", "code", ""),
        ("python", r"x = 'a\'", "string", "'"),
        ("python", "x = rb'a", "string", "'"),
        ("python", "'''a\nb", "string", "'''"),
        ("python", "'a\n", "code", ""),
        ("python", "x # a", "comment", ""),
        ("python", "x # a\n", "code", ""),
        ("c", "/* a\n b", "comment", ""),
        ("c", "/* a */", "code", ""),
        ("go", "`a\nb", "string", "`"),
        ("rust", "&'a str", "code", ""),
        ("lua", "--[[ a\n", "comment", ""),
    ],
)
def test_inside(language: str, code: str, inside: str, quote: str) -> None:
    found = tokens(code, language)
    assert found.inside == inside
    assert inside != "string" or found.quote == quote


def test_a_long_receiver_is_cut_to_its_end() -> None:
    found = tokens("a(" + "b, " * 200 + "c).d.", "python")
    assert len(found.receiver) <= LONGEST_RECEIVER
    assert found.receiver.endswith("c).d")


@given(
    st.sampled_from(sorted(ROWS)),
    st.text("ab \n\"'`#()[]{}:;,.<>=@$!?&-/*\\", max_size=120),
    st.text("ab \n\"'`#()[]{}", max_size=20),
)
def test_only_the_stretch_itself_is_read(language: str, code: str, more: str) -> None:
    alone = tokens(code, language)
    within = read(code + more, 0, len(code), 0, language)
    assert (within.names, within.receiver, within.word) == (alone.names, alone.receiver, alone.word)
    for one in alone.names:
        assert code.startswith(one.text, one.offset)
        assert one.row == code.count("\n", 0, one.offset)
