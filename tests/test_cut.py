"""Cutting a document around the cursor, and knowing what the cursor waits for."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion import hole, syntax
from completion.cut import PARSE_LIMIT, WINDOW_STEP, cut, window
from completion.hole import LogicalLines, hole_kind, logical_lines
from completion.languages import PLAINTEXT, PYTHON
from completion.lexer import Lexer
from tests.holes import modules

BUDGET = 512


def count(text: str) -> int:
    """About what a code tokenizer gives: words in pieces of five letters, runs of space, signs."""
    return len(re.findall(r"[^\W\d_]{1,5}|\d|_|\s+|[^\w\s]", text))


class Counter:
    """Counts tokens, and how often and how much text it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.chars = 0

    def __call__(self, text: str) -> int:
        self.calls += 1
        self.chars += len(text)
        return count(text)


def marked(text: str) -> tuple[str, int]:
    """The text without its `|`, and where that stood."""
    offset = text.index("|")
    return text[:offset] + text[offset + 1 :], offset


def largest_module() -> str:
    return max((text for _, text in modules()), key=len)


# Lexer


@pytest.mark.parametrize(("name", "text"), modules(), ids=[name for name, _ in modules()])
def test_lexer_finds_real_modules_balanced(name: str, text: str):
    lexer = Lexer(PYTHON)
    lexer.feed(text)
    assert (lexer.stack, lexer.quote, lexer.extra, lexer.broken) == ([], "", [], False)


@given(st.text(alphabet="ab \n\\\"'#()[]{}:é", max_size=60), st.data())
def test_lexer_does_not_care_how_text_is_split(text: str, data: st.DataObject):
    for language in (PYTHON, PLAINTEXT):
        whole, pieces = Lexer(language), Lexer(language)
        whole.feed(text)
        for ch in text:
            pieces.step(ch)
        assert whole == pieces
        at = data.draw(st.integers(0, len(text)))
        halves = Lexer(language)
        halves.feed(text[:at])
        halves.feed(text[at:])
        assert halves == whole


def test_lexer_leaves_an_open_bracket_at_the_next_statement():
    lexer = Lexer(PYTHON)
    starts = lexer.feed("x = foo(1,\n    2\nclass A:\n    pass\n")
    assert (lexer.stack, starts) == ([], [17, 26, 35])


def test_apostrophe_in_prose_opens_no_string():
    lexer = Lexer(PLAINTEXT)
    lexer.feed("it doesn't (much) matter")
    assert lexer.quote == ""


# Broken and deep


