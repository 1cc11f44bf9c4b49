"""Where an answer's tokens end in what is shown of it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.client import TokenTold
from completion.spelled import ends


def tokens(*texts: str) -> list[TokenTold]:
    return [TokenTold(text, -0.1 * number, {}) for number, text in enumerate(texts, 1)]


@pytest.mark.parametrize(
    ("answer", "texts", "heal", "shown", "expected"),
    [
        ("total = 1", ("total", " =", " 1"), "", "total = 1", [5, 7, 9]),
        # The first token spells what was healed as well.
        ("tal = 1", ("total", " =", " 1"), "x to", "tal = 1", [3, 5, 7]),
        # The end of an answer is no text.
        ("a b", ("a", " b", ""), "", "a b", [1, 3]),
        # Only a start is shown.
        ("a + b", ("a", " +", " b"), "", "a +", [1, 3, 3]),
        # Its lines were moved to the left, or white space before it was known.
        ("  a\n    b", ("  a", "\n   ", " b"), "", "a\n  b", [1, 4, 5]),
        # What is shown goes on in another way.
        ("a + b", ("a", " +", " b"), "", "a - b", [1, 5, 5]),
        ("", (), "", "", []),
    ],
)
def test_tokens_end_where_their_texts_do(
    answer: str, texts: tuple[str, ...], heal: str, shown: str, expected: list[int]
) -> None:
    assert [end for end, _ in ends(answer, tokens(*texts), heal, shown)] == expected


def test_each_end_has_its_token_s_nats() -> None:
    found = ends("ab", [TokenTold("a", -0.5, {}), TokenTold("b", -2.0, {})], "", "ab")
    assert found == ((1, -0.5), (2, -2.0))


@given(st.lists(st.text(min_size=1, max_size=6), max_size=8), st.data())
def test_ends_rise_and_stay_within_what_is_shown(texts: list[str], data: st.DataObject) -> None:
    answer = "".join(texts)
    shown = answer[: data.draw(st.integers(0, len(answer)))]
    found = [end for end, _ in ends(answer, tokens(*texts), "", shown)]
    true = list(itertools.accumulate(map(len, texts)))
    assert found == [min(end, len(shown)) for end in true]
