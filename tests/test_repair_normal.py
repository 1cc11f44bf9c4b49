"""Keys: one for each meaning, none for what does not compile or changes nothing."""

import pytest

from sandbox.repair.change import Replace, Splice
from sandbox.repair.difference import difference
from sandbox.repair.normal import Key, Normal
from sandbox.repair.search import rendered
from sandbox.repair.source import Source


def key_of(text: str, line: int, old: str, new: str) -> Key | None:
    """Of `new` for the first `old` in the innermost statement on a line."""
    source = Source(text)
    statement = source.at_line(line)[-1]
    start = text.index(old, statement.start)
    return Normal(source).replaced(statement, Replace(start, start + len(old), new))


LOOP = "def f(xs):\n    for x in xs:\n        g(x)\n        g(x)\n    return xs\n"


@pytest.mark.parametrize("new", ["(x)", " x", "x ", "(\nx)"])
def test_layout_changes_nothing(new: str) -> None:
    assert key_of(LOOP, 3, "x", new) is None


@pytest.mark.parametrize("new", ["", "x +", "x y", "*", "(x", "x)"])
def test_what_is_broken_has_no_key(new: str) -> None:
    assert key_of(LOOP, 5, "xs", new) is None or new == ""


def test_two_ways_to_one_result_have_one_key() -> None:
    source = Source(LOOP)
    normal = Normal(source)
    statement = source.at_line(3)[0]
    start = statement.start
    whole = normal.replaced(statement, Replace(start, statement.end, "h( x )"))
    part = normal.replaced(statement, Replace(start, start + 1, "h"))
    block = statement.block
    assert block
    assert whole == part == normal.spliced(Splice(block, 0, 1, ("h(x)",)))


def test_to_delete_either_of_two_equal_lines_is_one_change() -> None:
    source = Source(LOOP)
    block = source.at_line(3)[0].block
    assert block
    normal = Normal(source)
    keys = {normal.spliced(Splice(block, i, i + 1, ())) for i in (0, 1)}
    keys |= {normal.spliced(Splice(block, 0, 2, ("g(x)",)))}
    assert len(keys) == 1
    assert None not in keys
    inserted = {normal.spliced(Splice(block, i, i, ("g(x)",))) for i in (0, 1, 2)}
    assert len(inserted) == 1


def test_1_and_true_and_1_0_are_told_apart() -> None:
    keys = [key_of("x = y\n", 1, "y", new) for new in ("1", "True", "1.0", "'1'", "b'1'")]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("text", "line", "old", "new", "valid"),
    [
        ("def f():\n    x\n", 2, "x", "return x", True),
        ("x\n", 1, "x", "return x", False),
        ("class C:\n    x\n", 2, "x", "return x", False),
        ("for y in z:\n    x\n", 2, "x", "break", True),
        ("if z:\n    x\n", 2, "x", "break", False),
        ("for y in z:\n    pass\nelse:\n    x\n", 4, "x", "break", False),
        ("for y in z:\n    def f():\n        x\n", 3, "x", "continue", False),
        ("def f():\n    x\n", 2, "x", "await x", False),
        ("async def f():\n    x\n", 2, "x", "await x", True),
        ("async def f():\n    def g():\n        x\n", 3, "x", "await x", False),
        ("async def f():\n    yield 1\n    x\n", 3, "x", "return x", False),
        ("async def f():\n    x\n", 2, "x", "return x", True),
        ("def f():\n    yield 1\n    x\n", 3, "x", "return x", True),
        ("f(a=1)\n", 1, "a=1", "a=1, a=2", False),
        ("f(a=1)\n", 1, "a=1", "a=1, 2", False),
        ("def f(a, b):\n    pass\n", 1, "b", "a", False),
        ("x = f(y)\n", 1, "f(y)", "y", True),
        ("f(y) = x\n".replace("f(y)", "z"), 1, "z", "z()", False),
        ("\tx\n".join(["if y:\n", ""]), 2, "x", "z", True),
        ("try:\n    x\nexcept A:\n    y\n", 3, "A", "(A, B)", True),
        ("try:\n    x\nexcept A:\n    y\n", 3, "A", "A B", False),
        ("match x:\n    case 1:\n        y\n", 1, "x", "z", True),
        ("if a:\n    b\nelif c:\n    d\n", 3, "c", "e", True),
        ("if a:\n    b\nelif c:\n    d\n", 3, "c", "e f", False),
        ("if a: b\n", 1, "b", "c", True),
        ("a; b; c\n", 1, "c", "d", True),
        ("@a\nclass C:\n    pass\n", 1, "a", "b", True),
    ],
)
def test_a_change_is_compiled_where_it_stands(
    text: str, line: int, old: str, new: str, valid: bool
) -> None:
    compile(text, "", "exec")
    assert (key_of(text, line, old, new) is not None) == valid


