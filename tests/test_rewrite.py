"""Patches of several files at once, and that they are judged as templates' candidates are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.choose import change_size
from sandbox.repair.change import Candidate, Place, Rewrite
from sandbox.validate import Goal

OLD = {"a.py": "x = 1\ny = 2\nz = 3\n", "b.py": "def f():\n    return 1\n", "c.txt": "one\ntwo\n"}


def test_what_is_as_before_is_no_change() -> None:
    one = Rewrite((("a.py", OLD["a.py"]), ("b.py", "def f():\n    return 2\n")))
    assert one.changed(OLD) == {"b.py": "def f():\n    return 2\n"}


def test_places_are_the_lines_that_differ_in_each_file() -> None:
    one = Rewrite((("b.py", "def f():\n    return 2\n"), ("a.py", "x = 9\ny = 2\nz = 8\n")))
    assert one.places(OLD) == (Place("a.py", 1, 1), Place("a.py", 3, 3), Place("b.py", 2, 2))


@pytest.mark.parametrize(("path", "text"), [("new.py", "x = 1\n"), ("new.py", ""), ("b.py", None)])
def test_a_file_that_is_new_or_goes_is_one_place(path: str, text: str | None) -> None:
    (place,) = Rewrite(((path, text),)).places(OLD)
    assert (place.path, place.first) == (path, 1)


def test_tests_near_any_of_the_places_are_asked_first() -> None:
    covered = {
        "t_a": {"a.py": frozenset({20})},
        "t_b": {"b.py": frozenset({2})},
        "t_far": {"a.py": frozenset({90})},
    }
    goal = Goal((), tuple(covered), covered)
    assert goal.near(Place("a.py", 18, 18), Place("b.py", 1, 1)) == ["t_a", "t_b"]
    assert goal.near() == []


def test_size_is_summed_over_files_and_counts_lines_where_there_is_no_syntax() -> None:
    one = Rewrite((("b.py", "def f():\n    return 2\n"), ("c.txt", "one\nthree\n")))
    assert change_size(OLD, one) == 2 + 2


@given(st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12), st.data())
def test_a_candidate_and_the_rewrite_of_the_same_text_agree(rows: list[str], data) -> None:
    text = "".join(f"{row}\n" for row in rows)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    candidate = Candidate("m.txt", start, end, "new\n", "t", 0.5)
    sources = {"m.txt": text}
    whole = Rewrite((("m.txt", candidate.applied(text)),))
    assert whole.changed(sources) == {
        path: new for path, new in candidate.changed(sources).items() if new != text
    }
    (narrow,) = candidate.places(sources)
    if whole.changed(sources):
        # What differs lies around what was replaced: equal lines may be told as its neighbours.
        assert all(1 <= place.first <= place.last for place in whole.places(sources))
        assert narrow.first <= narrow.last
    else:
        assert whole.places(sources) == ()
