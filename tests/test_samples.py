"""What a training sample weighs: the answer, the prefix, and where the answer ends."""

import pytest

from finetune.samples import END, end_weight
from tests.encoders import byte_encoder

ENCODER = byte_encoder()


@pytest.mark.parametrize(
    ("kind", "middle", "suffix", "weight"),
    [
        ("statement", "x = 1", "\ny = 2\n", 4),
        ("statement", "\n    x = 1", "\r\ny = 2\n", 4),
        ("line", "1)", "", 4),
        ("statement", "x", " = 1\n", 2),
        ("line", "x", ")\n", 2),
        ("statement", "f(\n    x,\n)", "\n", 1),
        ("statement", "\n    x,\n    y", ")\n", 1),
        ("block", "return x", "\n", 2),
        ("block", "a = 1\nreturn a", "\n", 1),
    ],
)
def test_an_end_weighs_most_where_a_line_ends(
    kind, middle: str, suffix: str, weight: float
) -> None:
    assert end_weight(kind, middle, suffix) == weight


def test_the_answer_weighs_more_than_the_prefix_and_the_suffix_nothing() -> None:
    built = ENCODER.prompt("a = 1\nb =", "\nc = 3\n", "python", "statement", 200)
    assert built
    sample = ENCODER.sample(built, " 2", "statement", "line", end_weight=7)
    tokens = [ENCODER.tokenizer.name_of(token) for token in sample.ids]
    prefix = tokens.index(ENCODER.template.kinds["statement"]) + 1
    assert tokens[-1] == END
    assert set(sample.weights[:prefix]) == {0}
    assert set(sample.weights[prefix : sample.middle]) == {0.25}
    assert set(sample.weights[sample.middle : -1]) == {1}
    assert sample.weights[-1] == 7
