"""Which of several candidates is shown, and what told for and against it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.rank import WEIGHTS, Candidate, Weights, order

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        text=st.sampled_from(["", " ", "a", "b", "a()", "c\n"]),
        logprobs=st.lists(st.floats(-9, 0), max_size=4).map(tuple),
        suffix_gain=st.none() | st.floats(-9, 9),
        parses=st.booleans(),
        unknown=st.integers(0, 3),
    ),
    max_size=8,
)
EVERY = Weights(first=0.3, token=0.1, suffix=0.5)


def texts(*candidates: Candidate, weights: Weights = WEIGHTS) -> list[str]:
    return [ranked.candidate.text for ranked in order(candidates, weights)]


def test_the_likeliest_comes_first() -> None:
    assert texts(Candidate("a", (-3.0,)), Candidate("b", (-1.0, -1.0))) == ["b", "a"]


def test_of_equally_good_ones_the_greedy_one_stays_first() -> None:
    assert texts(Candidate("a", (-1.0,)), Candidate("b", (-1.0,))) == ["a", "b"]


def test_without_log_probabilities_of_all_likelihood_says_nothing() -> None:
    assert texts(Candidate("a", (-9.0,)), Candidate("b")) == ["a", "b"]


def test_a_syntax_error_and_unknown_names_count_against() -> None:
    assert texts(Candidate("a", (-1.0,), parses=False), Candidate("b", (-2.0,))) == ["b", "a"]
    assert texts(Candidate("a", (-1.0,), unknown=2), Candidate("b", (-2.0,))) == ["b", "a"]


def test_the_suffix_counts_only_where_it_is_known_of_all() -> None:
    known, other = Candidate("a", (-1.0,), suffix_gain=-9.0), Candidate("b", (-2.0,))
    assert texts(known, other, weights=EVERY) == ["a", "b"]
    also = Candidate("b", (-2.0,), suffix_gain=0.0)
    assert texts(known, also, weights=EVERY) == ["b", "a"]


def test_equal_texts_are_one_candidate_with_the_better_score_and_the_first_place() -> None:
    [ranked] = order([Candidate("a", (-5.0,)), Candidate("a", (-1.0,))])
    assert (ranked.index, ranked.score) == (0, -1.0)


def test_each_part_of_a_score_is_told() -> None:
    [ranked] = order([Candidate("a", (-1.0, -0.5), -2.0, False, 1)], EVERY)
    assert ranked.told() == {
        "index": 0,
        "score": pytest.approx(-6.0),
        "parts": {
            "first": 0.3,
            "likelihood": -1.5,
            "length": 0.2,
            "suffix": -1.0,
            "syntax": -3.0,
            "names": -1.0,
        },
    }


@given(candidates=CANDIDATES)
def test_every_text_is_there_once_and_blank_ones_never(candidates: list[Candidate]) -> None:
    ranked = order(candidates, EVERY)
    found = [one.candidate.text for one in ranked]
    assert sorted(found) == sorted({one.text for one in candidates if one.text.strip()})
    scores = [one.score for one in ranked]
    assert scores == sorted(scores, reverse=True)


@given(candidates=CANDIDATES)
def test_a_choice_of_one_is_that_one(candidates: list[Candidate]) -> None:
    for one in candidates:
        assert texts(one) == ([one.text] if one.text.strip() else [])
