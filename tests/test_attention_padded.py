"""The GPU's way to compute packed attention, run on the CPU, against the CPU's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import attention

Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def tensors(n: int, heads: int, kv_heads: int, d: int) -> Three:
    random = torch.Generator().manual_seed(n)

    def made(heads: int) -> torch.Tensor:
        return torch.randn((heads, n, d), generator=random, requires_grad=True)

    return made(heads), made(kv_heads), made(kv_heads)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 17), min_size=1, max_size=8), st.sampled_from([(6, 2), (4, 4)]))
def test_both_ways_give_the_same(lengths: list[int], heads: tuple[int, int]) -> None:
    q, k, v = tensors(sum(lengths), *heads, 8)
    one = attention.one_by_one(q, k, v, tuple(lengths), 0.3)
    other = attention.padded(q, k, v, tuple(lengths), 0.3)
    assert one.shape == other.shape == (sum(lengths), heads[0], 8)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lengths", [(5,), (1, 7, 3), (9, 9)])
def test_both_ways_give_the_same_gradients(lengths: tuple[int, ...]) -> None:
    gradients = []
    for way in (attention.one_by_one, attention.padded):
        leaves = tensors(sum(lengths), 6, 2, 8)
        weights = torch.randn(sum(lengths), 6, 8, generator=torch.Generator().manual_seed(3))
        (way(*leaves, lengths, 0.3) * weights).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_sample_does_not_see_its_neighbours() -> None:
    q, k, v = (t.detach() for t in tensors(12, 6, 2, 8))
    before = attention.padded(q, k, v, (5, 7), 0.3)
    for tensor in (q, k, v):
        tensor[:, 5:] += 1
    after = attention.padded(q, k, v, (5, 7), 0.3)
    assert torch.equal(before[:5], after[:5])
    assert not torch.equal(before[5:], after[5:])
