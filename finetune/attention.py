"""Attention over several samples packed into one row, each of which sees only itself.

Registered with transformers under `NAME`, so that any model of theirs, with or without peft's
layers, trains on packed rows. The lengths of the samples reach the attention as the keyword
`lengths` of the model's forward call.
"""

import functools
import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
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
    """query [1, heads, n, d], key and value [1, kv_heads, n, d] to [1, n, heads, d]."""
    assert query.shape[0] == 1, "samples are packed into one row"
    assert sum(lengths) == query.shape[2], "the samples must fill the row"
    scale = scaling or query.shape[-1] ** -0.5
    compute = one_by_one
    if query.is_cuda:
        compute = varlen if query.dtype in (torch.bfloat16, torch.float16) else padded
    return compute(query[0], key[0], value[0], tuple(lengths), scale)[None], None


def one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: tuple[int, ...],
    scale: float,
) -> torch.Tensor:
    """query [heads, n, d], key and value [kv_heads, n, d] to [n, heads, d], for CPUs.

    A sample at a time: between samples there is nothing to compute, and n tokens of short
    samples cost n * length instead of n * n.
    """
    groups = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
    pieces = zip(*(t.split(list(lengths), 1) for t in (query, key, value)), strict=True)
    return torch.cat([_causal(q, k, v, scale) for q, k, v in pieces], 1).transpose(0, 1)


def varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: tuple[int, ...],
    scale: float,
) -> torch.Tensor:
    """The same for GPUs in half precision: FlashAttention (Dao 2023, arXiv 2307.08691), which knows
    where samples begin, so that nothing is padded. Groups of heads share keys inside the kernel."""
    bounds, longest = _bounds(lengths, query.device), max(lengths)
    packed = (t.transpose(0, 1).contiguous() for t in (query, key, value))
    return torch.ops.aten._flash_attention_forward(
        *packed, bounds, bounds, longest, longest, 0.0, True, False, scale=scale
    )[0]


@functools.lru_cache(maxsize=4)
def _bounds(lengths: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Where each sample begins, and where the last one ends [samples + 1] int32."""
    return torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)


def padded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: tuple[int, ...],
    scale: float,
) -> torch.Tensor:
    """The same in float32 on GPUs: all samples in one kernel, each padded to the longest.

    Padding stands at the end, where causal attention hides it from every real token without a
    mask; what the padding itself attends to is dropped.
    """
    places = _places(lengths, query.device)
    batch = [len(lengths), max(lengths)]

    def spread(packed: torch.Tensor) -> torch.Tensor:
        wide = packed.new_zeros(batch[0] * batch[1], packed.shape[0], packed.shape[2])
        wide = wide.index_copy(0, places, packed.transpose(0, 1))
        return wide.view(*batch, *wide.shape[1:]).transpose(1, 2)

    out = F.scaled_dot_product_attention(
        spread(query), spread(key), spread(value), is_causal=True, scale=scale, enable_gqa=True
    )
    return out.transpose(1, 2).flatten(0, 1).index_select(0, places)


@functools.lru_cache(maxsize=4)  # every layer of a forward pass asks, and of its backward pass
def _places(lengths: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Where each packed token stands among the padded ones [n] int64."""
    sizes = torch.tensor(lengths)
    begins = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    rows = torch.arange(len(lengths)).repeat_interleave(sizes)
    return (rows * max(lengths) + torch.arange(len(begins)) - begins).to(device)


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
