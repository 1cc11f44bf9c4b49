"""Rules that read code: indentation, comments, brackets in the whole file, what parses."""

import random
from pathlib import Path

import pytest

from completion.document import language_of
from completion.filters import finish, may_end
from completion.hole import Hole, hole_kind
from completion.rules import parses
from completion.rules.brackets import cut_what_unbalances
from completion.rules.indentation import fit_indentation, in_the_files_style
from completion.rules.pairs import Pairs
from completion.rules.parses import Parses, cut_to_what_parses
from completion.rules.remarks import cut_open_comment
from finetune.holes import holes

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine too a file is parsed to its end."""
    monkeypatch.setattr(parses, "LIMIT_S", 60)
    monkeypatch.setattr(parses, "FIRST_LIMIT_S", 60)


def split(document: str, language: str = "python") -> tuple[str, str, Hole]:
    prefix, suffix = document.split("|")
    return prefix, suffix, hole_kind(prefix + suffix, len(prefix), language)


def unbalanced_cut(document: str, text: str, language: str) -> str:
    prefix, suffix, hole = split(document, language)
    return cut_what_unbalances(text, Pairs(prefix, suffix, hole.lexer.language), hole)


def parsing_cut(document: str, text: str, language: str = "python") -> str:
    prefix, suffix, hole = split(document, language)
    around = Parses(prefix, suffix, hole, Pairs(prefix, suffix, hole.lexer.language))
    return cut_to_what_parses(text, around)


FLAT = "def f(a):\n    b = 1\n|\n"
IN_BODY = "def f(a):\n    b = 1\n    |\n"
NESTED = "class A:\n    def f(self):\n        if self:\n            return 1\n        |\n"


@pytest.mark.parametrize(
    ("document", "text", "kept"),
    [
        (IN_BODY, "return a", "return a"),
        (IN_BODY, "    return a", "return a"),
        (IN_BODY, "    if a:\n            return a", "if a:\n        return a"),
        (FLAT, "    return a", "    return a"),
        (FLAT, "f(1)", "f(1)"),
        (FLAT, "        return a", "    return a"),
        (FLAT, "  return a", "return a"),
        (IN_BODY, "if a:\n        return a\n    return b", "if a:\n        return a\n    return b"),
        (IN_BODY, "if a:\n        return a\n      return b", "if a:\n        return a"),
        (IN_BODY, "if a:\n    return a", "if a:"),
        (IN_BODY, "b = a\n        return b", "b = a"),
        (IN_BODY, "b = a\nc = b", "b = a"),
        (IN_BODY, "b = f(\n  a,\n)\n    return b", "b = f(\n  a,\n)\n    return b"),
        (IN_BODY, 'b = """\n a\n"""\n    return b', 'b = """\n a\n"""\n    return b'),
        (NESTED, "return 2", "return 2"),
        (NESTED, "     return 2", "    return 2"),
        ("def f(a):\n    |\n", "return a", "return a"),
        ("def f(a):\n|\n", "    return a", "    return a"),
        ("def f(a):\n|\n", "return a", ""),
        ("if a:\n    |\nelse:\n    c = 1\n", "b = 1", "b = 1"),
        ("x = f(|)\n", "\n    a,\n    b,\n", "\n    a,\n    b,\n"),
        ("# a |\n", "    b", "    b"),
        ("|", "x = 1", "x = 1"),
    ],
)
def test_indentation_fits_the_scope(document: str, text: str, kept: str) -> None:
    prefix, _, hole = split(document)
    assert fit_indentation(text, prefix, hole) == kept
    assert fit_indentation(kept, prefix, hole) == kept


@pytest.mark.parametrize(
    ("document", "text", "kept"),
    [
        ("if a:\n\tb = 1\n\t|\n", "if c:\n        d = 1", "if c:\n\t\td = 1"),
        ("if a:\n\tb = 1\n\t|\n", "if c:\n\t    d = 1", "if c:\n\t\td = 1"),
        ("if a:\n    b = 1\n    |\n", "if c:\n\t\td = 1", "if c:\n        d = 1"),
        ("if a:\n  b = 1\n  |\n", "if c:\n\t\td = 1", "if c:\n    d = 1"),
        ("if a:\n\tb = 1\nif c:\n    d = 1\n|\n", "if e:\n\tf", "if e:\n\tf"),
        ("if a:\n\tb = 1\n\t|\n", "if c:\n\t\td = 1", "if c:\n\t\td = 1"),
        ("|\n", "if c:\n\td = 1", "if c:\n\td = 1"),
        ("if a:\n\tb = 1\n\tc = |\n", "    1", "    1"),
        ('if a:\n\tb = """|\n', "\n    text", "\n    text"),
    ],
)
def test_tabs_and_spaces_are_the_files(document: str, text: str, kept: str) -> None:
    prefix, _, hole = split(document)
    assert in_the_files_style(text, prefix, hole) == kept


