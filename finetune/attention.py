"""Attention over several samples packed into one row, each of which sees only itself.

Registered with transformers under `NAME`, so that any model of theirs, with or without peft's
layers, trains on packed rows. The lengths of the samples reach the attention as the keyword
`lengths` of the model's forward call.
"""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import AttentionInterface

NAME = "tandem_packed"


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    lengths: Sequence[int] = (),
    **_: object,
) -> tuple[torch.Tensor, None]:
    """query [1, heads, n, d], key and value [1, kv_heads, n, d] to [1, n, heads, d].

    A sample at a time: between samples there is nothing to compute, and n tokens of short
    samples cost n * length instead of n * n.
    """
    assert query.shape[0] == 1, "samples are packed into one row"
    assert sum(lengths) == query.shape[2], "the samples must fill the row"
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    pieces = zip(*(t[0].split(list(lengths), 1) for t in (query, key, value)), strict=True)
    scale = scaling or query.shape[-1] ** -0.5
    out = [_causal(q, k, v, scale) for q, k, v in pieces]
    return torch.cat(out, 1).transpose(0, 1)[None], None


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """[heads, n, d] each. Short samples only: all [heads, n, n] scores exist at once.

    Plain products instead of torch's fused kernel, whose bfloat16 path on a CPU takes 1.5 to
    2.7 times as long forward and backward at these lengths (docs/LOG.md).
    """
    n = query.shape[1]
    later = torch.full((n, n), -torch.inf, dtype=query.dtype, device=query.device).triu_(1)
    scores = torch.baddbmm(later.expand(len(query), n, n), query, key.transpose(1, 2), alpha=scale)
    return torch.bmm(scores.softmax(-1), value)


AttentionInterface.register(NAME, packed_attention)
