"""Lean forward pass of Llama-family decoders (Llama, Qwen2) in torch.

Query, key and value projections are fused into one matrix product, gate and up projections
into another; attention heads that share a key-value head are stacked as query rows, so that
keys and values are never copied. Shapes: n new tokens, T tokens so far.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F

from completion.engine.kv import KVCache
from completion.engine.modelconfig import ModelConfig
from completion.engine.rotary import rotary_tables, rotate
from completion.engine.shipped import Shipped
from completion.engine.tensors import Linear, Tensors

Attend = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]


class Graphs(Protocol):
    """What runs some passes in another way than the layers one by one."""

    def run(self, tokens: Sequence[int], cache: KVCache) -> torch.Tensor | None:
        """As `Model.forward`, but the cache does not advance; None for a pass it does not run."""
        ...

    def of(self, model: "Model") -> "Graphs":
        """The same for other weights."""
        ...


@dataclass
class Layer:
    attention_norm: torch.Tensor
    qkv: Linear
    output: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear


class Model:
    """Weights in memory and the forward pass over them."""

    def __init__(self, config: ModelConfig, tensors: "Tensors", context: int) -> None:
        self.config = config
        self.dtype = tensors.dtype
        self.device = tensors.device
        # Passes that are captured once and then only launched; see `graphs`.
        self.graphs: Graphs | None = None
        self.embedding = tensors["model.embed_tokens.weight"]
        self.norm = tensors["model.norm.weight"]
        head = "lm_head.weight"
        self.head = Linear(tensors[head] if head in tensors else self.embedding)  # noqa: SIM401
        self.layers = [_layer(tensors, f"model.layers.{n}.") for n in range(config.layers)]
        self.context = min(context, config.context)
        cos, sin = rotary_tables(config, self.context, self.dtype)
        self.cos, self.sin = cos.to(self.device), sin.to(self.device)

    @classmethod
    def load(
        cls,
        folder: Path,
        dtype: torch.dtype,
        context: int,
        shipped: Shipped | None = None,
        device: str = "cpu",
    ) -> "Model":
        """The folder's model, with a shipped difference merged into it.

        Raises ModelError for a folder that we cannot read or run, or a difference that does not
        fit it.
        """
        config = ModelConfig.load(folder)
        with torch.inference_mode():
            return cls(config, Tensors(folder, dtype, shipped, device), context)

    def new_cache(self) -> KVCache:
        c = self.config
        return KVCache(c.layers, c.kv_heads, self.context, c.head_dim, self.dtype, self.device)

    def forward(self, tokens: Sequence[int], cache: KVCache) -> torch.Tensor:
        """Append `tokens` to the cache. Returns the last layer's hidden states [n, hidden]."""
        return self.forward_all([(tokens, cache)])[0]

    @torch.inference_mode()
    def forward_all(self, parts: Sequence[tuple[Sequence[int], KVCache]]) -> list[torch.Tensor]:
        """One pass over new tokens of several sequences, each appended to its own cache.

        Linear layers see all tokens together, attention only its own sequence. Returns hidden
        states [n, hidden] for each.
        """
        assert len({id(cache) for _, cache in parts}) == len(parts), "one part for each cache"
        hidden = self.graphs.run(*parts[0]) if self.graphs and len(parts) == 1 else None
        if hidden is None:
            hidden = self._forward(parts)
        for tokens, cache in parts:
            cache.advance(tokens)
        return list(hidden.split([len(tokens) for tokens, _ in parts]))

    def _forward(self, parts: Sequence[tuple[Sequence[int], KVCache]]) -> torch.Tensor:
        """Hidden states [all new tokens, hidden]; the caches have grown, but for `advance`."""
        sizes = [len(tokens) for tokens, _ in parts]
        starts = [len(cache) for _, cache in parts]
        spans = [slice(start, start + n) for start, n in zip(starts, sizes, strict=True)]
        masks = [self._mask(n, start) for start, n in zip(starts, sizes, strict=True)]

        def attend(index: int, rotated: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            pieces = zip(rotated.split(sizes), values.split(sizes), parts, masks, strict=True)
            return torch.cat(
                [self._attend(index, qk, v, mask, cache) for qk, v, (_, cache), mask in pieces]
            )

        tokens = torch.tensor([t for tokens, _ in parts for t in tokens], device=self.device)
        cos = torch.cat([self.cos[span] for span in spans])
        sin = torch.cat([self.sin[span] for span in spans])
        return self.through_layers(tokens, cos, sin, attend)

    def through_layers(
        self, tokens: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, attend: Attend
    ) -> torch.Tensor:
        """Hidden states [n, hidden] of tokens [n]; cos and sin are those of their positions.

        `attend(layer, rotated, values)` takes rotated queries and keys [n, heads + kv_heads,
        head_dim] and values [n, kv_heads, head_dim], and gives [n, heads * head_dim].
        """
        c = self.config
        x = F.embedding(tokens, self.embedding)
        for index, layer in enumerate(self.layers):
            h = F.rms_norm(x, (x.shape[-1],), layer.attention_norm, c.norm_eps)
            qkv = layer.qkv(h).view(len(h), c.heads + 2 * c.kv_heads, c.head_dim)
            rotated = rotate(qkv[:, : c.heads + c.kv_heads], cos, sin)
            x = x + layer.output(attend(index, rotated, qkv[:, c.heads + c.kv_heads :]))
            h = F.rms_norm(x, (x.shape[-1],), layer.mlp_norm, c.norm_eps)
            gate, up = layer.gate_up(h).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        return x

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, hidden] to float32 logits [n, vocabulary], on the CPU."""
        h = F.rms_norm(hidden, (hidden.shape[-1],), self.norm, self.config.norm_eps)
        return self.head(h).float().cpu()

    def _attend(
        self,
        index: int,
        rotated: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None,
        cache: KVCache,
    ) -> torch.Tensor:
        """One sequence's attention [n, heads * head_dim].

        `rotated` are its new queries and keys [n, heads + kv_heads, head_dim], `values` its new
        values [n, kv_heads, head_dim].
        """
        keys, values = cache.append(
            index, rotated[:, self.config.heads :].transpose(0, 1), values.transpose(0, 1)
        )
        return self.mixed(rotated, keys, values, mask)

    def mixed(
        self,
        rotated: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attention of the queries in `rotated` over keys and values [kv_heads, T, head_dim].

        The mask is [group * n, T], see `_mask`; the result [n, heads * head_dim].
        """
        c, n = self.config, len(rotated)
        # [n, kv_heads, group, d] -> [kv_heads, group * n, d]: one block of rows a key-value head
        group = c.heads // c.kv_heads
        queries = rotated[:, : c.heads].view(n, c.kv_heads, group, c.head_dim).permute(1, 2, 0, 3)
        rows = queries.reshape(1, c.kv_heads, group * n, c.head_dim)
        out = F.scaled_dot_product_attention(rows, keys[None], values[None], attn_mask=mask)
        out = out.view(c.kv_heads, group, n, c.head_dim).permute(2, 0, 1, 3)
        return out.reshape(n, c.heads * c.head_dim)

    def _mask(self, n: int, start: int) -> torch.Tensor | None:
        """Additive causal mask [group * n, T]; None where each row may see everything."""
        if n == 1:
            return None
        group = self.config.heads // self.config.kv_heads
        blocked = torch.full((n, start + n), -math.inf, dtype=self.dtype, device=self.device)
        blocked = blocked.triu_(start + 1)
        return blocked.repeat(group, 1)


def _layer(tensors: Tensors, prefix: str) -> Layer:
    return Layer(
        attention_norm=tensors[prefix + "input_layernorm.weight"],
        qkv=tensors.fused(prefix + "self_attn.", "q_proj", "k_proj", "v_proj"),
        output=tensors.fused(prefix + "self_attn.", "o_proj"),
        mlp_norm=tensors[prefix + "post_attention_layernorm.weight"],
        gate_up=tensors.fused(prefix + "mlp.", "gate_proj", "up_proj"),
        down=tensors.fused(prefix + "mlp.", "down_proj"),
    )