@pytest.mark.parametrize(
    ("language", "document", "text", "kept"),
    [
        ("python", "f(a|, b)\n", "b  # why", "b  "),
        ("python", "f(a|\n", ")  # why", ")  # why"),
        ("python", "f('|', b)\n", "#1", "#1"),
        ("python", "# a |b\n", "# c", "# c"),
        ("javascript", "f(a|, b)\n", "b // why", "b "),
        ("javascript", "f(a|, b)\n", "b /* why */", "b /* why */"),
        ("javascript", "f(a|, b)\n", "'//'", "'//'"),
        ("javascript", "f(a);\n|\ng(b);\n", "/* why", ""),
        ("javascript", "f(a);\n|\n * because\n */\n", "/* why", "/* why"),
        ("go", "f(a|, b)\n", "b // why", "b "),
        ("javascript", "f(a|);\n", "'http://b'", "'http://b'"),
    ],
)
def test_no_comment_swallows_what_follows(
    language: str, document: str, text: str, kept: str
) -> None:
    prefix, suffix, hole = split(document, language)
    assert cut_open_comment(text, prefix, suffix, hole) == kept


@pytest.mark.parametrize(
    ("language", "document", "text", "kept"),
    [
        ("javascript", "f(|);\n", "a", "a"),
        ("javascript", "f(|);\n", "(a", ""),
        ("javascript", "f(|);\n", "a)", ""),
        ("javascript", "f(|\n", "a)", "a)"),
        ("javascript", "f(|);\ng(`a`);\n", "`a", ""),
        ("javascript", "f(|);\n", "')'", "')'"),
        ("javascript", "f(|);\n", "/* ( */ a", "/* ( */ a"),
        ("javascript", "if (a)|\n  b();\n}\n", " {", " {"),
        ("rust", "fn f<'a>(|) {}\n", "x: &'a str", "x: &'a str"),
        ("rust", "f(|);\n", "')'", "')'"),
        ("rust", "f(|);\n", 'r#"a("b"#', 'r#"a("b"#'),
        ("go", "f(|)\n", "`\\`", "`\\`"),
        ("go", "f(|)\n", "'", ""),
        ("c", "f(|);\n", "'(', \"a\"", "'(', \"a\""),
        ("c", "f(|);\n", "'\"'", "'\"'"),
        # A string that the suffix ends has to be opened, and nothing else.
        ("javascript", "it|a b', () => {\n})\n", "('", "('"),
        ("javascript", "it|a b', () => {\n})\n", "('))#'", ""),
        ("javascript", "it('a |, () => {\n})\n", "b'", "b'"),
        ("javascript", "it('a |, () => {\n})\n", "b'`", ""),
        ("rust", 'f!(\n    "a"\n);\n|b",\n    "c"\n);\n', 'f!(\n    "', 'f!(\n    "'),
        ("rust", 'f!(\n    "a"\n);\n|b",\n    "c"\n);\n', '"', ""),
        ("typescript", "x\n  /* a *|0);\n}\n", "/", ""),
        # A string that ends somewhere below by chance.
        ("rust", 'f(|);\ng(&["b"], "http://c");\n', '";', ""),
        ("javascript", "f(|, /b/);\n", "/c", ""),
        ("go", 'f("a|\ng(`*/`)\n', 'b")/*', ""),
        ("go", 'f("a|\n*/\ng()\n', 'b")/*', 'b")/*'),
        # A regular expression holds what it likes.
        ("typescript", "if (/[;(]'/.test(|)) {\n}\n", "a", "a"),
        ("typescript", "if (/[;(]'/.test(|)) {\n}\n", "a)", ""),
        ("javascript", "f(`a ${g(`b`)} c`, |)\n", "'d'", "'d'"),
        ("plaintext", "I |\n", "don't know", "don't know"),
        # What is broken elsewhere stays so.
        ("javascript", "});\nf(|);\n", "a", "a"),
        ("javascript", "<p>don't</p>\nf(|);\n", "a", "a"),
        ("javascript", "<p>don't</p>\nf(|);\n", "(a", ""),
        ("rust", 'x = "a|\n', "b", "b"),
        # A string of many lines that is ended below.
        ("rust", 'x = "a\n(|\n \\"b\\"\n";\n', 'c"{', ""),
        ("rust", 'x = "a\n(|\n \\"b\\"\n";\n', "c{", "c{"),
    ],
)
def test_brackets_and_strings_in_other_languages(
    language: str, document: str, text: str, kept: str
) -> None:
    assert unbalanced_cut(document, text, language) == kept


