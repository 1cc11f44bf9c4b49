"""What has no partner in a file: by table, and the same however the file is cut around the cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.languages import language_row
from completion.rules.pairs import Pairs, Unpaired

PIECES = [
    *("a", " ", "\n", "\n    ", "(", ")", "{", "}", "[", "]", '"', "'", "`", '"""', "/", "//", "#"),
    *(
        "/*",
        "*/",
        "\\",
        "${",
        "r#",
        "'a",
        "f(x)\n",
        "= /[(]/",
        "return /'/",
        '"b"',
        "`${c}`",
        "'d'",
    ),
]
LANGUAGES = ["python", "javascript", "typescriptreact", "go", "rust", "c", "ruby", "plaintext"]


def unpaired(document: str, language: str, text: str = "") -> Unpaired:
    prefix, suffix = document.split("|")
    return Pairs(prefix, suffix, language_row(language)).with_text(text)


@pytest.mark.parametrize(
    ("language", "document", "brackets", "strings", "quotes"),
    [
        ("python", "f(|)\n", 0, 0, 0),
        ("python", "f(|\n", 1, 0, 0),
        ("python", 'x = """a|\n(\n', 1, 1, 0),
        ("python", 'x = """a\n|(\n"""\n', 0, 0, 0),
        ("python", '"""a\nf(\n|"""\nx = """)\n', 1, 1, 0),
        ("python", "x = 'a|\n", 0, 0, 1),
        ("python", "x = 'a\n|\n", 0, 0, 0),
        ("python", "# (' |\n", 0, 0, 0),
        ("javascript", "f('(', \"[\", `{`|) // (\n", 0, 0, 0),
        ("javascript", "x = /[(/]'/g|\n", 0, 0, 0),
        ("javascript", "f(\n  /(a'b)/,|\n)\n", 0, 0, 0),
        ("javascript", "x = a / b; y = '|' / 2\n", 0, 0, 0),
        ("javascript", "x = `a ${f(`b`)} ${g({})}|`; (\n", 1, 0, 0),
        ("javascript", "x = `a ${b|\n", 1, 1, 0),
        ("javascript", "/* it's\n|f(\n", 1, 1, 0),
        ("go", "x := `\\`|\n", 0, 0, 0),
        ("go", "x := '\\''|\n", 0, 0, 0),
        ("rust", 'x = r#"a"("#|;\n', 0, 0, 0),
        ("rust", 'x = "a\n(|";\n', 0, 0, 0),
        ("rust", "fn f<'a>(x: &'a str|) {}\n", 0, 0, 0),
        ("rust", "x = b'\"'|;\n", 0, 0, 0),
        ("plaintext", "I don't (|)\n", 0, 0, 0),
        ("plaintext", "say 'no (|\n", 1, 0, 1),
    ],
)
def test_what_has_no_partner(
    language: str, document: str, brackets: int, strings: int, quotes: int
) -> None:
    found = unpaired(document, language)
    assert (found.brackets, found.strings, found.quotes) == (brackets, strings, quotes)
    assert found.told == (strings == quotes == 0)
    assert found.none == (brackets == strings == quotes == 0)


@pytest.mark.parametrize(
    ("document", "closers"),
    [
        ("f(|);\n", 0),
        ("|);\n", 1),
        ("f({|\n);\n", 0),
        ("f(|\n  a: 1,\n});\n", 1),
        ("});\nf(|);\n", 0),
        ("f(|\n})\n})\n", 3),
    ],
)
def test_closers_behind_the_cursor_that_nobody_opened(document: str, closers: int) -> None:
    found = unpaired(document, "javascript")
    assert found.closers == closers
    assert found.others == found.brackets - closers


@pytest.mark.parametrize(
    ("language", "document", "text", "hides"),
    [
        ("rust", "f(|);\n", '"', ""),  # no other ends it: that is told by `strings`
        ("rust", 'f(|);\ng("b");\n', '"', "string"),
        ("rust", 'f(|);\ng("b");\n', '"a"', ""),
        ("javascript", "f(|);\n", "a // b", "comment"),
        ("javascript", "f(|);\n", "a /* b */", ""),
        ("javascript", "f(a)|  \ng();\n", "; // b", ""),
        ("javascript", "f(|) / 2;\n", "b /c", ""),
        ("javascript", "f(|) / 2;\n", "/c", "string"),
        ("python", 'f(|)\nx = """a"""\n', '"""', "string"),
    ],
)
def test_a_text_that_hides_what_stands_behind_it(
    language: str, document: str, text: str, hides: str
) -> None:
    assert unpaired(document, language, text).hides == hides


@pytest.mark.parametrize(
    ("document", "awaits"),
    [
        ("f(|);\n", False),
        ("|\n * because\n */\nf();\n", True),
        ("|\n/* a */\nf();\n", False),
        ("|\nf('*/');\n", False),
    ],
)
def test_a_suffix_that_ends_a_comment(document: str, awaits: bool) -> None:
    prefix, suffix = document.split("|")
    assert Pairs(prefix, suffix, language_row("javascript")).awaits_comment() == awaits


documents = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


@given(above=documents, text=documents, below=documents, language=st.sampled_from(LANGUAGES))
def test_a_file_is_read_the_same_however_it_is_cut(
    above: str, text: str, below: str, language: str
) -> None:
    row = language_row(language)
    cut = Pairs(above, below, row).with_text(text)
    whole = Pairs("", "", row).with_text(above + text + below)
    assert (cut.brackets, cut.strings) == (whole.brackets, whole.strings)
    assert Pairs(above + text, below, row).with_text("").brackets == cut.brackets
