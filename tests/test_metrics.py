"""Each metric on answers whose score a reader can tell, and what must hold for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.engine.tokenizer import Tokenizer
from finetune import metrics
from tests import tiny_models

TEXT = st.text(alphabet="ab(=) \n", max_size=30)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    return Tokenizer.load(folder)


def test_white_space_at_the_end_does_not_count() -> None:
    assert metrics.exact_match("return x", "return x  \n")
    assert metrics.edit_similarity("return x", "return x  \n") == 1


def test_white_space_at_the_start_counts() -> None:
    assert not metrics.exact_match("return x", " return x")


@pytest.mark.parametrize(
    ("answer", "truth", "similarity"),
    [
        ("abcd", "abcd", 1.0),
        ("abc", "abcd", 0.75),
        ("", "abcd", 0.0),
        ("xbcd", "abcd", 0.75),
        ("abcdabcd", "abcd", 0.5),
        ("wxyz", "abcd", 0.0),
        ("", "", 1.0),
    ],
)
def test_edit_similarity(answer: str, truth: str, similarity: float) -> None:
    assert metrics.edit_similarity(answer, truth) == pytest.approx(similarity)


@given(TEXT, TEXT)
def test_edit_similarity_is_symmetric_and_one_only_for_equal_texts(a: str, b: str) -> None:
    similarity = metrics.edit_similarity(a, b)
    assert 0 <= similarity <= 1
    assert similarity == metrics.edit_similarity(b, a)
    assert (similarity == 1) == metrics.exact_match(a, b)


def test_the_first_line_is_the_first_with_text() -> None:
    assert metrics.first_line_match("\n    a = 1\n    b = 2", "\n    a = 1 \n    c = 3")
    assert not metrics.first_line_match("a = 1\nb = 2", "a = 2\nb = 2")
    assert not metrics.first_line_match("  a = 1", "a = 1")
    assert not metrics.first_line_match("", "a = 1")


@given(TEXT, TEXT)
def test_an_exact_match_has_the_first_line_right(a: str, b: str) -> None:
    assert metrics.first_line_match(a, b) or not metrics.exact_match(a, b)


def test_tokens_saved_are_those_before_the_first_error(tokenizer: Tokenizer) -> None:
    truth = "return folder, tokenizer"
    tokens = [tokenizer.bytes_at(i).decode() for i in tokenizer.encode(truth)]
    assert len(tokens) > 3
    assert metrics.tokens_saved(truth, truth, tokenizer) == len(tokens)
    assert metrics.tokens_saved("".join(tokens[:2]) + "\x00", truth, tokenizer) == 2
    assert metrics.tokens_saved("X" + truth, truth, tokenizer) == 0
    assert metrics.tokens_saved("", truth, tokenizer) == 0


def test_half_a_token_saves_nothing(tokenizer: Tokenizer) -> None:
    long = max(tokenizer.bytes_of, key=len).decode()
    assert len(tokenizer.encode(long)) == 1
    assert metrics.tokens_saved(long[:-1], long, tokenizer) == 0


def test_characters_of_several_bytes_are_counted_by_their_bytes(tokenizer: Tokenizer) -> None:
    truth = "ééé"
    each = tokenizer.count("é")
    assert metrics.tokens_saved("éé", truth, tokenizer) == 2 * each
    assert metrics.tokens_saved("éèé", truth, tokenizer) == each


@given(answer=TEXT, truth=TEXT)
def test_tokens_saved_are_at_most_those_of_the_truth(
    tokenizer: Tokenizer, answer: str, truth: str
) -> None:
    count = tokenizer.count(truth.rstrip())
    saved = metrics.tokens_saved(answer, truth, tokenizer)
    assert 0 <= saved <= count
    assert (saved == count) == answer.startswith(truth.rstrip())


@pytest.mark.parametrize(
    ("raw", "ended", "truth", "clean"),
    [
        ("x = 1", True, "y = 2", True),  # the text is wrong, its end is right
        ("x = 1", False, "x = 1", False),  # it was cut off
        ("x = 1\ny = 2", True, "x = 1", False),
        ("x = 1\n", True, "x = 1", False),
        ("a\nb", True, "a\nc", True),
        ("a", True, "a\nc", False),
        ("", True, "x = 1", False),  # silence is not an end
        ("  ", True, "x = 1", False),
    ],
)
def test_ends_cleanly(raw: str, ended: bool, truth: str, clean: bool) -> None:
    assert metrics.ends_cleanly(raw, ended, truth) is clean