@pytest.mark.parametrize(
    ("language", "document", "text", "kept"),
    [
        ("javascript", "if |\n  b();\n}\n", "(a) {", "(a) {"),
        ("javascript", "if |\n  b();\n}\n", "(a) b();", ""),
        ("javascript", "expect|\n  a\n);\n", "(a).b(", "(a).b("),
        ("javascript", "expect|\n  a\n);\n", "(a);", ""),
        ("python", "x = f(|\n    'a': 1,\n})\n", "{", "{"),
        ("python", "x = f(|\n    'a': 1,\n})\n", "1,", ""),
        ("javascript", "f(|);\n", "a", "a"),
        ("javascript", "}\nf(|);\n", "a", "a"),
        ("javascript", "f(|\n", "a", "a"),
        # And no other instead.
        ("javascript", "f(() => {\n  it|\n    g();\n  })\n})\n", "('a', functio", ""),
        ("javascript", "f(() => {\n  it|\n    g();\n  })\n})\n", "('a', () => {", "('a', () => {"),
        ("javascript", "f(() => {\n  |\n    a: b\n  }\n})\n", "it('b', () => {", ""),
        ("javascript", "f(() => {\n  |\n    a: b\n  }\n})\n", "const c = {", "const c = {"),
        ("javascript", "f(() => {\n  g(r|\n    a: 1,\n  })\n})\n", ", {", ", {"),
        # All of them, where the closers follow on the same line.
        ("go", 'x := []T{\n\t{"a|B: "c"}}},\n\t{"d"},\n}\n', 'e", P{', ""),
        ("go", 'x := []T{\n\t{"a|B: "c"}}},\n\t{"d"},\n}\n', 'e", P{P{', 'e", P{P{'),
        # However far below.
        ("rust", "impl A {\n  fn a|\n  }\n" + "  fn b() {}\n" * 900 + "}\n", "(", ""),
        ("rust", "impl A {\n  fn a|\n  }\n" + "  fn b() {}\n" * 900 + "}\n", "() {", "() {"),
        # In a docstring as well.
        ("python", 'def f():\n    """A.\n    |\n        a=1,\n    )\n', 'B.\n    """', ""),
        (
            "python",
            'def f():\n    """A.\n    |\n        a=1,\n    )\n',
            'B.\n    """\n    return g(',
            'B.\n    """\n    return g(',
        ),
    ],
)
def test_brackets_that_are_closed_below_are_opened(
    language: str, document: str, text: str, kept: str
) -> None:
    assert unbalanced_cut(document, text, language) == kept


