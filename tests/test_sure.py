"""How much of a suggestion is shown: the start that saves the most keys."""

import math

from hypothesis import given
from hypothesis import strategies as st

from completion.sure import CALIBRATION, LEAST, sure_part


def anywhere(_: str) -> bool:
    return True


def test_without_log_probabilities_it_is_the_whole() -> None:
    assert sure_part("total * 2", (), anywhere) == 9


def test_what_is_sure_is_shown_to_its_end() -> None:
    assert sure_part("total * 2", [(5, -0.1), (7, -0.1), (9, -0.1)], anywhere) == 9


def test_a_doubtful_end_is_left_out() -> None:
    text = "self.total + something_else"
    assert sure_part(text, [(4, -0.1), (10, -0.1), (12, -2.5), (27, -3.0)], anywhere) == 10


def test_it_is_not_cut_within_a_word() -> None:
    text = "something_else"
    assert sure_part(text, [(9, -0.1), (14, -4.0)], anywhere) == 14


def test_nor_where_it_may_not_end() -> None:
    text = "print(value) if x"
    tokens = [(5, 0.0), (6, -0.2), (11, -0.3), (12, -0.1), (17, -6.0)]
    assert sure_part(text, tokens, anywhere) == 12
    assert sure_part(text, tokens, lambda part: part == "print") == 5


def test_a_doubtful_line_is_left_out() -> None:
    text = "first = 1\nsecond = 2\nthird"
    tokens = [(9, -0.1), (10, 0.0), (16, -0.1), (18, -0.1), (20, -0.1), (21, -3.0), (26, -3.0)]
    assert text[: sure_part(text, tokens, anywhere)] == "first = 1\nsecond = 2"


def test_a_line_break_before_the_first_line_is_no_line() -> None:
    text = "\n    value = compute(other)"
    tokens = [(5, 0.0), (10, -0.1), (12, -0.1), (20, -3.0), (27, -3.0)]
    assert text[: sure_part(text, tokens, anywhere)] == "\n    value ="
    assert sure_part(text, [(5, -0.1), (10, -9.0), (27, -0.1)], anywhere) == len(text)


def test_less_than_a_few_characters_are_not_worth_a_look() -> None:
    assert sure_part("a = bbbbbbbb", [(1, 0.0), (3, -4.0), (12, -4.0)], anywhere) != 1


words = st.text("ab_. (\n", min_size=1, max_size=30)


@given(text=words, data=st.data())
def test_it_saves_at_least_as_much_as_the_whole(text: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.sets(st.integers(1, len(text)), max_size=8)) | {len(text)})
    nats = [data.draw(st.floats(-5, 0)) for _ in ends]
    tokens = list(zip(ends, nats, strict=True))
    kept = sure_part(text, tokens, anywhere)
    assert 0 < kept <= len(text)
    assert kept == len(text) or len(text[:kept].rstrip()) >= LEAST
    sums = {end: sum(nats[: n + 1]) for n, end in enumerate(ends)}
    whole = math.exp(CALIBRATION * sums[len(text)]) * (len(text.rstrip()) - 1)
    likeliest = max(nat for end, nat in sums.items() if end >= kept)
    assert math.exp(CALIBRATION * likeliest) * (kept - 1) >= whole or kept == len(text)
