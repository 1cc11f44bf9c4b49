"""Pieces of a document: followed exactly through any edit, and judged by what still stands."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.changes import Change
from completion.kept import Piece, kept

texts = st.text(st.sampled_from("ab_ (\n"), max_size=40)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, int, str, list[Change], str]:
    """A text before, where a piece is put, the piece, edits after that, and the text at the end."""
    text, piece = draw(texts), draw(texts.filter(bool))
    place = draw(st.integers(0, len(text)))
    now = text[:place] + piece + text[place:]
    changes = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(now)))
        end = draw(st.integers(start, len(now)))
        change = Change(start, now[start:end], draw(texts))
        changes.append(change)
        now = change.apply(now)
    return text, place, piece, changes, now


@given(edits())
def test_a_piece_always_knows_what_stands_in_its_place(
    example: tuple[str, int, str, list[Change], str],
) -> None:
    _, place, text, changes, now = example
    piece = Piece.at(place, text)
    for change in changes:
        piece.follow(change)
    assert now[piece.start : piece.end] == piece.now
    assert 0 <= piece.kept <= len(text)


@given(edits())
def test_edits_elsewhere_leave_all_of_it(
    example: tuple[str, int, str, list[Change], str],
) -> None:
    _, place, text, changes, _ = example
    piece = Piece.at(place, text)
    for change in changes:
        if change.end <= piece.start or change.start >= piece.end:
            piece.follow(change)
    assert piece.now == text
    assert piece.kept == len(text)


def test_what_is_typed_at_its_ends_does_not_belong_to_it() -> None:
    piece = Piece.at(2, "abc")
    piece.follow(Change(5, "", "after"))
    piece.follow(Change(2, "", "before"))
    assert (piece.start, piece.now) == (8, "abc")


def test_what_is_deleted_and_comes_back_by_undo_is_kept() -> None:
    piece = Piece.at(2, "abc")
    piece.follow(Change(2, "abc", ""))
    assert piece.kept == 0
    piece.follow(Change(0, "", "xx"))
    piece.follow(Change(4, "", "abc"))
    assert piece.kept == 3


def test_a_deletion_across_its_end_leaves_its_beginning() -> None:
    piece = Piece.at(4, "return value")
    piece.follow(Change(10, " value\nmore", ""))
    assert (piece.now, piece.kept) == ("return", 6)


@pytest.mark.parametrize(
    ("text", "now", "count"),
    [
        ("return a + b", "return a + b", 12),
        ("return a + b", "    return a + b  # sum", 12),
        ("return a + b", "return a - b", 11),
        ("return total", "return totals", 7),
        ("return a + b", "", 0),
        ("load(path)", "open(path)", 6),
        ("a\n    b", "a\n        b", 7),
        ("first(1)\nsecond(2)", "second(2)\nfirst(1)", 9),
    ],
)
def test_kept_is_counted_in_whole_words_and_signs(text: str, now: str, count: int) -> None:
    assert kept(text, now) == count


def test_a_far_longer_text_keeps_only_whole_lines() -> None:
    other = "\n".join(f"result_{n} = compute(first, second) + {n}" for n in range(60))
    assert kept("x = compute(a)", other) == 0
    assert kept("x = compute(a)\ny = x + 1", f"{other}\ny = x + 1\n{other}") == len("y = x + 1")


@given(texts, texts)
def test_kept_is_the_same_both_ways_and_never_more_than_either(a: str, b: str) -> None:
    assert kept(a, b) == kept(b, a) <= min(len(a), len(b))
    assert kept(a, a) == len(a)


@given(texts, texts, texts)
def test_what_stands_there_unbroken_is_kept_whole(a: str, before: str, after: str) -> None:
    assert kept(a, f"{before}\n{a}\n{after}") == len(a)


@given(st.lists(st.sampled_from(["a", "bc", " ", "("]), max_size=9), st.data())
def test_it_is_the_longest_common_sequence_of_words(words: list[str], data: st.DataObject) -> None:
    """Against all sequences there are. Words stand apart here, or two would be one."""
    other = data.draw(st.lists(st.sampled_from(["a", "bc", " ", "("]), max_size=9))
    joined, others = "|".join(words), "|".join(other)
    assert kept(joined, others) >= _longest(list(_units(words)), list(_units(other)))


def _units(words: list[str]) -> list[str]:
    return [unit for n, word in enumerate(words) for unit in ((["|"] if n else []) + [word])]


def _longest(a: list[str], b: list[str]) -> int:
    row = [0] * (len(b) + 1)
    for one in a:
        before = row
        row = [0]
        for n, two in enumerate(b):
            same = before[n] + len(one) if one == two else 0
            row.append(max(same, row[-1], before[n + 1]))
    return row[-1]


def test_a_whole_file_against_another_takes_no_noticeable_time() -> None:
    """Quadratic in a loop of Python this would take minutes, and the tests' own limit is less."""
    a = "".join(f"name_{n} = other[{n % 7}]\n" for n in range(1500))
    b = "".join(f"name_{n} = another[{n % 5}]\n" for n in range(1500))
    began = time.process_time()
    assert 0 < kept(a, b) < len(a)
    assert time.process_time() - began < 60
