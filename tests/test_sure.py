"""How much of a suggestion is shown: the start that saves the most keys."""

import itertools
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.sure import CALIBRATION, LEAST, LOOK, sure_part


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


@pytest.mark.parametrize(("text", "end"), [("row_count_total", 10), ("rowCountTotal", 8)])
def test_but_between_the_words_of_a_name(text: str, end: int) -> None:
    assert sure_part(text, [(end, -0.01), (len(text), -4.0)], anywhere) == end


def test_nor_where_it_may_not_end() -> None:
    text = "print(value) if x"
    tokens = [(5, 0.0), (6, -0.02), (11, -0.03), (12, -0.01), (17, -6.0)]
    assert sure_part(text, tokens, anywhere) == 12
    assert sure_part(text, tokens, lambda part: part == "print") == 5


def test_a_doubtful_line_is_left_out() -> None:
    text = "first = 1\nsecond = 2\nthird"
    tokens = [(9, -0.01), (10, 0.0), (16, 0.0), (18, -0.01), (20, 0.0), (21, -3.0), (26, -3.0)]
    assert text[: sure_part(text, tokens, anywhere)] == "first = 1\nsecond = 2"


def test_a_line_break_before_the_first_line_is_no_line() -> None:
    text = "\n    value = compute(other)"
    tokens = [(5, 0.0), (10, -0.1), (12, -0.1), (20, -3.0), (27, -3.0)]
    assert text[: sure_part(text, tokens, anywhere)] == "\n    value ="
    assert sure_part(text, [(5, -0.1), (10, -9.0), (27, -0.1)], anywhere) == len(text)


def test_less_than_a_few_characters_are_not_worth_a_look() -> None:
    assert sure_part("a = bbbbbbbb", [(1, 0.0), (3, -4.0), (12, -4.0)], anywhere) != 1


def test_a_sure_start_is_shown_before_what_is_likely_but_not_sure() -> None:
    """The rest follows when it is taken, for one key: less than what one time in three loses."""
    text = "self.connection.execute(query)"
    tokens = [(4, 0.0), (15, 0.0), (16, 0.0), (23, 0.0), (30, math.log(0.66))]
    assert text[: sure_part(text, tokens, anywhere)] == "self.connection.execute"
    sure = [(4, 0.0), (15, 0.0), (16, 0.0), (23, 0.0), (30, math.log(0.95))]
    assert sure_part(text, sure, anywhere) == len(text)


def plans(cuts: list[int]) -> Iterator[tuple[int, ...]]:
    """All ways to show a text in parts that end at some of these places, and at the last."""
    for count in range(len(cuts)):
        for some in itertools.combinations(cuts[:-1], count):
            yield (*some, cuts[-1])


def keys(plan: tuple[int, ...], chance: dict[int, float]) -> float:
    """That showing the parts of a plan saves on average."""
    if not plan:
        return 0.0
    saved, at = 0.0, 0
    for end in plan:
        saved += chance[end] * (end - at - 1) - chance[at] * LOOK
        at = end
    return saved


@given(st.data())
def test_no_other_parts_save_more(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(LEAST, 9), min_size=1, max_size=6))
    text = " ".join("a" * (size - bool(at)) for at, size in enumerate(sizes))
    cuts = list(itertools.accumulate(sizes))
    nats = [data.draw(st.floats(-3, 0)) for _ in cuts]
    sums = itertools.accumulate(nats)
    chance = {0: 1.0} | {
        end: math.exp(CALIBRATION * nat) for end, nat in zip(cuts, sums, strict=True)
    }
    kept = sure_part(text, list(zip(cuts, nats, strict=True)), anywhere)
    best = {plan: keys(plan, chance) for plan in plans(cuts)}
    those = [saved for plan, saved in best.items() if plan[0] == kept]
    assert max(those) == pytest.approx(max(best.values()))


@given(st.text("ab_. (\n", min_size=1, max_size=30), st.data())
def test_a_part_is_a_start_of_the_text(text: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.sets(st.integers(1, len(text)), max_size=8)) | {len(text)})
    nats = [data.draw(st.floats(-900, 0)) for _ in ends]
    kept = sure_part(text, list(zip(ends, nats, strict=True)), anywhere)
    assert 0 < kept <= len(text)
    assert kept == len(text) or len(text[:kept].rstrip()) >= LEAST
