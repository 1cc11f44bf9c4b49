"""What is left of a text that is too long."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.ends import ends


def test_a_text_that_fits_stays_as_it_is() -> None:
    assert ends("abc", 3) == "abc"


def test_of_a_long_one_the_end_is_kept_unless_the_beginning_is_asked_for() -> None:
    assert ends("abcdefghij", 6) == "ab\n[4 characters left out]\nghij"
    assert ends("abcdefghij", 6, head=2 / 3) == "abcd\n[4 characters left out]\nij"
    assert ends("a" * 5000, 2, head=0) == "\n[4,998 characters left out]\naa"


@given(st.text(max_size=400), st.integers(1, 300), st.floats(0, 1))
def test_what_is_kept_and_what_is_told_to_be_left_out_are_the_whole(
    text: str, most: int, head: float
) -> None:
    seen = ends(text, most, head)
    if len(text) <= most:
        assert seen == text
        return
    mark = f"\n[{len(text) - most:,} characters left out]\n"
    first = int(most * head)
    assert seen[:first] == text[:first]
    assert seen[first : first + len(mark)] == mark
    last = seen[first + len(mark) :]
    assert text.endswith(last)
    assert first + len(last) == most
