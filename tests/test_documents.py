"""Positions, edits and line endings of open documents, against a model that keeps plain text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from completion.changes import Change
from lsp.documents import Documents, OpenDocument, characters, path_of, units

ENCODINGS = ["utf-8", "utf-16", "utf-32"]
CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}

# Few letters, so that breaks meet breaks; among them what Python, but not LSP, breaks lines at.
pieces = st.sampled_from(["a", "b ", "é", "語", "😀", "\n", "\r", "\r\n", "\f", "\u2028", "\x85"])
texts = st.lists(pieces, max_size=12).map("".join)


def opened(text: str, encoding: str = "utf-16", uri: str = "file:///w/a.py") -> OpenDocument:
    return OpenDocument(types.TextDocumentItem(uri, "python", 1, text), encoding)


def lines_of(text: str) -> list[str]:
    """Lines without their breaks, as LSP defines them."""
    return re.split("\r\n|\r|\n", text)


def position_of(text: str, index: int, encoding: str) -> types.Position:
    """The position of a character of a text; inside a CRLF, the place before it."""
    if text[max(index - 1, 0) : index + 1] == "\r\n":
        index -= 1
    lines = lines_of(text[:index])
    codec, width = CODECS[encoding]
    return types.Position(len(lines) - 1, len(lines[-1].encode(codec)) // width)


def index_of(text: str, position: types.Position, encoding: str) -> int:
    """The model's way back: look through every place of the text."""
    places = [n for n in range(len(text) + 1) if position_of(text, n, encoding) == position]
    return places[0]


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str, list[tuple[int, int, str]]]:
    encoding = draw(st.sampled_from(ENCODINGS))
    places = st.integers(0, 40)
    changes = st.lists(st.tuples(places, places, texts), min_size=1, max_size=6)
    return draw(texts), encoding, draw(changes)


@given(edits())
def test_edits_give_the_text_that_plain_slicing_gives(
    case: tuple[str, str, list[tuple[int, int, str]]],
) -> None:
    text, encoding, changes = case
    document = opened(text, encoding)
    for one, other, new in changes:
        ends = sorted((min(one, len(text)), min(other, len(text))))
        first, last = (position_of(text, end, encoding) for end in ends)
        start, stop = (index_of(text, position, encoding) for position in (first, last))
        text = text[:start] + new + text[stop:]
        change = types.TextDocumentContentChangePartial(types.Range(first, last), new)
        document.apply(change, 0.0)
        assert document.text == text
        assert document.at(types.Position(0, 0)).document.text == "\n".join(lines_of(text))


@given(texts, st.sampled_from(ENCODINGS), st.integers(0, 40))
def test_offset_counts_characters_of_the_text_with_plain_line_ends(
    text: str, encoding: str, index: int
) -> None:
    position = position_of(text, min(index, len(text)), encoding)
    cursor = opened(text, encoding).at(position)
    before = text[: index_of(text, position, encoding)]
    assert cursor.document.text[: cursor.offset] == "\n".join(lines_of(before))
    assert cursor.position == position


@given(texts, st.sampled_from(ENCODINGS), st.integers(0, 20), st.integers(0, 60))
def test_any_position_is_clamped_into_the_text(
    text: str, encoding: str, line: int, column: int
) -> None:
    document = opened(text, encoding)
    cursor = document.at(types.Position(line, column))
    assert 0 <= cursor.offset <= len(cursor.document.text)
    assert document.at(cursor.position) == cursor


@given(st.text(st.sampled_from("ab é語😀"), max_size=12), st.sampled_from(ENCODINGS))
def test_characters_undoes_units(line: str, encoding: str) -> None:
    for count in range(len(line) + 1):
        assert characters(line, units(line[:count], encoding), encoding) == count


@pytest.mark.parametrize(
    ("encoding", "column"), [("utf-8", 9), ("utf-16", 7), ("utf-32", 6)], ids=ENCODINGS
)
def test_a_character_outside_the_bmp_counts_by_encoding(encoding: str, column: int) -> None:
    cursor = opened('x = "😀', encoding).at(types.Position(0, column))
    assert cursor.offset == 6


def test_a_position_inside_a_surrogate_pair_is_before_the_character() -> None:
    cursor = opened("a😀b").at(types.Position(0, 2))
    assert (cursor.offset, cursor.position.character) == (1, 1)


def test_a_line_past_the_end_is_the_end_of_the_file() -> None:
    cursor = opened("one\ntwo").at(types.Position(9, 0))
    assert (cursor.offset, cursor.position) == (7, types.Position(1, 3))


def test_a_column_past_the_end_is_the_end_of_the_line() -> None:
    cursor = opened("one\r\ntwo").at(types.Position(0, 99))
    assert (cursor.offset, cursor.position) == (3, types.Position(0, 3))


def test_an_edit_past_the_end_is_appended() -> None:
    document = opened("one\n")
    nowhere = types.Position(99, 99)
    document.apply(
        types.TextDocumentContentChangePartial(types.Range(nowhere, nowhere), "two"), 0.0
    )
    assert document.text == "one\ntwo"