@pytest.mark.parametrize("text", ["(" * 10_000, "[" * 10_000 + "]" * 10_000, "if x:\n" * 10_000])
def test_deep_nesting_is_no_problem(text: str):
    hole = hole_kind(text, len(text) // 2, "python")
    assert hole.floor <= len(hole.lexer.stack)
    assert cut(text, len(text) // 2, "python", BUDGET, count).prefix


def test_nested_blocks_10_000_deep():
    text = "".join(" " * i + "if x:\n" for i in range(600)) + " " * 600
    hole = hole_kind(text, len(text), "python")
    assert (hole.kind, hole.indent) == ("block", 600)


# Window


def test_small_text_is_its_own_window():
    assert window("a\nb\n", 2).text == "a\nb\n"


def test_window_of_a_big_text_has_whole_lines_and_a_sticky_start():
    line = "value = compute(value)\n"
    text = line * (5_000_000 // len(line))
    offset = 3_000_000
    view = window(text, offset)
    assert len(view.text) < PARSE_LIMIT
    assert text[view.start : view.start + len(view.text)] == view.text
    assert view.text[view.offset :] == text[offset:][: len(view.text) - view.offset]
    assert text[view.start - 1] == "\n"
    assert view.text.endswith("\n")
    starts = {window(text, offset + moved).start for moved in range(0, 2000, 10)}
    assert len(starts) <= 1 + 2000 // WINDOW_STEP + 1


# Cut


def test_small_document_is_kept_whole():
    text, offset = marked("def f():\n    |\n\nx = 1\n")
    kept = cut(text, offset, "python", BUDGET, count)
    assert kept.prefix + kept.suffix == text


@pytest.mark.parametrize(("name", "text"), modules()[::7], ids=[n for n, _ in modules()[::7]])
def test_cut_fits_the_budget_and_starts_and_ends_at_statements(name: str, text: str):
    for offset in range(0, len(text), len(text) // 7):
        kept = cut(text, offset, "python", BUDGET, count)
        assert text[:offset].endswith(kept.prefix)
        assert text[offset:].startswith(kept.suffix)
        assert count(kept.prefix) + count(kept.suffix) <= BUDGET
        start = offset - len(kept.prefix)
        assert start == 0 or text[start - 1] == "\n"
        end = offset + len(kept.suffix)
        assert end == len(text) or text[end] == "\n"


def test_cut_prefers_the_start_of_a_module_level_definition():
    function = "def f{n}(a, b):\n    c = a + b\n    if c:\n        return a\n    return c\n\n\n"
    text = "".join(function.replace("{n}", str(n)) for n in range(60))
    offset = text.index("return c", len(text) // 2)
    kept = cut(text, offset, "python", BUDGET, count)
    assert kept.prefix.startswith("def f")
    assert kept.suffix.endswith("    return c")
    assert count(kept.prefix) >= BUDGET / 2 * 0.75
    assert count(kept.suffix) >= BUDGET / 4 / 2


def test_cut_in_a_long_class_starts_at_a_member():
    method = "    def f{n}(self):\n        a = {n}\n        b = a\n        return b\n\n"
    text = "class A:\n" + "".join(method.replace("{n}", str(n)) for n in range(90))
    kept = cut(text, text.index("return b", len(text) // 2), "python", BUDGET, count)
    assert kept.prefix.startswith("    def f")


def test_cut_in_a_long_function_starts_at_a_statement():
    text = "def f():\n" + "    x = g(\n        1,\n    )\n" * 200
    kept = cut(text, len(text) // 2, "python", BUDGET, count)
    assert kept.prefix.startswith("    x = g(")


def test_cut_of_an_unknown_language_starts_at_a_line():
    text = "some words in a line of prose, and more of them\n" * 300
    kept = cut(text, len(text) // 2, "plaintext", BUDGET, count)
    assert kept.prefix.startswith("some words")
    assert kept.suffix.endswith("more of them")


@pytest.mark.parametrize("unit", ["x", "word ", "1,", "é€😀 "])
def test_cut_of_one_line_of_100_000_characters(unit: str):
    text = unit * (100_000 // len(unit))
    for offset in (0, 10, 50_000, len(text)):
        kept = cut(text, offset, "python", BUDGET, count)
        assert text[:offset].endswith(kept.prefix)
        assert text[offset:].startswith(kept.suffix)
        assert count(kept.prefix) + count(kept.suffix) <= BUDGET
    assert count(cut(text, 50_000, "python", BUDGET, count).prefix) >= BUDGET / 8


def test_unused_budget_goes_to_the_other_side():
    text = "".join(f"x{n} = call({n}, {n})\n" for n in range(400))
    at_start = cut(text, 0, "python", BUDGET, count)
    at_end = cut(text, len(text), "python", BUDGET, count)
    assert count(at_start.suffix) > BUDGET * 0.9
    assert count(at_end.prefix) > BUDGET * 0.55
    middle = cut(text, len(text) // 2, "python", BUDGET, count)
    assert count(middle.suffix) <= BUDGET / 4


def test_typing_on_rarely_moves_the_prefix_and_never_the_suffix():
    text = largest_module()
    first = text.index("\n", len(text) // 3) + 1
    last = first + 6000
    suffixes: set[str] = set()
    starts: list[int] = []
    for offset in range(first, last, 5):
        kept = cut(text[:offset] + "\n" + text[-6000:], offset, "python", BUDGET, count)
        suffixes.add(kept.suffix)
        starts.append(offset - len(kept.prefix))
    assert len(suffixes) == 1
    moves = [(old, new) for old, new in pairwise(starts) if old != new]
    prefix_budget = 0.75 * BUDGET
    assert len(moves) <= 4 * count(text[first:last]) / prefix_budget
    freed = [count(text[old:new]) for old, new in moves if new > old]
    assert len(moves) - len(freed) <= 1  # back again, when the sample of the density moves on
    assert sum(freed) / len(freed) >= prefix_budget / 4


def test_suffix_moves_only_in_steps_while_a_short_file_grows():
    suffix = "\n" + "".join(f"y{n} = call({n}, {n})\n" for n in range(400))
    typed = "".join(f"x{n} = call({n}, {n})\n" for n in range(60))
    kept = {
        cut(typed[:offset] + suffix, offset, "python", BUDGET, count).suffix
        for offset in range(0, len(typed), 5)
    }
    assert len(kept) <= 8


def test_cut_counts_few_and_short_texts():
    text = largest_module() * 40
    assert len(text) > 2_500_000
    counter = Counter()
    cut(text, len(text) // 2, "python", BUDGET, counter)
    assert counter.calls <= 40
    assert counter.chars <= counter.calls * BUDGET * 16


def test_dense_text_after_sparse_text_still_fills_the_prefix():
    text = "# " + "a" * 4000 + "\n" + "[1,2,3,4,5,6,7,8]\n" * 400
    text = text.replace("a", "word", 1)
    kept = cut(text, len(text), "python", BUDGET, count)
    assert BUDGET / 4 <= count(kept.prefix) <= BUDGET


def test_no_budget_keeps_nothing():
    assert cut("x = 1\ny = 2\n", 6, "python", 0, count).prefix == ""


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab \n\t\"'#()[]:é😀=", max_size=400), st.data())
def test_cut_of_anything_is_the_text_around_the_cursor(text: str, data: st.DataObject):
    offset = data.draw(st.integers(0, len(text)))
    budget = data.draw(st.integers(0, 64))
    kept = cut(text, offset, "python", budget, count)
    assert text[:offset].endswith(kept.prefix)
    assert text[offset:].startswith(kept.suffix)
    assert count(kept.prefix) + count(kept.suffix) <= budget
    assert cut(text, offset, "python", budget, count) == kept


def test_line_ends_must_be_normalised_by_the_caller():
    with pytest.raises(AssertionError, match="line ends"):
        cut("a = 1\r\nb = 2\r\n", 3, "python", BUDGET, count)
    with pytest.raises(AssertionError, match="line ends"):
        hole_kind("a = 1\r\nb = 2\r\n", 3, "python")


# Holes


@pytest.mark.parametrize(
    ("text", "kind", "indent", "inside"),
    [
        ("|", "statement", 0, "code"),
        ("x = 1\n|", "statement", 0, "code"),
        ("import os\nx = os.|", "statement", 0, "code"),
        ("print(|)", "statement", 0, "code"),
        ("print(a|, b)", "line", 0, "code"),
        ("def f():\n    return |", "statement", 4, "code"),
        ("def f():\n    |", "block", 4, "code"),
        ("def f():\n|", "block", 1, "code"),
        ("def f():\n    |\n\n\nx = 1\n", "block", 4, "code"),
        ("def f():\n    |\n    return 1\n", "statement", 4, "code"),
        ("def f():\n\n    # how\n    |\n", "block", 4, "code"),
        ("def f():\n    |\n    # how\nx = 1\n", "block", 4, "code"),
        ("def f(\n    a,\n    b,\n) -> int:\n    |\n", "block", 4, "code"),
        ('def f():\n    """What."""\n    |\n\nx = 1\n', "block", 4, "code"),
        ('def f():\n    """What.\n\n    More.\n    """\n    |\n', "block", 4, "code"),
        ('def f():\n    """What."""\n    |\n    return 1\n', "statement", 4, "code"),
        ('def f():\n    """What."""\n    x = 1\n    |\n', "statement", 4, "code"),
        ('def f():\n    """What."""\n\n\n|\n', "statement", 0, "code"),
        ('def f():\n    x = "a" + "b"\n    |\n', "statement", 4, "code"),
        ("class A:\n    |\n", "block", 4, "code"),
        ("if x:\n    y\nelse:\n    |\nz\n", "block", 4, "code"),
        ("try:\n    |\nexcept E:\n    pass\n", "block", 4, "code"),
        ("class A:\n    def f(self):\n        |\n\n    def g(self):\n", "block", 8, "code"),
        ("class A:\n    def f(self):\n        pass\n\n    |\n\n    def g(self):\n        pass\n",
         "statement", 4, "code"),
        ("if x:|\n    y\n", "statement", 0, "code"),
        ("    if x:|", "statement", 4, "code"),
        ("if |:\n    y\n", "statement", 0, "code"),
        ("@|\ndef f(): pass\n", "statement", 0, "code"),
        ("d = {\n    'a': 1,\n    |\n}\n", "statement", 0, "code"),
        ('x = "|"', "statement", 0, "string"),
        ('x = "hello |world"', "line", 0, "string"),
        ("x = f'{a|}'", "statement", 0, "string"),
        ('def f():\n    """|"""\n', "statement", 4, "string"),
        ('"""\nsome text |\n"""\n', "statement", 0, "string"),
        ("# a comment |", "line", 0, "comment"),
        ("x = 1  # a comment |\ny = 2\n", "line", 0, "comment"),
        ("x = '#' + |", "statement", 0, "code"),
        ("if x:\n\t|", "block", 8, "code"),
        ("if x:\n\tif y:\n\t\tz = |", "statement", 16, "code"),
        ("é = 'ä'; ü = |", "statement", 0, "code"),
        ("x = (((\ndef f():\n    |\n", "block", 4, "code"),
        ("def f(:\n    |\n", "statement", 0, "code"),
        ("x = 1 +\\\n    |", "statement", 0, "code"),
        ("x = a if b else |", "statement", 0, "code"),
        ("lambda: |", "statement", 0, "code"),
    ],
)  # fmt: skip
def test_hole_in_python(text: str, kind: str, indent: int, inside: str):
    hole = hole_kind(*marked(text), "python")
    assert (hole.kind, hole.indent, hole.inside) == (kind, indent, inside)


@pytest.mark.parametrize("text", ["|", "some |words", "if x:\n    |", "f(|)", "{\n  |\n}"])
def test_hole_in_an_unknown_language_is_the_line(text: str):
    assert hole_kind(*marked(text), "plaintext").kind == "line"


@pytest.mark.parametrize(
    ("text", "closers", "floor"),
    [
        ("f(|)", ")", 1),
        ("f(g(|)", ")", 1),
        ("f(g(|))", "))", 2),
        ("f(|\ng(1)\n", "", 0),
        ("f([|\n    1,\n])\n", "])", 2),
        ("d = {\n    'a': f(|\n    'b': 1,\n}\n", "}", 1),
        ("x = |\n    a,\n    b)\n", ")", 0),
        ("def f():\n    x = g(|\n    return h(1)\n", "", 0),
        ('f("|")', ")", 1),
        ("f(|  # :)\n)", ")", 1),
        ("f(|\n)\n)\n)\n", ")))", 1),
        ("{[(|)]}", ")]}", 3),
        ("{[(|}", "}", 1),
    ],
)
def test_hole_knows_what_the_suffix_closes(text: str, closers: str, floor: int):
    hole = hole_kind(*marked(text), "python")
    assert (hole.closers, hole.floor) == (closers, floor)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ('x = "|"', True),
        ('x = "|', False),
        ('f("|, "b")', False),
        ('f("a|", "b")', True),
        (r'f("a| \" ', False),
        ('"""|"""', True),
        ('def f():\n    """|\n\ndef g():\n    """What."""\n', False),
        ('def f():\n    """|\n    """\n\ndef g():\n    """What."""\n', True),
    ],
)
def test_hole_knows_whether_its_string_is_closed(text: str, closed: bool):
    assert hole_kind(*marked(text), "python").string_closed is closed


@given(st.text(alphabet="abdef \n\t\\\"'#()[]{}:,@é", max_size=200), st.data())
def test_hole_of_anything_is_found_without_a_crash(text: str, data: st.DataObject):
    offset = data.draw(st.integers(0, len(text)))
    for language in ("python", "plaintext"):
        found = hole_kind(text, offset, language)
        assert found == hole_kind.__wrapped__(text, offset, language)
        assert found.floor <= len(found.lexer.stack)


PYTHON_LINES = st.lists(
    st.sampled_from(["x = (\n", "y)\n", "def f(:\n", "  pass\n", '"""\n', "'\n", "# (\n", "a\\\n", "\n", "passé[\n", '""\n'])
    | st.text(alphabet="ab \n\\\"'#()[]{}:", max_size=6),
    max_size=12,
)  # fmt: skip


@given(PYTHON_LINES, PYTHON_LINES, PYTHON_LINES)
def test_lines_are_the_same_whatever_was_read_before(
    shared: list[str], one: list[str], other: list[str]
):
    before, text = "".join([*shared, *one]), "".join([*shared, *other])
    for language in ("python", "javascript", "plaintext"):
        _fresh(before, language)
        after = logical_lines.__wrapped__(text, language)
        alone = _fresh(text, language)
        assert after.starts == alone.starts
        states = [
            {name: value for name, value in vars(lexer).items() if name not in ("extra", "broken")}
            for lexer in (after.lexer, alone.lexer)
        ]
        assert states[0] == states[1]


def _fresh(text: str, language: str) -> LogicalLines:
    hole._read.clear()
    return logical_lines.__wrapped__(text, language)


def test_after_enter_only_the_last_lines_are_read_again():
    text, lexed = "call(\n    one,\n)\n" * 500, []

    class Counting(Lexer):
        def feed(self, text: str) -> list[int]:
            lexed.append(len(text))
            return super().feed(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hole, "Lexer", Counting)
        _fresh(text, "python")
        lines = logical_lines.__wrapped__(text + "x\n", "python")
    assert lexed[0] == len(text)
    assert lexed[1] < 40
    assert lines.starts[-2:] == [len(text), len(text) + 2]


def test_typing_within_a_line_does_not_read_the_file_again(monkeypatch: pytest.MonkeyPatch):
    text = largest_module()
    offset = text.index("\n", len(text) // 2) + 1
    parsed = []
    parse = syntax._parsed  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(syntax, "_parsed", lambda *given: parsed.append(1) or parse(*given))
    misses = []
    for typed in ("", "x", "x = ", "x = foo("):
        document = text[:offset] + typed + text[offset:]
        cut(document, offset + len(typed), "python", BUDGET, count)
        hole_kind(document, offset + len(typed), "python")
        misses.append((len(parsed), logical_lines.cache_info().misses))
    assert len(set(misses)) == 1


def test_typing_within_a_line_counts_little_again():
    text = largest_module()
    offset = text.index("\n", len(text) // 2) + 1
    counter = Counter()
    cut(text, offset, "python", BUDGET, counter)
    counter.chars = 0
    cut(text[:offset] + "x" + text[offset:], offset + 1, "python", BUDGET, counter)
    assert counter.chars <= 2 * 4 * BUDGET
