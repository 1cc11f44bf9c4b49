"""How much of a run is kept: a point on the line from the base to its end."""

import pytest
import torch

from finetune import compress
from finetune.compress import EMBEDDING, Compressed
from finetune.strength import scaled, scaled_difference

BASE = {"a": torch.tensor([1.0, 2.0]), EMBEDDING: torch.tensor([[0.0], [0.0]])}
TUNED = {"a": torch.tensor([3.0, 0.0]), EMBEDDING: torch.tensor([[0.0], [8.0]])}


def test_a_point_on_the_line_from_the_base_to_the_end() -> None:
    assert torch.equal(scaled(BASE, TUNED, 0.25)["a"], torch.tensor([1.5, 1.5]))


def test_full_strength_is_the_end_itself() -> None:
    assert torch.equal(scaled(BASE, TUNED, 1.0)["a"], TUNED["a"])


def test_rows_of_our_own_tokens_stay_as_they_were_learned() -> None:
    assert torch.equal(scaled(BASE, TUNED, 0.5)[EMBEDDING], TUNED[EMBEDDING])


def test_the_width_is_that_of_the_tuned() -> None:
    narrow = {"a": TUNED["a"].bfloat16()}
    assert scaled(BASE, narrow, 0.5)["a"].dtype == torch.bfloat16


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.5])
def test_a_strength_outside_the_line_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="at most 1"):
        scaled(BASE, TUNED, strength)


def test_a_compressed_difference_is_scaled_as_the_weights_are() -> None:
    random = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.randn(shape, generator=random)  # noqa: E731
    base = {"a.weight": draw(24, 16), "norm.weight": draw(16), EMBEDDING: draw(30, 16)}
    tuned = {name: tensor + 0.05 * draw(*tensor.shape) for name, tensor in base.items()}
    tuned[EMBEDDING] = base[EMBEDDING].clone()
    tuned[EMBEDDING][[2, 5]] += 0.1
    whole = compress.compress(base, tuned, (2, 5), 200_000)
    half = scaled_difference(whole, 0.5).apply(base)
    wanted = scaled(base, whole.apply(base), 0.5)
    for name, tensor in wanted.items():
        torch.testing.assert_close(half[name], tensor, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.5])
def test_a_compressed_difference_has_no_strength_out_of_range(strength: float) -> None:
    nothing = Compressed({}, {}, torch.zeros(0), torch.zeros(0, 16), {})
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        scaled_difference(nothing, strength)
