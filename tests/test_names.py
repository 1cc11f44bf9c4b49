"""Names that nobody knows, by table and as a property."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion.names import unknown_names

PYTHON = "import os\n\ndef total(rows, limit):\n    kept = rows[:limit]\n    |\n    return kept\n"
SCRIPT = "const rows = load();\nfunction show(one) {\n  |\n}\n"
GO = "package a\n\nfunc Total(rows []int) int {\n\tkept := rows[1:]\n\t|\n\treturn len(kept)\n}\n"
RUST = "fn total(rows: &[u32]) -> u32 {\n    let kept = &rows[1..];\n    |\n    0\n}\n"


def unknown(
    document: str,
    suggestion: str,
    language: str = "python",
    known: Callable[[str], bool] = lambda name: False,
) -> list[str]:
    prefix, suffix = document.split("|")
    return unknown_names(suggestion, prefix + suffix, len(prefix), language, known)


@pytest.mark.parametrize(
    ("suggestion", "names"),
    [
        ("kept = sorted(rows)", []),
        ("kept = arrange(rows)", ["arrange"]),
        ("kept = arrange(arrange(kept))", ["arrange"]),
        ("kept.append(limit)", []),
        ("kept.prepend(limit)", ["prepend"]),
        ("os.total(kept)", []),
        ("for row in rows:\n        print(row)", []),
        ("for a, b in rows:\n        print(a, b)", []),
        ("kept = [row for row in rows if row]", []),
        ("kept = sorted(rows, key=lambda row: row)", []),
        ("first, last = kept\n    return first", []),
        ("first: int = 1\n    print(first)", []),
        ("if (n := len(rows)):\n        print(n)", []),
        ("with open(limit) as stream:\n        stream.read()", []),
        ("try:\n        pass\n    except OSError as error:\n        raise error", []),
        ("def helper(value, other=1):\n        return value + other", []),
        ("import json\n    json.close()", []),
        ("from json import loads\n    loads(limit)", []),
        ("print('arrange the rows')", []),
        ("kept = limit  # arrange them", []),
        ("if unheard:\n        pass", ["unheard"]),
        ("", []),
    ],
)
def test_in_python(suggestion: str, names: list[str]) -> None:
    assert unknown(PYTHON, suggestion) == names


@pytest.mark.parametrize(
    ("document", "language", "suggestion", "names"),
    [
        (SCRIPT, "javascript", "console.log(one);", []),
        (SCRIPT, "javascript", "const two = one.map((part) => part.length);", []),
        (SCRIPT, "typescript", "const two: Record<string, number> = rows;", []),
        (SCRIPT, "javascript", "arrange(one);", ["arrange"]),
        (SCRIPT, "javascript", "return { one, other: rows };", []),
        (GO, "go", "kept = append(kept, 1)", []),
        (GO, "go", "first, err := parse(rows)", ["parse"]),
        (RUST, "rust", "let first = kept.iter().map(|one| one + 1).sum::<u32>();", []),
        (RUST, "rust", "arrange(kept);", ["arrange"]),
        ("a = 1\n|\n", "unheard of", "a = b", ["b"]),
    ],
)
def test_in_other_languages(
    document: str, language: str, suggestion: str, names: list[str]
) -> None:
    assert unknown(document, suggestion, language) == names


def test_the_index_may_know_a_name_and_is_asked_for_no_other() -> None:
    asked: list[str] = []

    def known(name: str) -> bool:
        asked.append(name)
        return name == "arrange"

    assert unknown(PYTHON, "kept = arrange(rows.shuffled())", known=known) == ["shuffled"]
    assert asked == ["arrange", "shuffled"]


def test_a_word_that_the_cursor_stands_in_is_read_whole() -> None:
    assert unknown("rows = 1\nro|\n", "ws = 2") == []
    assert unknown("rows = 1\nx = |ws\n", "ro") == []


@pytest.mark.parametrize(
    "document", ['x = "|"\n', "# |\n", 'def f():\n    """|"""\n    return 1\n']
)
def test_no_names_in_strings_and_comments(document: str) -> None:
    assert unknown(document, "arrange(rows)") == []


LANGUAGES = ["python", "javascript", "typescriptreact", "go", "rust", "c", "plaintext"]


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.sampled_from(LANGUAGES))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_names_of_the_suggestion(
    before: str, suggestion: str, after: str, language: str
) -> None:
    before, suggestion, after = (t.replace("\r", "") for t in (before, suggestion, after))
    found = unknown_names(suggestion, before + after, len(before), language)
    whole = before + suggestion + after
    assert len(set(found)) == len(found)
    assert all(name in whole for name in found)
    assert unknown_names(suggestion, before + after, len(before), language, lambda _: True) == []
