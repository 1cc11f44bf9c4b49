"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864), with Llama's ways to stretch it."""

import math
from typing import Any

import torch

from completion.engine.modelconfig import ModelConfig


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021) on [n, heads, head_dim], halves paired.

    cos and sin are [n, 1, head_dim]; sin's first half is negated already.
    """
    half = x.shape[-1] // 2
    return torch.addcmul(x * cos, x.roll(half, -1), sin)


def rotary_tables(
    config: ModelConfig, length: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [length, 1, head_dim] for each position."""
    exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    frequencies = _scaled(1.0 / config.rope_theta**exponents, config.rope_scaling)
    angles = torch.outer(torch.arange(length).float(), frequencies)
    cos, sin = angles.cos(), angles.sin()
    return (
        torch.cat([cos, cos], -1)[:, None].to(dtype),
        torch.cat([-sin, sin], -1)[:, None].to(dtype),
    )


def _scaled(frequencies: torch.Tensor, scaling: dict[str, Any]) -> torch.Tensor:
    if scaling["rope_type"] == "linear":
        return frequencies / scaling["factor"]
    if scaling["rope_type"] == "default":
        return frequencies
    # Llama 3.1: long wavelengths are stretched, short ones kept, a ramp between.
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (keep + (1 - keep) / scaling["factor"])
