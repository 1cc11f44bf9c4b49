"""The rows of the languages, and what a row without statements leaves as it was."""

from pathlib import Path

import pytest

from completion.document import language_of
from completion.hole import hole_kind
from completion.languages import PLAINTEXT, ROWS
from completion.lexer import Lexer
from completion.statements import spans
from completion.syntax import grammar_of
from finetune import held_out
from finetune.files import LANGUAGE_OF

OTHERS = [name for name, row in ROWS.items() if not row.has_statements]


@pytest.mark.parametrize(
    ("path", "language"),
    [
        *(("a.py", "python"), ("a.pyi", "python"), ("A.PY", "python"), ("a.mjs", "javascript")),
        *(("a.jsx", "javascriptreact"), ("a.cts", "typescript"), ("a.tsx", "typescriptreact")),
        *(("a.go", "go"), ("a.rs", "rust"), ("a.java", "java"), ("a.c", "c"), ("a.h", "c")),
        *(("a.cc", "cpp"), ("a.hpp", "cpp"), ("a.cs", "csharp"), ("a.rb", "ruby")),
        *(("a.php", "php"), ("a.sh", "shellscript"), ("a.lua", "lua"), ("a.kts", "kotlin")),
        *((".bashrc", "shellscript"), ("w/Gemfile", "ruby"), ("Gemfile.lock", "plaintext")),
        *(("a", "plaintext"), (".py", "plaintext"), ("a.txt", "plaintext")),
    ],
)
def test_language_of_a_path(path: str, language: str) -> None:
    assert language_of(Path(path)) == language


def test_no_ending_and_no_file_name_belongs_to_two_languages() -> None:
    for names in (
        [ending for row in ROWS.values() for ending in row.endings],
        [file for row in ROWS.values() for file in row.files],
    ):
        assert len(names) == len(set(names))


@pytest.mark.parametrize("language", ROWS)
def test_every_row_has_a_grammar_and_queries(language: str) -> None:
    row = ROWS[language]
    assert row.name == language
    assert grammar_of(language) is not None
    assert row.queries


def test_every_language_stands_in_the_docs_with_its_files() -> None:
    table = (Path(__file__).parent.parent / "docs" / "languages.md").read_text("utf-8")
    for row in ROWS.values():
        line = next(line for line in table.split("\n") if f" {row.name} " in line.replace(",", " "))
        assert all(f"{name}" in line for name in (*row.endings, *row.files))


def test_the_model_knows_the_statements_of_python_alone() -> None:
    assert [name for name, row in ROWS.items() if row.has_statements] == ["python"]


# The shipped model was trained on single lines of these.


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize(
    "code", ["|", "x = 1;\n|", "f(|)", "function f() {\n  |\n}\n", "if x:\n    |"]
)
def test_a_hole_is_a_line_where_statements_are_unknown(language: str, code: str) -> None:
    offset = code.index("|")
    text = code[:offset] + code[offset + 1 :]
    hole = hole_kind(text, offset, language)
    plain = hole_kind(text, offset, PLAINTEXT.name)
    assert hole.kind == "line"
    assert (hole.indent, hole.inside, hole.closers) == (plain.indent, plain.inside, plain.closers)


@pytest.mark.parametrize("language", OTHERS)
def test_a_prompt_is_cut_at_lines_where_statements_are_unknown(language: str) -> None:
    assert spans("class A {\n  int f() { return 1; }\n}\n", language) == ()


@pytest.mark.parametrize("language", OTHERS)
def test_the_lexer_reads_other_languages_as_plain_text(language: str) -> None:
    text = "it doesn't `matter` // {\n# (x\n/* \"*/ ["
    lexer, plain = Lexer(ROWS[language]), Lexer(PLAINTEXT)
    assert lexer.feed(text) == plain.feed(text)
    assert (lexer.stack, lexer.quote) == (plain.stack, plain.quote)
    assert (lexer.comment, lexer.last) == (plain.comment, plain.last)


def test_training_and_evaluation_choose_the_files_they_chose() -> None:
    expected = {
        "python": {".py", ".pyi"},
        "javascript": {".js", ".jsx", ".mjs", ".cjs"},
        "typescript": {".ts", ".tsx", ".mts", ".cts"},
        "go": {".go"},
        "rust": {".rs"},
        "java": {".java"},
        "c": {".c", ".h"},
    }
    found: dict[str, set[str]] = {}
    for ending, name in LANGUAGE_OF.items():
        found.setdefault(name, set()).add(ending)
    assert found == expected
    assert set(held_out._ENDINGS) == expected["python"]