@pytest.mark.parametrize(
    ("language", "document", "text", "kept"),
    [
        ("python", "x = |\n", "1 + 1", "1 + 1"),
        ("python", "x = |\n", "1 +", ""),
        ("python", "x = 1\n|\ny = 2\n", "z = 3\nw = = 4", "z = 3"),
        ("python", "def f(a):\n    |\n", "if a:\n        b = = 1", ""),
        ("python", "x = f(a, |\n", "b", "b"),
        ("python", "x = = 1\ny = |\n", "1 +", "1 +"),
        ("python", "if |:\n    pass\n", "a b", ""),
        ("python", "if |:\n    pass\n", "a", "a"),
        ("javascript", "const x = |;\n", "1 + 1", "1 + 1"),
        ("javascript", "const x = |;\n", "1 +", ""),
        ("javascript", "function f() {\n  |\n", "return 1;", "return 1;"),
        ("go", "package a\n\nfunc f() {\n\t|\n}\n", "x := 1 +", ""),
        ("rust", "fn f() {\n    |\n}\n", "let x = ;", ""),
        ("c", "#ifdef |\n#endif\n", "A", "A"),
        ("plaintext", "x = |\n", "1 + (", "1 + ("),
        # What follows waits for a head, and any other text is wrong there.
        ("go", "package a\n\n|\n\tA string\n}\n", "type T struct {", "type T struct {"),
        ("go", "package a\n\n|\n\tA string\n}\n", "func f() {", ""),
        ("rust", "fn f() {\n    match a {\n        B => |\n            c();\n            d = 1;\n"
         "        }\n    }\n}\n", "{", "{"),
        ("rust", "fn f() {\n    match a {\n        B => |\n            c();\n            d = 1;\n"
         "        }\n    }\n}\n", "match i {", ""),
        ("python", "def f(a):\n    if |\n        return 1\n", "a:", "a:"),
        ("python", "def f(a):\n    if |\n        return 1\n", "a and b", ""),
        ("python", "x = f(|\n        a,\n    )\n", "b, c,", "b, c,"),
        # A semicolon, or the end of a tag, may be all that a line wants.
        ("rust", "fn f() {\n    let a =\n        b.c|\n    let d = 1;\n}\n", "();", "();"),
        ("rust", "fn f() {\n    let a =\n        b.c|\n    let d = 1;\n}\n", "() && d()", ""),
        ("typescriptreact", "const a = (\n  <C d|\n    <E />\n  </C>\n)\n", "={1}>", "={1}>"),
        ("typescriptreact", "const a = (\n  <C d|\n    <E />\n  </C>\n)\n", "={<C d>}>", ""),
        # In a file that is broken elsewhere a head is judged by what is near.
        ("go", "package a\n\n|\n\tA string\n}\n" + "\n" * 9 + "func 1 {}\n", "func f() {", ""),
        ("javascript", "let = = ;\n" + "\n" * 9 + "const x = |;\n", "1 +", "1 +"),
    ],
)  # fmt: skip
def test_what_does_not_parse_is_cut(language: str, document: str, text: str, kept: str) -> None:
    assert parsing_cut(document, text, language) == kept


@pytest.mark.parametrize(
    ("document", "start", "may"),
    [
        ("x = |\n", "a", True),
        ("x = |\n", "a +", True),
        ("x = |\n", "f(", False),
        ("x = |\n", "'a", False),
        ("x = f(|)\n", "a", True),
        ("x = f(|)\n", "a, [", False),
        ("if a:\n    |\n", "b = c", True),
        # What closes below closes the braces around, not these: the rest of the text does that.
        ("a({\n    b(c(|\n})\n", "d, { e:", False),
        ("a({\n    b(c(|\n})\n", "d", True),
        # `b, c` below would be said twice by a start that stops there.
        ("x = [\n    a|\n    b,\n    d,\n]\n", ",\n    b,", False),
        ("x = [\n    a|\n    b,\n    d,\n]\n", ",\n    b, c", True),
    ],
)
def test_where_a_start_may_end(document: str, start: str, may: bool) -> None:
    prefix, suffix, hole = split(document)
    assert may_end(prefix, suffix, hole)(start) == may


def test_without_time_to_parse_all_of_a_text_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parses, "LIMIT_S", 0)
    assert parsing_cut("x = |\n", "1 +") == "1 +"


def test_a_document_too_large_to_parse_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    parses._error_rows.cache_clear()
    monkeypatch.setattr(parses, "LARGEST", 5)
    assert parsing_cut("x = |\n", "1 +") == "1 +"


def test_a_tree_of_another_text_changes_no_verdict() -> None:
    """The nearest known tree is what the next is made of: in any order the same comes out."""
    texts = ["1", "1 +", "(1", "f(1)", "'a", "a b"]
    documents = ["x = |\n", "x = 1\ny = |\nz = 3\n", "def f():\n    return |\n"]
    cases = [(document, text) for document in documents for text in texts]
    verdicts: dict[tuple[str, str], str] = {}
    for seed in range(3):
        parses._recent.clear()
        parses._error_rows.cache_clear()
        for document, text in random.Random(seed).sample(cases, len(cases)):
            kept = parsing_cut(document, text)
            assert verdicts.setdefault((document, text), kept) == kept


def test_true_middles_of_this_repository_pass_all_rules() -> None:
    rng = random.Random(7)
    files = sorted((REPOSITORY / "completion").glob("*.py"))
    asked = changed = 0
    for file in rng.sample(files, 25):
        text = file.read_text("utf-8")
        for hole in holes(text, language_of(file), rng, 8):
            prefix, middle, suffix = (
                text[: hole.start],
                text[hole.start : hole.end],
                text[hole.end :],
            )
            place = hole_kind(prefix + suffix, len(prefix), "python")
            kept = finish(middle, prefix, suffix, place, True)
            asked += 1
            changed += kept.text.rstrip() != middle.rstrip()
    assert asked > 150
    assert changed / asked <= 0.01
