"""Passes over memory that a GPU need not make: norms, rotations and gates, each in one kernel.

A small model's matrix products are quick on a large GPU, and what transformers computes in many
passes around them takes most of a step. Each of these functions is compiled into one kernel
forward and one backward (`torch.compile`), which needs triton. Elsewhere nothing changes.
"""

import importlib.util
import sys
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def speed_up(model: nn.Module, device: torch.device) -> bool:
    """Let the layers of a Llama-like model compute as above. Returns whether that can be.

    Called on a model whose layers are of other kinds it leaves those as they are.
    """
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    for layer in model.modules():
        name = type(layer).__name__
        if name.endswith("RMSNorm") and hasattr(layer, "variance_epsilon"):
            layer.forward = partial(_normed, layer)
        elif name.endswith("MLP") and isinstance(getattr(layer, "act_fn", None), nn.SiLU):
            layer.forward = partial(_gated, layer)
        elif name.endswith("Attention"):
            home = sys.modules[type(layer).__module__]
            if hasattr(home, "apply_rotary_pos_emb"):
                vars(home)["apply_rotary_pos_emb"] = _turned
    return True


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Zhang and Sennrich 2019, arXiv 1910.07467; the mean is taken in float32."""
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * wide.to(x.dtype)


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Shazeer 2020, arXiv 2002.05202."""
    return F.silu(gate) * up


def rotated(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Su et al. 2021, arXiv 2104.09864; heads in two halves, as Llama has them."""
    return query * cos + _half_turn(query) * sin, key * cos + _half_turn(key) * sin


def _half_turn(x: torch.Tensor) -> torch.Tensor:
    low, high = x.chunk(2, -1)
    return torch.cat((-high, low), -1)


@cache
def _compiled(function: Any) -> Any:
    return torch.compile(function, dynamic=True)


def _normed(layer: Any, x: torch.Tensor) -> torch.Tensor:
    return _compiled(rms_norm)(x, layer.weight, layer.variance_epsilon)


def _gated(layer: Any, x: torch.Tensor) -> torch.Tensor:
    return layer.down_proj(_compiled(swiglu)(layer.gate_proj(x), layer.up_proj(x)))


def _turned(
    q: torch.Tensor,
    k: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    unsqueeze_dim: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    return _compiled(rotated)(q, k, cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim))
