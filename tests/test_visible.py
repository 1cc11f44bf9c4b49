"""Text from outside does nothing to a terminal or a page."""

from hypothesis import given
from hypothesis import strategies as st

from tandem.page import esc
from tandem.visible import printable, visible

any_text = st.text(st.characters(codec=None), max_size=40)


@given(any_text)
def test_it_can_be_written_and_holds_no_control(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not any(ord(c) < 0x20 and c not in "\t\n" for c in shown)
    assert "\x1b" not in shown
    assert printable(text).plain == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_what_would_be_obeyed_is_spelled_out() -> None:
    assert visible("\x1b[2J\u202eabc\ud800") == r"\u001b[2J\u202eabc\ud800"


@given(any_text)
def test_no_markup_gets_through(text: str) -> None:
    assert not set(esc(text)) & set("<>\"'")
