"""Where each piece of a file stands, whatever its characters, tabs and line ends are."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.repair.names import Names
from sandbox.repair.pieces import Pieces
from sandbox.repair.source import Source, Statement, indented, split_lines
from sandbox.repair.wording import Binding, enclosed, needed, operand, sign

ODD = "# é\nx = 'é🎉' + y\ndef ƒ(ä):\n\treturn ä['🎉'] + ä\n"


def node_of(source: Source, text: str) -> ast.expr:
    """The outermost expression with this text."""
    return next(
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.expr) and source.of(node) == text
    )


def only(statements: list[Statement]) -> Statement:
    assert len(statements) == 1
    return statements[0]


@pytest.mark.parametrize("text", ["'é🎉'", "y", "'é🎉' + y", "ä['🎉']", "ä['🎉'] + ä", "'🎉'"])
def test_spans_are_characters_not_bytes(text: str) -> None:
    assert node_of(Source(ODD), text)


@given(st.text(alphabet="aé🎉ß𝒳 ", max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_every_node_s_text_is_what_python_says(inside: str, end: str) -> None:
    text = f"x = '{inside}' + f('{inside}', y)[1]{end}\x0cz = 'a{inside}'{end}"
    source = Source(text)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.expr):
            assert source.of(node) == ast.get_source_segment(text, node)


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("if x: pass\n", "if x:"),
        ("if x[1:2]:\n    pass\n", "if x[1:2]:"),
        ("for a in {1: 2}:\n    pass\n", "for a in {1: 2}:"),
        ("while x:  # no: comment\n    pass\n", "while x:"),
        ("def f(a: int = 1, *, b=2) -> 'x:y':\n    pass\n", "def f(a: int = 1, *, b=2) -> 'x:y':"),
        ("def f(\n    a,  # one: two\n):\n    pass\n", "def f(\n    a,  # one: two\n):"),
        ("@a\n@b(1)\ndef f(): pass\n", "@a\n@b(1)\ndef f():"),
        ("class C(B, k=1):\n    pass\n", "class C(B, k=1):"),
        ("with a as b, c:\n    pass\n", "with a as b, c:"),
        ("try:\n    pass\nfinally:\n    pass\n", "try:"),
        ("match x:\n    case 1:\n        pass\n", "match x:"),
    ],
)
def test_a_compound_statement_s_head_ends_with_its_colon(text: str, head: str) -> None:
    one = Source(text).statements[0]
    assert text[one.start : one.head_end] == head


def test_a_line_belongs_to_the_statements_that_have_it_as_their_own() -> None:
    text = "def f(\n    x,\n):\n    # why\n\n    if x: return 1\n    g(\n        x,\n    )\n"
    source = Source(text)
    kinds = [[type(one.node).__name__ for one in source.at_line(line)] for line in range(1, 11)]
    function, call = ["FunctionDef"], ["Expr"]
    both = ["If", "Return"]
    assert kinds == [function, function, function, ["If"], ["If"], both, call, call, call, []]


def test_an_except_clause_is_found_by_its_line() -> None:
    source = Source("try:\n    f()\nexcept KeyError as e:\n    pass\nelse:\n    g()\n")
    clause = only(source.at_line(3))
    assert isinstance(clause.node, ast.ExceptHandler)
    assert source.text[clause.start : clause.head_end] == "except KeyError as e:"


def test_statements_know_what_they_stand_in() -> None:
    text = "class C:\n    async def f(self):\n        for x in self:\n            def g():\n                pass\n        else:\n            h()\n"
    source = Source(text)
    by_line = {line: only(source.at_line(line)) for line in (3, 5, 7)}
    assert [by_line[line].loop for line in (3, 5, 7)] == [False, False, False]
    function = by_line[7].function
    assert isinstance(function, ast.AsyncFunctionDef)
    assert by_line[5].function is not function
    assert only(source.at_line(4)).loop


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a()\nb()\n", True),
        ("a(); b()\n", False),
        ("if x: a()\n", False),
        ("if x:\n    a()  # yes\n", True),
        ("if x:\n    a();\n", False),
    ],
)
def test_a_block_is_clean_where_whole_lines_can_be_moved(text: str, clean: bool) -> None:
    source = Source(text)
    assert all(block.clean for block in source.blocks) == clean


def test_an_elif_is_no_block_of_its_own() -> None:
    source = Source("if a:\n    b()\nelif c:\n    d()\n")
    inner = source.inner(source.statements[0].node, "orelse")
    assert inner
    assert not inner.clean


def test_flat_text_keeps_the_insides_of_strings() -> None:
    text = 'def f():\n    if x:\n        g("""a\n  b\n        c""",\n          y)\n'
    source = Source(text)
    assert (
        source.flat(only(source.at_line(2)))
        == 'if x:\n    g("""a\n  b\n        c""",\n      y)\n'.rstrip()
    )


def test_to_indent_and_flatten_is_to_change_nothing() -> None:
    flat = 'if x:\n    g("""a\n  b""")\n\n    h()'
    moved = indented(flat, "\t")
    assert moved == 'if x:\n\t    g("""a\n  b""")\n\n\t    h()'
    source = Source(f"def f():\n\t{moved}\n")
    assert source.flat(only(source.at_line(2))) == flat


def test_what_cannot_be_parsed_cannot_be_moved() -> None:
    assert indented('x = """a\n)', "  ") is None


@given(st.text(alphabet="a\n\r\x0c\u2028", max_size=20))
def test_lines_are_python_s(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.rstrip("\r\n").count("\n") == 0 for line in lines)


