"""Rules that read code: indentation, comments, brackets in the whole file, what parses."""

import random
from pathlib import Path

import pytest

from completion.document import language_of
from completion.filters import finish
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
    ],
)
def test_what_does_not_parse_is_cut(language: str, document: str, text: str, kept: str) -> None:
    assert parsing_cut(document, text, language) == kept


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