def test_a_function_with_nonlocal_is_still_compared() -> None:
    text = "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n    return g\n"
    source = Source(text)
    block = source.at_line(2)[0].block
    assert block
    assert Normal(source).spliced(Splice(block, 0, 1, ())) is not None


FIXES = [
    ("x = a + b\n", "x = a - b  # right\n"),
    (
        "def f(x):\n    if x:\n        return 1\n    return 2\n",
        "def f(x):\n    if not x:\n        return 1\n    return 2\n",
    ),
    (
        "def f(x):\n    if x:\n        return 1\n    return 2\n",
        "def f(x):\n    if x:\n        return 3\n    return 2\n",
    ),
    ("def f(x):\n    g()\n    return x\n", "def f(x):\n    return x\n"),
    ("def f(x):\n    return x\n", "def f(x):\n    g()\n    return x\n"),
    ("try:\n    a()\nexcept A:\n    b()\n", "try:\n    a()\nexcept (A, B):\n    b()\n"),
    ("try:\n    a()\nexcept A:\n    b()\n", "try:\n    a()\nexcept A:\n    c()\n"),
    ("for x in y:\n    a(x)\nelse:\n    b()\n", "for x in y:\n    a(x)\nelse:\n    c()\n"),
    ("match x:\n    case 1:\n        a()\n", "match x:\n    case 1:\n        b()\n"),
]


@pytest.mark.parametrize(("before", "after"), FIXES)
def test_a_difference_is_the_key_of_the_change_that_makes_it(before: str, after: str) -> None:
    old, new = Source(before), Source(after)
    normal = Normal(old)
    key = difference(old, new, normal)
    assert key is not None
    found = set()
    for statement in old.statements:
        for other in new.statements:
            for end in (other.end, other.head_end):
                text = after[other.start : end]
                stop = statement.head_end if statement.compound else statement.end
                found.add(normal.replaced(statement, Replace(statement.start, stop, text)))
    for block in old.blocks:
        for first in range(len(block.statements) + 1):
            found.add(normal.spliced(Splice(block, first, first, ("g()",))))
            if first < len(block.statements):
                found.add(normal.spliced(Splice(block, first, first + 1, ())))
    assert key in found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "x = 1  # one\n"),
        ("x = 1\n", "x = (1)\n\n"),
    ],
)
def test_there_is_no_difference_in_layout(before: str, after: str) -> None:
    old = Source(before)
    assert difference(old, Source(after), Normal(old)) is None


def test_two_places_are_one_wide_change_or_none() -> None:
    old = Source("def f(x):\n    if x:\n        a()\n    else:\n        b()\n")
    new = Source("def f(x):\n    if x:\n        c()\n    else:\n        d()\n")
    key = difference(old, new, Normal(old))
    assert key is not None
    assert key[0] == "splice"


@pytest.mark.parametrize(
    ("text", "first", "last", "texts", "wanted"),
    [
        ("a\nb\n", 0, 0, ("c",), "c\na\nb\n"),
        ("a\nb\n", 2, 2, ("c",), "a\nb\nc\n"),
        ("a\nb", 2, 2, ("c",), "a\nb\nc"),
        ("a\nb", 1, 2, ("c",), "a\nc"),
        ("a\nb", 1, 2, (), "a\n"),
        ("a  # x\nb  # y\n", 0, 1, ("c", "d"), "c\nd\nb  # y\n"),
        ("a\r\nb\r\n", 1, 1, ("if c:\r\n    d",), "a\r\nif c:\r\n    d\r\nb\r\n"),
    ],
)
def test_splices_are_whole_lines(
    text: str, first: int, last: int, texts: tuple[str, ...], wanted: str
) -> None:
    source = Source(text)
    edit = rendered(source, Splice(source.blocks[0], first, last, texts))
    assert edit
    start, end, new = edit
    assert text[:start] + new + text[end:] == wanted


@pytest.mark.parametrize(("below", "wanted"), [(False, "a\n\nc\nb\n"), (True, "a\nc\n\nb\n")])
def test_an_insertion_stands_next_to_what_it_belongs_to(below: bool, wanted: str) -> None:
    source = Source("a\n\nb\n")
    edit = rendered(source, Splice(source.blocks[0], 1, 1, ("c",), below=below))
    assert edit
    assert source.text[: edit[0]] + edit[2] + source.text[edit[1] :] == wanted