def test_a_range_given_backwards_is_read_forwards() -> None:
    document = opened("abcd")
    backwards = types.Range(types.Position(0, 3), types.Position(0, 1))
    document.apply(types.TextDocumentContentChangePartial(backwards, "-"), 0.0)
    assert document.text == "a-d"


def test_a_change_without_a_range_is_the_whole_text() -> None:
    document = opened("old")
    document.apply(types.TextDocumentContentChangeWholeDocument("new\r\n"), 0.0)
    assert document.text == "new\r\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_suggestion_gets_the_line_ending_of_the_document(newline: str) -> None:
    cursor = opened(f"a{newline}b{newline}").at(types.Position(1, 1))
    assert cursor.document.text == "a\nb\n"
    assert cursor.insertion("x\ny") == f"x{newline}y"


def test_a_mixed_document_gives_the_line_ending_above_the_cursor() -> None:
    document = opened("a\r\nb\nc\n")
    assert document.at(types.Position(1, 0)).newline == "\r\n"
    assert document.at(types.Position(2, 0)).newline == "\n"


def test_lone_surrogates_become_replacement_characters_of_the_same_length() -> None:
    document = opened("a\ud800b")
    assert document.at(types.Position(0, 3)).document.text == "a\ufffdb"


def test_the_language_given_by_the_editor_wins_over_the_file_ending() -> None:
    item = types.TextDocumentItem("file:///w/a.py", "markdown", 1, "")
    assert OpenDocument(item, "utf-16").language == "markdown"
    unnamed = types.TextDocumentItem("file:///w/a.py", "", 1, "")
    assert OpenDocument(unnamed, "utf-16").language == "python"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///w/my%20file.py", "/w/my file.py"),
        ("untitled:Untitled-1", "Untitled-1"),
        ("untitled:/w/new.py", "/w/new.py"),
        ("vscode-notebook-cell:/w/book.ipynb#W1sZmlsZQ", "/w/book.ipynb"),
        ("git:/w/.env?ref", "/w/.env"),
        ("", "untitled"),
        ("http://[broken/.env", ".env"),
    ],
)
def test_every_uri_names_a_path(uri: str, path: str) -> None:
    assert path_of(uri) == Path(path)


def test_a_uri_quoted_differently_is_the_same_document() -> None:
    documents = Documents()
    documents.open(types.TextDocumentItem("file:///c%3A/a%20b.py", "python", 1, "x"))
    assert documents.get("file:///c:/a b.py") is not None


def test_an_edit_of_a_document_that_is_not_open_changes_nothing() -> None:
    documents = Documents()
    identifier = types.VersionedTextDocumentIdentifier(2, "file:///w/a.py")
    documents.change(identifier, [types.TextDocumentContentChangeWholeDocument("x")])
    assert documents.get("file:///w/a.py") is None


def test_an_edit_of_a_large_document_touches_only_its_own_lines() -> None:
    document = opened("value = 1\n" * 500_000)
    lines = document._lines
    untouched = lines[:1000] + lines[1001:]
    place = types.Position(1000, 9)
    document.apply(types.TextDocumentContentChangePartial(types.Range(place, place), "0"), 0.0)
    assert document._lines is lines
    assert lines[1000] == "value = 10"
    assert all(a is b for a, b in zip(lines[:1000] + lines[1001:], untouched, strict=True))


# Without a lone "\r": where one meets a "\n", two breaks become one.
whole = st.lists(st.sampled_from(["a", "b ", "é😀", "\n", "\r\n"]), max_size=12).map("".join)


@given(
    whole,
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), whole), max_size=5),
    st.sampled_from(ENCODINGS),
)
def test_edits_are_told_as_changes_of_the_plain_text(
    text: str, edits: list[tuple[int, int, str]], encoding: str
) -> None:
    documents = Documents()
    documents.encoding = encoding
    documents.open(types.TextDocumentItem("file:///w/a.py", "python", 1, text))
    document = documents.get("file:///w/a.py")
    assert document is not None
    plain = document.plain
    for version, (start, end, new) in enumerate(edits, 2):
        now = document.text
        places = [position_of(now, min(index, len(now)), encoding) for index in (start, end)]
        change: types.TextDocumentContentChangeEvent
        change = types.TextDocumentContentChangePartial(types.Range(*places), new)
        if start == end:
            change = types.TextDocumentContentChangeWholeDocument(new)
        identifier = types.VersionedTextDocumentIdentifier(version, "file:///w/a.py")
        for made in documents.change(identifier, [change], told=True):
            plain = made.apply(plain)
        assert plain == document.plain


def test_an_insertion_is_told_where_the_editor_put_it() -> None:
    """Not where the same text might have come in as well."""
    document = opened("aaa")
    here = types.Position(0, 1)
    change = types.TextDocumentContentChangePartial(types.Range(here, here), "aa")
    assert document.told(change) == [Change(1, "", "aa")]