@pytest.mark.parametrize(
    ("text", "node", "has", "put"),
    [
        ("x = a * b", "a", Binding.SUM, "(n)"),
        ("x = a + b", "a", Binding.SUM, "n"),
        ("x = a + b", "b", Binding.SUM, "(n)"),
        ("x = (a) * b", "a", Binding.SUM, "n"),
        ("x = f(a)", "a", Binding.TEST, "n"),
        ("x = f(a, b)", "a", Binding.TEST, "n"),
        ("x = a.b", "a", Binding.UNARY, "(n)"),
        ("x = a ** b", "a", Binding.UNARY, "(n)"),
        ("x = a ** b", "b", Binding.UNARY, "n"),
        ("x = not a", "a", Binding.OR, "(n)"),
        ("x = not a", "a", Binding.COMPARE, "n"),
        ("x = a and b", "a", Binding.OR, "(n)"),
        ("x = a or b", "b", Binding.AND, "n"),
        ("x = a if b else c", "b", Binding.TEST, "(n)"),
        ("x = [y for y in a]", "a", Binding.TEST, "(n)"),
        ("x = a[b]", "b", Binding.TEST, "n"),
        ("x = a < b", "b", Binding.COMPARE, "(n)"),
    ],
)
def test_parentheses_stand_where_they_are_needed(
    text: str, node: str, has: Binding, put: str
) -> None:
    source = Source(text)
    needs = needed(source, node_of(source, node))
    assert ("n" if has >= needs else "(n)") == put


def test_own_parentheses_come_along_only_where_needed() -> None:
    source = Source("x = (a + b) * c")
    assert enclosed(source, node_of(source, "a + b"))
    assert operand(source, node_of(source, "a + b"), Binding.SUM) == "a + b"
    assert operand(source, node_of(source, "a + b"), Binding.TERM) == "(a + b)"


@pytest.mark.parametrize("word", ["is not", "not  in", "is", "in", "<", "<=", "==", "!="])
def test_an_operator_is_found_between_its_operands(word: str) -> None:
    text = f"x = (a  # is < in\n     ) {word} (b)"
    if "in" in word:
        text = f"x = (a) {word} (b)"
    source = Source(text)
    compare = next(n for n in ast.walk(source.tree) if isinstance(n, ast.Compare))
    place = sign(source, source.span(compare.left)[1], source.span(compare.comparators[0])[0])
    assert place
    assert text[slice(*place)] == word


NAMES = """
import os
from re import match as found

LIMIT = 1


class C:
    kind = 2

    def __init__(self, size):
        self.size = size

    def grow(self, by, *rest, deep=False):
        total = self.size + by
        def inner(x):
            return [y for y in rest if y] + total
        for i, item in enumerate(rest):
            total += item.weight
        return total


def call(one, two=2):
    return C(one).grow(by=two)
"""


@pytest.fixture(scope="module")
def file() -> Source:
    return Source(NAMES)


def line_of(text: str) -> int:
    return next(i for i, line in enumerate(NAMES.split("\n"), 1) if text in line)


def test_values_are_the_statement_s_then_the_function_s_then_the_module_s(file: Source) -> None:
    values = Names(file).values(only(file.at_line(line_of("total += item"))))
    assert values[:2] == ["total", "item"]
    assert set(values) == {"total", "item", "i", "by", "self", "rest", "deep", "LIMIT"}
    assert values[-1] == "LIMIT"


def test_a_nested_function_sees_the_one_around_it_but_not_the_class(file: Source) -> None:
    names = Names(file)
    inner = only(file.at_line(line_of("return [y for")))
    assert {"x", "y", "total", "by", "rest", "LIMIT"} <= set(names.values(inner))
    assert not names.known("kind", inner)
    assert names.known("len", inner)
    assert names.known("found", inner)
    assert not names.known("one", inner)
    assert names.is_local("x", inner)
    assert not names.is_local("total", inner)


def test_a_class_body_sees_its_own_names(file: Source) -> None:
    assert Names(file).known("kind", only(file.at_line(line_of("kind = 2"))))


def test_functions_and_modules_are_no_values(file: Source) -> None:
    names = Names(file)
    one = only(file.at_line(line_of("return C(one)")))
    assert "C" in names.callables(one)
    assert "os" in names.modules
    assert not {"C", "os", "call"} & set(names.values(one))


def test_attributes_are_those_of_the_receiver(file: Source) -> None:
    names = Names(file)
    assert "size" in names.attributes("self", False)
    assert {"grow", "__init__"} <= set(names.attributes("self", True))
    assert "kind" in names.attributes("self", False)
    assert names.attributes("item", False) == ["weight"]
    assert "weight" in names.all_attributes(False)


def test_keywords_are_given_and_taken_ones(file: Source) -> None:
    assert Names(file).keywords("x.grow") == ["by", "deep", "rest", "self"]


def test_pieces_tell_what_they_read() -> None:
    pieces = Pieces(Source("def f(a):\n    if a.b and [x for x in a]:\n        g(a, 'text')\n"))
    assert {one.text for one in pieces.conditions} == {"a.b", "[x for x in a]"} | set()
    names = {one.text: set(one.names) for one in pieces.statements}
    assert names == {"g(a, 'text')": {"g", "a"}}
    assert pieces.strings == ["'text'"]
    assert {one.text for one in pieces.members} == {"a.b"}
    assert set(next(one for one in pieces.conditions if "for" in one.text).names) == {"a"}


def test_pieces_of_f_strings_are_left_out() -> None:
    assert not Pieces(Source("x = f'{a.b(c)}'\n")).expressions
