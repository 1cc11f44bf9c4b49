"""Near-duplicate texts are found, others are not, and no held-out text leaks into training."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune import neardup
from finetune.neardup import HeldOut, Index, Lines
from tests.repositories import module

BASE = module(*range(1, 15))


def jaccard(one: str, other: str) -> float:
    sets = []
    for text in (one, other):
        tokens = neardup._TOKEN.findall(text)
        sets.append(
            {
                tuple(tokens[i : i + neardup.SHINGLE])
                for i in range(len(tokens) - neardup.SHINGLE + 1)
            }
        )
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def edited(text: str, share: float, seed: int = 0) -> str:
    """The text with a share of its lines replaced."""
    rng = random.Random(seed)
    lines = text.split("\n")
    for place in rng.sample(range(len(lines)), round(share * len(lines))):
        lines[place] = f"replaced_{rng.random()} = other({rng.random()}, {rng.random()})"
    return "\n".join(lines)


def test_a_text_equal_but_for_blanks_is_found() -> None:
    index = Index()
    assert index.add("one", BASE) is None
    assert index.find("\n\n" + BASE.replace("\n", "  \n\n")) == "one"


def test_a_text_with_a_few_lines_changed_is_found() -> None:
    index = Index()
    index.add("one", BASE)
    assert index.add("two", edited(BASE, 0.05)) == "one"
    assert len(index) == 1


def test_a_different_text_is_not_found() -> None:
    index = Index()
    index.add("one", BASE)
    assert index.find(module(*range(20, 34))) is None


def test_a_text_kept_in_spite_of_its_likeness_is_found_itself() -> None:
    index = Index()
    index.add("one", BASE)
    index.add("two", edited(BASE, 0.08, 1), always=True)
    assert index.find(edited(edited(BASE, 0.08, 1), 0.08, 2)) in ("one", "two")
    assert len(index) == 2


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6])
def test_the_estimate_is_near_the_true_similarity(share: float) -> None:
    errors = [
        neardup.similarity(neardup.signature(BASE), neardup.signature(other)) - jaccard(BASE, other)
        for other in (edited(BASE, share, seed) for seed in range(10))
    ]
    assert abs(np.mean(errors)) < 0.06


@given(st.text(max_size=300))
def test_any_text_is_found_once_added(text: str) -> None:
    index = Index()
    assert index.add("first", text) is None
    assert index.add("second", text) == "first"
    assert index.find(text) == "first"


@given(st.text(max_size=300), st.text(max_size=300))
def test_likeness_is_the_same_from_both_sides_and_one_for_equals(one: str, other: str) -> None:
    left, right = neardup.signature(one), neardup.signature(other)
    assert neardup.similarity(left, right) == neardup.similarity(right, left)
    assert neardup.similarity(left, left) == 1.0
    assert len(left) == neardup.PERMUTATIONS


@given(st.lists(st.text(max_size=40), max_size=20))
def test_lines_know_all_that_was_added(texts: list[str]) -> None:
    lines = Lines()
    for text in texts:
        lines.add(text)
    for text in texts:
        assert lines.share(text) in (0.0, 1.0)
        assert bool(neardup.long_lines(text)) == (lines.share(text) == 1.0)


def test_a_near_duplicate_of_a_held_out_text_is_a_leak() -> None:
    held = HeldOut([("a", BASE)])
    assert held.leak(BASE)
    assert held.leak(edited(BASE, 0.05))
    assert not held.leak(module(*range(20, 34)))


def test_a_text_with_a_part_of_a_held_out_one_is_a_leak() -> None:
    held = HeldOut([("a", BASE)])
    assert held.leak(module(1, 2, 3) + module(*range(20, 26))) == "shares lines with held-out"
