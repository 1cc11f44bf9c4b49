"""Lean forward pass of Llama-family decoders (Llama, Qwen2) in torch.

Query, key and value projections are fused into one matrix product, gate and up projections
into another; attention heads that share a key-value head are stacked as query rows, so that
keys and values are never copied. Shapes: n new tokens, T tokens so far.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open

from completion import families
from completion.engine.kv import KVCache
from completion.engine.shipped import Shipped
from tandem.errors import ModelError


@dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says, as far as the forward pass needs it."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int
    norm_eps: float
    context: int
    rope_theta: float
    rope_scaling: dict[str, Any] = field(default_factory=dict)
    eos_ids: frozenset[int] = frozenset()

    @classmethod
    def load(cls, folder: Path) -> "ModelConfig":
        """Raises ModelError for a family or a rotary scaling that we do not run."""
        raw = families.read_json(folder / "config.json")
        architecture = (raw.get("architectures") or ["?"])[0]
        if architecture not in families.FAMILIES:
            raise ModelError(
                f"{folder}: the architecture {architecture} cannot run in the embedded engine.",
                "Serve it with another server and run: tandem models use URL",
            )
        # transformers 5 moved the rotary settings into one group; files of both kinds exist.
        rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind not in ("default", "linear", "llama3"):
            raise ModelError(
                f"{folder}: rotary scaling '{kind}' is not supported by the embedded engine.",
                "Serve it with another server and run: tandem models use URL",
            )
        eos = raw.get("eos_token_id")
        generation = folder / "generation_config.json"
        if generation.exists():
            eos = families.read_json(generation).get("eos_token_id", eos)
        heads = raw["num_attention_heads"]
        return cls(
            layers=raw["num_hidden_layers"],
            heads=heads,
            kv_heads=raw.get("num_key_value_heads") or heads,
            head_dim=raw.get("head_dim") or raw["hidden_size"] // heads,
            hidden=raw["hidden_size"],
            vocabulary=raw["vocab_size"],
            norm_eps=raw["rms_norm_eps"],
            context=raw["max_position_embeddings"],
            rope_theta=float(rope.get("rope_theta") or raw.get("rope_theta") or 10_000.0),
            rope_scaling={**rope, "rope_type": kind},
            eos_ids=frozenset([eos] if isinstance(eos, int) else eos or []),
        )


@dataclass
class Linear:
    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


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
        self.embedding = tensors["model.embed_tokens.weight"]
        self.norm = tensors["model.norm.weight"]
        head = "lm_head.weight"
        self.head = Linear(tensors[head] if head in tensors else self.embedding)  # noqa: SIM401
        self.layers = [_layer(tensors, f"model.layers.{n}.") for n in range(config.layers)]
        self.context = min(context, config.context)
        self._cos, self._sin = rotary_tables(config, self.context, self.dtype)

    @classmethod
    def load(
        cls, folder: Path, dtype: torch.dtype, context: int, shipped: Shipped | None = None
    ) -> "Model":
        """The folder's model, with a shipped difference merged into it.

        Raises ModelError for a folder that we cannot read or run, or a difference that does not
        fit it.
        """
        config = ModelConfig.load(folder)
        with torch.inference_mode():
            return cls(config, Tensors(folder, dtype, shipped), context)

    def new_cache(self) -> KVCache:
        c = self.config
        return KVCache(c.layers, c.kv_heads, self.context, c.head_dim, self.dtype)

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
        sizes = [len(tokens) for tokens, _ in parts]
        starts = [len(cache) for _, cache in parts]
        spans = [slice(start, start + n) for start, n in zip(starts, sizes, strict=True)]
        cos = torch.cat([self._cos[span] for span in spans])
        sin = torch.cat([self._sin[span] for span in spans])
        masks = [self._mask(n, start) for start, n in zip(starts, sizes, strict=True)]
        x = F.embedding(torch.tensor([t for tokens, _ in parts for t in tokens]), self.embedding)
        c = self.config
        for index, layer in enumerate(self.layers):
            h = F.rms_norm(x, (x.shape[-1],), layer.attention_norm, c.norm_eps)
            qkv = layer.qkv(h).view(len(h), c.heads + 2 * c.kv_heads, c.head_dim)
            rotated = rotate(qkv[:, : c.heads + c.kv_heads], cos, sin)
            values = qkv[:, c.heads + c.kv_heads :]
            pieces = zip(rotated.split(sizes), values.split(sizes), parts, masks, strict=True)
            attended = [
                self._attend(index, qk, v, mask, cache) for qk, v, (_, cache), mask in pieces
            ]
            x = x + layer.output(torch.cat(attended))
            h = F.rms_norm(x, (x.shape[-1],), layer.mlp_norm, c.norm_eps)
            gate, up = layer.gate_up(h).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        for tokens, cache in parts:
            cache.advance(tokens)
        return list(x.split(sizes))

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, hidden] to float32 logits [n, vocabulary]."""
        h = F.rms_norm(hidden, (hidden.shape[-1],), self.norm, self.config.norm_eps)
        return self.head(h).float()

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
        c, n = self.config, len(values)
        keys, values = cache.append(
            index, rotated[:, c.heads :].transpose(0, 1), values.transpose(0, 1)
        )
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
        blocked = torch.full((n, start + n), -math.inf, dtype=self.dtype).triu_(start + 1)
        return blocked.repeat(group, 1)


