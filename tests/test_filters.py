"""When an answer stops, and what is left of it: by table, by property, and on real code."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion.filters import StopRule, blank, finish
from completion.hole import Hole, hole_kind
from completion.languages import PYTHON
from completion.lexer import CLOSERS, OPENERS, Lexer
from completion.rules import parses
from completion.rules.brackets import balance_brackets, drop_partial_line
from completion.rules.suffix import trim_suffix_overlap
from tests.holes import Cutout, cutouts, outcomes

MAX_LINES = 12


@pytest.fixture(autouse=True, scope="module")
def patient() -> Iterator[None]:
    """On a busy machine too a file is parsed to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parses, "LIMIT_S", 60)
        patch.setattr(parses, "FIRST_LIMIT_S", 60)
        yield


def split(document: str) -> tuple[str, str, Hole]:
    prefix, suffix = document.split("|", 1)
    return prefix, suffix, hole_kind(prefix + suffix, len(prefix), "python")


def stop(document: str, answer: str, max_lines: int = MAX_LINES) -> StopRule:
    prefix, suffix, hole = split(document)
    rule = StopRule(prefix, suffix, hole, max_lines)
    rule.feed(answer)
    return rule


def shown(document: str, answer: str, complete: bool = True) -> tuple[str, str]:
    """Text and reason, after both the stop rule and the filters."""
    prefix, suffix, hole = split(document)
    rule = StopRule(prefix, suffix, hole, MAX_LINES)
    stopped = rule.feed(answer)
    result = finish(rule.text, prefix, suffix, hole, complete or stopped)
    if not rule.text and rule.repeats_suffix:
        return "", "repeats the suffix"
    return result.text, result.reason


# Stop rule

CLASS = "class A:\n    def f(self):\n        return 1\n\n    |\n\n    def h(self):\n        pass\n"
DICT = "d = {\n    'a': 1,\n    |\n}\nx = 1\n"
RUN_ON = "\n\n\ndef other():\n    pass\n"

