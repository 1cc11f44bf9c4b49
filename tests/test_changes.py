"""Changes between two texts: small, in order, and exact."""

from hypothesis import given
from hypothesis import strategies as st

from completion.changes import Change, between

texts = st.text(st.sampled_from("ab\n x"), max_size=60)
many_lines = st.lists(st.sampled_from(["a", "bb", "c c", "", " x"]), max_size=12).map("\n".join)


def carried_out(changes: list[Change], text: str) -> str:
    for change in changes:
        text = change.apply(text)
    return text


@given(texts | many_lines, texts | many_lines)
def test_they_lead_from_one_text_to_the_other(old: str, new: str) -> None:
    assert carried_out(between(old, new), old) == new


@given(texts, texts, texts)
def test_they_stand_where_the_text_stands(before: str, old: str, new: str) -> None:
    assert carried_out(between(old, new, len(before)), before + old) == before + new


@given(many_lines, many_lines)
def test_none_of_them_repeats_what_it_replaces(old: str, new: str) -> None:
    for change in between(old, new):
        assert change.removed != change.inserted
        assert not (change.removed and change.inserted) or (
            change.removed[0] != change.inserted[0] and change.removed[-1] != change.inserted[-1]
        )


def test_equal_texts_have_none() -> None:
    assert between("a\nb", "a\nb") == []


def test_a_whole_text_with_one_new_word_is_that_word() -> None:
    old = "def f(a):\n    return a\n\nprint(f(1))\n"
    assert between(old, old.replace("return a", "return a + b")) == [Change(22, "", " + b")]


def test_a_formatter_that_touches_every_line_is_one_change_a_line() -> None:
    old = "a=1\nb=2\nkeep\nc=3\n"
    changes = between(old, "a = 1\nb = 2\nkeep\nc = 3\n")
    assert [change.removed for change in changes] == ["=", "=", "="]
    assert [change.start for change in changes] == [14, 5, 1]


def test_lines_that_came_and_went_are_told_apart() -> None:
    old = "one\ntwo\nthree\nfour\n"
    changes = between(old, "zero\none\nthree\nfour\nfive\n")
    assert sorted((change.removed, change.inserted) for change in changes) == [
        ("", "\nfive"),
        ("", "zero\n"),
        ("two\n", ""),
    ]


def test_what_follows_moves_by_the_difference() -> None:
    change = Change(3, "ab", "cdefg")
    assert (change.end, change.shift) == (5, 3)
