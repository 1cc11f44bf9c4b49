"""Counting tokens line by line."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completion import models
from completion.counting import by_lines
from completion.engine.tokenizer import Tokenizer
from tests.holes import modules


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(models.pull(models.DEFAULT).folder)


@pytest.mark.parametrize(("name", "text"), modules()[::9], ids=[n for n, _ in modules()[::9]])
def test_lines_add_up_in_the_shipped_vocabulary(tokenizer: Tokenizer, name: str, text: str):
    count = by_lines(tokenizer.count)
    for start in range(0, len(text), 3001):
        piece = text[start : start + 2500]
        assert count(piece) == tokenizer.count(piece)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab1 \n\t\"'#():=é😀", max_size=80))
def test_lines_of_anything_add_up(tokenizer: Tokenizer, text: str):
    assert by_lines(tokenizer.count)(text) == tokenizer.count(text)


def test_a_vocabulary_that_joins_signs_to_the_line_break_is_split_behind_it():
    """As those of newer families do: "):" and the line break are one token."""
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(re.findall(r"[^\S\n]+|[^\w\s]+\n*|\w+|\n+", text))

    known = by_lines(count)
    asked.clear()
    assert known("def f():\n\n    x\n") == count("def f():\n\n    x\n")
    assert asked[:2] == ["def f():\n\n", "    x\n"]


def test_a_vocabulary_whose_tokens_straddle_lines_is_asked_for_whole_texts():
    def count(text: str) -> int:
        return len(re.findall(r"\w+\n+\w+|.|\n", text))

    assert by_lines(count) is count


def test_a_line_is_counted_once_and_a_long_one_is_not_kept(tokenizer: Tokenizer):
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return tokenizer.count(text)

    known = by_lines(count)
    asked.clear()
    known("a = 1\nb = 2")
    known("a = 1\nb = 2\nc = 3")
    assert asked == ["a = 1", "\nb = 2", "\nc = 3"]
    asked.clear()
    known("x" * 1000)
    known("x" * 1000)
    assert len(asked) == 2