STOPS = [
    # the rest of a statement
    ("return the rest", "def f(a):\n    return |", "a + 1\n\n\ndef g():\n", "a + 1"),
    ("end of a complete line", "x = 1|", "\ny = 2\n", ""),
    ("attribute", "import os\nos.|\n", "getcwd()\nprint(1)\n", "getcwd()"),
    ("open call goes on", "x = f(|\n", "\n    1,\n    2,\n)\ny = 3\n", "\n    1,\n    2,\n)"),
    ("backslash joins lines", "x = |\n", "a + \\\n    b\ny = 1\n", "a + \\\n    b"),
    ("comment first", "def f():\n    a = 1\n    |\n", "# two\n    b = 2\n    c = 3\n",
     "# two\n    b = 2"),
    ("one statement on a blank line", "a = 1\n|\n", "b = 2\nc = 3\n", "b = 2"),
    ("compound statement with its body", "def f(a):\n    b = 1\n    |\n",
     "if a:\n        b = 2\n    return b\n", "if a:\n        b = 2"),
    ("with its else", "def f(a):\n    b = 1\n    |\n",
     "if a:\n        b = 2\n    elif b:\n        b = 3\n    else:\n        b = 4\n    return b\n",
     "if a:\n        b = 2\n    elif b:\n        b = 3\n    else:\n        b = 4"),
    ("a name that begins like else", "def f(a):\n    b = 1\n    |\n",
     "if a:\n        b = 2\n    elsewhere = 3\n", "if a:\n        b = 2"),
    ("with has no else", "def f(a):\n    b = 1\n    |\n",
     "with a:\n        b = 2\n    else_ = 1\n", "with a:\n        b = 2"),
    ("header completed to its body", "def add(|", "a, b):\n    return a + b" + RUN_ON,
     "a, b):\n    return a + b"),
    ("at the end of a header", "if x:|\n", "\n    y = 1\nz = 2\n", "\n    y = 1"),
    ("header whose body exists", "if |\n    y = 1\n", "x > 1:\n    y = 1\n", "x > 1:"),
    ("header of a comment below", "def f(x):\n    |\n        # fallthrough\n    return 1\n",
     "if x:\n        return 2\n    return 1\n", "if x:\n        return 2"),
    ("method between methods", CLASS, "def g(self):\n        return 2\n\n    def h(self):\n",
     "def g(self):\n        return 2"),
    ("decorator line", "@|\n\nx = 1\n", "cache\ndef f():\n    return 1\n\nx = 1\n",
     "cache\ndef f():\n    return 1"),
    ("decorated definition", CLASS,
     "@property\n    def g(self):\n        return 2\n\n    def h(self):\n",
     "@property\n    def g(self):\n        return 2"),
    ("dedent before it began", "def f():\n    a = 1\n    |\n", "\n\ndef g():\n    pass\n", ""),
    ("empty file", "|", '"""What."""\n\nimport os\n', '"""What."""'),
    ("tabs", "if x:\n\ty = 1\n\t|\n", "if y:\n\t\tz = 1\n\treturn\n", "if y:\n\t\tz = 1"),
    ("non-ASCII", "größe = '€'; ü = |\n", "größe\nx = 1\n", "größe"),
    ("docstring to its end", 'def f():\n    """|\n', 'What.\n\n    More.\n    """\n    x = 1\n',
     'What.\n\n    More.\n    """'),
    # blocks
    ("body of a function", "def f(a):\n    |\n\n\nx = 1\n", "b = a\n    return b" + RUN_ON,
     "b = a\n    return b"),
    ("blank lines in a body", "def f(a):\n    |", "b = a\n\n    # why\n\n    return b\n\n\nx\n",
     "b = a\n\n    # why\n\n    return b"),
    ("body from column 0", "def f(a):\n|\n", "    b = a\n    return b\nx = 1\n",
     "    b = a\n    return b"),
    ("body that dedents at once", "def f(a):\n    |\n", "\nx = 1\n", ""),
    ("comment of what follows is left out", "def f(a):\n    |\n", "return a\n\n# next\nx = 1\n",
     "return a"),
    ("else ends a block", "if a:\n    |\nelse:\n    pass\n", "b = 1\nelse:\n    c = 1\n", "b = 1"),
    ("nested body", "for a in b:\n    |\n", "if a:\n        c()\n    d()\ne()\n",
     "if a:\n        c()\n    d()"),
    ("bracket at a lower column", "def f():\n    |\n", "x = [\n1,\n]\n    return x\ny = 1\n",
     "x = [\n1,\n]\n    return x"),
    # lines
    ("middle of a line", "print(|, b)\n", "a\nx = 1\n", "a"),
    ("middle of a line, typed again", "print(|, b)\n", "a, b)\nx = 1\n", "a"),
    ("comment", "# a |\nx = 1\n", "comment\nx = 1\n", "comment"),
    ("string with text after", 'x = "a |world"\n', 'big world"\ny = 1\n', "big "),
    # what the suffix closes
    ("auto-closed call", "print(|)\n", "a, b)\nx = 1\n", "a, b"),
    ("auto-closed call, further", "print(|)\n", "a).strip()\n", "a"),
    ("auto-closed inner call", "print(len(|)\n", "a))\nx = 1\n", "a)"),
    ("auto-closed calls", "list(map(|))\n", "a, f(b)))\nx = 1\n", "a, f(b)"),
    ("surplus closers", "f(a|))\n", ".b(c))\nx = 1\n", ".b(c"),
    ("auto-closed string", 'x = "|"\n', 'abc"\ny = 1\n', "abc"),
    ("auto-closed string in a call", 'f("|")\n', 'abc", 1)\ny = 1\n', "abc"),
    ("auto-closed empty string", 'f("|")\n', '")\n', ""),
    ("auto-closed triple quotes", 'def f():\n    """|"""\n', 'What."""\n    x = 1\n', "What."),
    ("header with its colon", "if |:\n    y\n", "x > 1:\n    y\n", "x > 1"),
    ("definition with its end", "def f(|):\n    pass\n", "a, b):\n    pass\n", "a, b"),
    ("dictionary entries", DICT, "'b': 2,\n    'c': 3,\n}\nx = 1\n", "'b': 2,\n    'c': 3,"),
    ("arguments on lines of their own", "f(|)\n", "\n    a,\n    b,\n)\n", "\n    a,\n    b,"),
    ("nothing is open", "x = 1|\n", ")\n", ""),
    # the suffix's next lines
    ("next line as it stands", "def f():\n    |\n    return compute(a, b, c)\n",
     "a = 1\n    return compute(a, b, c)\n", "a = 1"),
    ("two plain lines", "x = [\n    |\n    1,\n    2,\n    3,\n]\n", "0,\n    1,\n    2,\n", "0,"),
    ("one plain line is chance", "x = [\n    |\n    1,\n    2,\n]\n", "1,\n    3,\n]\n",
     "1,\n    3,"),
    ("start of the next line", "f(a,\n  |\n  ccc, d)\nx\n", "bbb,\n  ccc, d)\nx\n", "bbb,"),
    # syntax errors around the cursor
    ("bracket left open above", "x = ((\ndef f():\n    return |\n", "1\n\ny = 2\n", "1"),
    ("broken line above", "x = = 1\n|\n", "y = 2\nz = 3\n", "y = 2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "answer", "kept"), [case[1:] for case in STOPS], ids=[case[0] for case in STOPS]
)
def test_stop_rule_keeps(document: str, answer: str, kept: str):
    rule = stop(document, answer)
    assert (rule.text, rule.stopped) == (kept, True)


@pytest.mark.parametrize("document", [case[1] for case in STOPS])
@given(answer=st.data())
@settings(max_examples=5, deadline=None)
def test_stop_rule_never_passes_max_lines(document: str, answer: st.DataObject):
    lines = answer.draw(st.lists(st.sampled_from(LINES), max_size=20))
    rule = stop(document, "\n".join(lines), max_lines=3)
    assert rule.text.count("\n") < 3


def test_stop_rule_stops_after_max_lines():
    rule = stop("def f():\n    |\n", "a()\n    b()\n    c()\n    d()\n", max_lines=3)
    assert (rule.text, rule.stopped) == ("a()\n    b()\n    c()", True)


def test_stop_rule_goes_on_while_the_statement_is_open():
    rule = stop("x = |\n", "foo(a,\n        b")
    assert (rule.text, rule.stopped) == ("foo(a,\n        b", False)


def test_stop_rule_shows_no_line_that_may_not_belong():
    rule = stop("def f():\n    a = 1\n    |\n", "if a:\n        b = 1\n    el")
    assert (rule.text, rule.stopped) == ("if a:\n        b = 1", False)


LINES = [
    "x = 1", "    y = foo(a, b)", "        return x", "if x:", "    else:", "def f(a):", ")", "}",
    "", "   ", "\treturn", '"""', "'a", "# c", "@property", "a, b)", "foo(", "[1, 2", "\\",
    'x = "', "été = '€'",
]  # fmt: skip
DOCUMENTS = sorted({case[1] for case in STOPS})


@given(
    st.sampled_from(DOCUMENTS),
    st.one_of(
        st.lists(st.sampled_from(LINES)).map("\n".join),
        st.text(alphabet="ab \n\t\"'#()[]{}:,\\@", max_size=60),
        st.sampled_from([case[2] for case in STOPS]),
    ),
    st.integers(0, 2**32),
)
@settings(max_examples=400, deadline=None)
def test_stop_rule_does_not_care_how_the_answer_is_split(document: str, answer: str, seed: int):
    whole, chars, pieces = (stop(document, "") for _ in range(3))
    whole.feed(answer)
    for ch in answer:
        if chars.feed(ch):
            break
    rng, at = random.Random(seed), 0
    while at < len(answer):
        step = rng.randint(1, 9)
        pieces.feed(answer[at : at + step])
        at += step
    assert whole.text == chars.text == pieces.text
    assert whole.stopped == chars.stopped == pieces.stopped
    assert len(whole.text) <= len(answer)


@given(
    st.sampled_from(DOCUMENTS),
    st.lists(st.sampled_from(LINES)).map("\n".join),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_finish_gives_text_or_a_reason_and_a_prefix_but_for_indentation(
    document: str, answer: str, complete: bool
):
    prefix, suffix, hole = split(document)
    result = finish(answer, prefix, suffix, hole, complete)
    assert bool(result.text) != bool(result.reason)
    assert unindented(answer).startswith(unindented(result.text))


def unindented(text: str) -> str:
    return "\n".join(line.lstrip(" \t") for line in text.split("\n"))


@given(st.sampled_from(DOCUMENTS), st.lists(st.sampled_from(LINES)).map("\n".join))
@settings(max_examples=400, deadline=None)
def test_finish_never_closes_what_it_did_not_open(document: str, answer: str):
    prefix, suffix, hole = split(document)
    lexer, floor = hole.lexer.copy(), hole.floor
    for ch in finish(answer, prefix, suffix, hole, True).text:
        assert not (lexer.in_code and ch in CLOSERS and len(lexer.stack) <= floor)
        lexer.step(ch)
    assert not lexer.broken


UNICODE = st.text(max_size=40).map(lambda text: text.replace("\r", ""))
LANGUAGES = ["python", "javascript", "typescriptreact", "go", "rust", "c", "lua", "plaintext"]


@given(UNICODE, UNICODE, UNICODE, st.booleans(), st.sampled_from(LANGUAGES))
@settings(max_examples=300, deadline=None)
def test_finish_takes_any_text_in_any_language(
    before: str, answer: str, after: str, complete: bool, language: str
):
    hole = hole_kind(before + after, len(before), language)
    result = finish(answer, before, after, hole, complete)
    assert bool(result.text.strip()) != bool(result.reason)
    assert unindented(answer).startswith(unindented(result.text))
    assert not result.reason or result.reason in ("empty answer", *result.rules)


@given(st.sampled_from(DOCUMENTS), st.lists(st.sampled_from(LINES)).map("\n".join))
@settings(max_examples=400, deadline=None)
def test_what_is_shown_stays_as_it_is_in_a_second_pass(document: str, answer: str):
    prefix, suffix, hole = split(document)
    once = finish(answer, prefix, suffix, hole, True)
    again = finish(once.text, prefix, suffix, hole, True)
    assert again.text == once.text
    assert not again.rules


@pytest.mark.parametrize(
    ("document", "answer", "text", "rules"),
    [
        ("x = |\n", "1", "1", ()),
        ("f(|)\n", "a)", "a", ("repeats the suffix",)),
        ("x = |\n", "1<|fim_middle|>2", "1", ("special token",)),
        ("x = |\n", "<|fim_middle|>2", "", ("special token",)),
        ("def f():\n    |\n", "a = 1\n    b = = 2", "a = 1", ("does not parse",)),
        ("x = |\n", "1 +", "", ("does not parse",)),
        ("x = f(a, |, b)\n", "c  # d", "c  ", ("comments out the suffix",)),
        ("x = |\n", "f(a, a, a, a, a, a, a)", "", ("repeats itself",)),
        ('password = "|"\n', "xK9!mQ2z#Lw7", "", ("holds a secret",)),
        ("def f():\n|\n", "return 1", "", ("wrong indentation",)),
        ("aa = load(path)\nbb = load(aa)\n|\n", "aa = load(path)\nbb = load(aa)", "",
         ("already above",)),
        ("x = f(|\n    b)\n", "[a<fim_suffix>", "", ("special token", "unbalanced brackets")),
    ],
)  # fmt: skip
def test_finish_names_the_rules_that_acted(
    document: str, answer: str, text: str, rules: tuple[str, ...]
):
    prefix, suffix, hole = split(document)
    result = finish(answer, prefix, suffix, hole, True)
    assert (result.text, result.rules) == (text, rules)
    assert result.reason == ("" if text else rules[-1])


# Filters, one by one


@pytest.mark.parametrize(
    ("document", "text", "kept"),
    [
        ("f(a, |, d)", "b, c, d)", "b, c"),
        ("f(a, |name)", "b, name", "b, "),
        ("f(a, |)", "b)", "b"),
        ("f(g(a, |)", "b)", "b)"),
        ("f(|, b)", "a,", "a"),
        ("x[1:|:2]", "5:", "5:"),
        ("if |:", "a:", "a"),
        ("ap|ple = 1", "p", "p"),
        ("x = |first + second", "first + first", "first + "),
        ("x = |\ny = 1\nz = 2", "a\ny = 1\nz = 2", "a"),
        ("x = |\ny = 1\nz = 2", "a\ny = 1", "a"),
        ("x = |\ny = 1\nz = 2", "a\nz = 2", "a\nz = 2"),
        ("|\ny = 1", "y = 1", ""),
        ("x = f(\n    |\n)", "g(\n        1\n    )", "g(\n        1\n    )"),
        ("x = [\n    |\n    1,\n]", "f(\n    1,", "f("),
        ('x = |"', '"a"', '"a'),
    ],
)
def test_trim_suffix_overlap(document: str, text: str, kept: str):
    prefix, suffix, hole = split(document)
    assert trim_suffix_overlap(text, prefix, suffix, hole) == kept


@pytest.mark.parametrize(
    ("document", "text", "kept"),
    [
        ("f(|", "a)", "a)"),
        ("f(|)", "a)", "a"),
        ("f(g(|)", "a))", "a)"),
        ("f(|", "a", "a"),
        ("x = |", "a)", "a"),
        ("x = |", "f(a", ""),
        ("x = |", "[1, 2)", ""),
        ("x = |", "1\ny = f(a", "1"),
        ("x = |", '"abc', ""),
        ("x = |", "'it\\'s'", "'it\\'s'"),
        ("x = |", '"""a\nb', ""),
        ('x = "|"', 'a" + "b', "a"),
        ('x = "|', 'a" + "b"', 'a" + "b"'),
        ('"""|"""', 'a"""b', "a"),
        ("x = |\n    a,\n    b)\n", "f(", "f("),
        ("raise E|of it')\n", "('the end ", "('the end "),
        ("x = |", "(1)  # :(", "(1)  # :("),
        ("x = |", "'('", "'('"),
        ("x = |", "[" * 5000, ""),
        ("x = |", "[" * 5000 + "]" * 5000, "[" * 5000 + "]" * 5000),
    ],
)
def test_balance_brackets(document: str, text: str, kept: str):
    _, suffix, hole = split(document)
    assert balance_brackets(text, suffix, hole) == kept


@pytest.mark.parametrize(
    ("document", "text", "kept"),
    [
        ("x = |", "a\ny = b\nz = c.d", "a\ny = b"),
        ("x = |", "a.bc", "a.bc"),
        ("x = |", "f(a", ""),
        ("f(|)", "a, b", "a, b"),
        ("x = |", "\n  a", "\n  a"),
        ("x = |", "a\ny = b\n", "a\ny = b"),
    ],
)
def test_drop_partial_line(document: str, text: str, kept: str):
    _, suffix, hole = split(document)
    assert drop_partial_line(text, suffix, hole) == kept


def test_blank():
    assert blank(" \n\t\n")
    assert not blank(" x")


@pytest.mark.parametrize(
    ("document", "answer", "complete", "text", "reason"),
    [
        ("x = |\n", "foo(1)\n", True, "foo(1)", ""),
        ("x = |\n", "", True, "", "empty answer"),
        ("x = |\n", "  \n", True, "", "empty answer"),
        ("f(|)\n", ")\n", True, "", "repeats the suffix"),
        ("x = json.lo|ad(stream)\n", "ad(stream)\n", True, "", "repeats the suffix"),
        ("def f():\n    |\n", "\nx = 1\n", True, "", "empty answer"),
        ("|\nlong_name = compute(1)\n", "long_name = compute(1)\n", True, "", "repeats the suffix"),
        ("|\nlong_name = compute(1)\n", "long_name = compute(1)", True, "", "repeats the suffix"),
        ("x = |\n", "foo(1, [2", True, "", "unbalanced brackets"),
        ("x = |\n", "foo(1, [2", False, "", "cut off"),
        ("x = |\n", "foo.ba", False, "foo.ba", ""),
        ("def f():\n    |\n", "a = 1\n    b = foo(", False, "a = 1", ""),
        ("def f():\n    |\n", "a = foo(\n        b,\n        c", False, "", "unbalanced brackets"),
        ("def f(a):\n    return |", "a  \n\n\nx = 1\n", True, "a", ""),
        ("x = f(|)\n", "a, ", True, "a, ", ""),
        ("x = f(a, |\n", "b ", True, "b", ""),
    ],
)
def test_finish(document: str, answer: str, complete: bool, text: str, reason: str):
    assert shown(document, answer, complete) == (text, reason)


# Real code, cut out and given back

FLOORS = {"line": 0.99, "span": 0.96, "statement": 0.99, "block": 0.99}
SAMPLE = 300


@pytest.mark.parametrize("runs_on", [True, False], ids=["runs on", "ends"])
@pytest.mark.parametrize("kind", FLOORS)
def test_a_perfect_answer_in_real_code_comes_through(kind: str, runs_on: bool):
    found = outcomes(kind, SAMPLE, runs_on)
    assert sum(one.exact for one in found) / SAMPLE >= FLOORS[kind]
    assert sum(one.within for one in found) / SAMPLE >= 0.995


def test_closers_put_there_by_the_editor_are_not_typed_twice():
    """A model writes the true rest of a line; right of the cursor stand auto-closed brackets."""
    exact = balanced = total = 0
    for cutout in cutouts("line", 1500, seed=1):
        closers = _auto_closed(cutout)
        if not closers or not cutout.middle.rstrip().endswith(closers) or "|" in cutout.prefix:
            continue
        total += 1
        document = cutout.prefix + "|" + closers + cutout.suffix
        text, _ = shown(document, cutout.middle + cutout.suffix[:2000])
        exact += text.rstrip() == cutout.middle.rstrip()[: -len(closers)].rstrip()
        lexer = Lexer(PYTHON)
        lexer.feed(cutout.prefix + text + closers + "\n")
        balanced += not (lexer.broken or lexer.stack or lexer.extra)
    assert total >= 80
    assert balanced == total
    assert exact / total >= 0.85


def _auto_closed(cutout: Cutout) -> str:
    """What an editor would have put right of the cursor: one closer per open bracket or quote."""
    hole = hole_kind(cutout.prefix, len(cutout.prefix), "python")
    if hole.inside == "comment" or len(hole.lexer.quote) == 3:
        return ""
    return hole.lexer.quote + "".join(OPENERS[opener] for opener in reversed(hole.lexer.stack))


def test_a_file_that_parses_is_no_proof_where_a_string_hides_what_follows() -> None:
    """The arguments of a macro are any tokens."""
    prefix = "macro_rules! m {\n    ($($t:tt)*) => { f!("
    suffix = ')*); }\n}\nfn g() { h("a"); }\n'
    hole = hole_kind(prefix + suffix, len(prefix), "rust")
    assert finish("$($t", prefix, suffix, hole, True).text == "$($t"
    assert finish("$($t')\"t", prefix, suffix, hole, True).reason == "unbalanced brackets"


def test_what_is_spaced_otherwise_is_repeated_all_the_same() -> None:
    prefix, suffix = "app.get('/a', ", "res) {\n  res.send();\n});\n"
    hole = hole_kind(prefix + suffix, len(prefix), "javascript")
    assert trim_suffix_overlap("function (req, res){", prefix, suffix, hole) == "function (req, "
    assert trim_suffix_overlap("function (req, a){", prefix, suffix, hole) == "function (req, a){"
