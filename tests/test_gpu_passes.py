"""What a GPU computes in fewer passes over memory, run on the CPU without its compiler, against what
the CPU computes."""

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama import modeling_llama

from finetune import fused, loss

Tensor = torch.Tensor


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def config() -> LlamaConfig:
    return LlamaConfig(hidden_size=24, intermediate_size=40, num_attention_heads=3)


def test_the_norm_is_that_of_transformers(config: LlamaConfig) -> None:
    layer = modeling_llama.LlamaRMSNorm(24, 1e-5)
    layer.weight.data = random(24)
    x = random(1, 7, 24, seed=1).bfloat16()
    weight = layer.weight.bfloat16()
    layer.weight.data = weight.data
    assert torch.equal(layer(x), fused.rms_norm(x, weight, 1e-5))


def test_the_gate_is_that_of_transformers(config: LlamaConfig) -> None:
    layer = modeling_llama.LlamaMLP(config)
    x = random(1, 7, 24)
    gated = fused.swiglu(layer.gate_proj(x), layer.up_proj(x))
    assert torch.equal(layer(x), layer.down_proj(gated))


def test_the_rotation_is_that_of_transformers() -> None:
    query, key = random(1, 3, 7, 8), random(1, 1, 7, 8, seed=1)
    cos, sin = random(1, 7, 8, seed=2), random(1, 7, 8, seed=3)
    expected = modeling_llama.apply_rotary_pos_emb(query, key, cos, sin)
    found = fused.rotated(query, key, cos.unsqueeze(1), sin.unsqueeze(1))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_without_a_gpu_nothing_is_changed(config: LlamaConfig) -> None:
    layer = modeling_llama.LlamaMLP(config)
    assert not fused.speed_up(layer, torch.device("cpu"))
    assert "forward" not in vars(layer)


@pytest.mark.parametrize("width", [torch.float32, torch.bfloat16])
def test_a_chunk_of_the_loss_is_the_same(width: torch.dtype) -> None:
    logits = (3 * random(9, 50)).to(width)
    targets, weights = torch.arange(9) * 5, random(9, seed=1).abs()
    rtol = 1e-2 if width == torch.bfloat16 else 1e-5
    own = loss.own_piece(logits.clone(), targets, weights)
    for one, other in zip(loss.fused_own_piece(logits, targets, weights), own, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=rtol)
    teacher = (3 * random(9, 50, seed=2)).to(width)
    leaf = logits.float().requires_grad_()
    found, wanted = leaf.log_softmax(-1), teacher.float().log_softmax(-1)
    each = torch.nn.functional.kl_div(found, wanted, reduction="none", log_target=True).sum(-1)
    (each * weights).sum().backward()
    taught = loss.taught_piece(logits.clone(), teacher.clone(), weights)
    torch.testing.assert_close(taught[0], each.detach(), atol=1e-5, rtol=rtol)
    torch.testing.assert_close(taught[1].float(), leaf.grad, atol=1e-5, rtol=rtol)
    assert taught[0].min() >= 0


def test_the_gradient_of_a_chunk_is_that_of_autograd() -> None:
    logits = random(9, 50).requires_grad_()
    targets, weights = torch.arange(9) * 5, random(9, seed=1).abs()
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    (each * weights).sum().backward()
    losses, gradient = loss.own_piece(logits.detach().clone(), targets, weights)
    torch.testing.assert_close(losses, each.detach())
    torch.testing.assert_close(gradient, logits.grad)