class Tensors:
    """The tensors of a folder's safetensors files by name, read as they are asked for.

    A shipped difference is added in float32, before the cast to the engine's width.
    """

    def __init__(self, folder: Path, dtype: torch.dtype, shipped: Shipped | None = None) -> None:
        self.dtype = dtype
        self._file_of: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}
        for file in families.weight_files(folder):
            try:
                self._open[file] = safe_open(str(file), framework="pt")
            except (SafetensorError, OSError) as error:
                raise ModelError(
                    f"{file} is missing or damaged: {error}.", "Pull or copy the model again."
                ) from error
            self._file_of.update(dict.fromkeys(self._open[file].keys(), file))
        self._difference = shipped.load(self.shapes()) if shipped else None

    def files(self) -> dict[Path, list[str]]:
        """The names in each file."""
        return {file: [n for n, at in self._file_of.items() if at == file] for file in self._open}

    def shapes(self) -> dict[str, list[int]]:
        return {
            name: self._open[file].get_slice(name).get_shape()
            for name, file in self._file_of.items()
        }

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._file_of:
            raise ModelError(
                f"The model's files have no tensor {name}.", "Pull or copy the model again."
            )
        tensor = self._open[self._file_of[name]].get_tensor(name)
        if self._difference is not None:
            tensor = self._difference.merged(name, tensor)
        return tensor.to(self.dtype)

    def fused(self, prefix: str, *names: str) -> Linear:
        """Several projections of one input as one matrix, with their biases if they have any."""
        weight = torch.cat([self[f"{prefix}{name}.weight"] for name in names])
        has_bias = f"{prefix}{names[0]}.bias" in self
        bias = torch.cat([self[f"{prefix}{name}.bias"] for name in names]) if has_bias else None
        return Linear(weight, bias)


def _layer(tensors: Tensors, prefix: str) -> Layer:
    return Layer(
        attention_norm=tensors[prefix + "input_layernorm.weight"],
        qkv=tensors.fused(prefix + "self_attn.", "q_proj", "k_proj", "v_proj"),
        output=tensors.fused(prefix + "self_attn.", "o_proj"),
        mlp_norm=tensors[prefix + "post_attention_layernorm.weight"],
        gate_up=tensors.fused(prefix + "mlp.", "gate_proj", "up_proj"),
        down=tensors.fused(prefix + "mlp.", "down_proj"),
    )


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
