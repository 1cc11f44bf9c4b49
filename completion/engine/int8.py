"""A model with int8 weights, run by our own kernels: one call for a whole forward pass.

Weights are rounded to int8 with a scale for every 64 inputs of an output. Activations are
rounded by blocks of the same 64, to two int8 each (the second holds what the first left over):
with one, the outliers in these models' activations cost more than the weights do. A row's
numbers are the same to the bit whatever is computed beside it, in however many pieces.
"""

import copy
import ctypes
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from completion.engine import kernels
from completion.engine.kernels import Kernels
from completion.engine.kv import KVCache
from completion.engine.model import ModelConfig, Tensors, rotary_tables
from completion.engine.shipped import Shipped

BLOCK = 64  # inputs that share a scale
LANES = 16  # outputs side by side; dimensions of a head are padded to it
PACK_ROWS = 4096  # converted at a time, which bounds memory
# int8 for each activation that a matrix is given.
PARTS: Mapping[str, int] = {"qkv": 2, "output": 2, "gate_up": 2, "down": 2, "head": 2}


@dataclass(frozen=True)
class Packed:
    """An int8 matrix in the kernels' layout, see native/linear.h."""

    weights: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor | None
    outputs: int
    inputs: int
    parts: int

    def struct(self) -> kernels.Linear:
        bias = self.bias.data_ptr() if self.bias is not None else None
        weights, scales = self.weights.data_ptr(), self.scales.data_ptr()
        return kernels.Linear(weights, scales, bias, self.outputs, self.inputs, self.parts)


@dataclass
class Int8Layer:
    attention_norm: torch.Tensor
    qkv: Packed
    output: Packed
    mlp_norm: torch.Tensor
    gate_up: Packed
    down: Packed


class Int8Model:
    """The seam of `model.Model`, over native kernels. Hidden states are float32."""

    dtype = torch.bfloat16  # of the KV cache

    def __init__(
        self,
        config: ModelConfig,
        context: int,
        native: Kernels,
        read: Callable[[], Tensors],
        parts: Mapping[str, int] = PARTS,
    ) -> None:
        tensors = read()
        self.config = config
        self.context = min(context, config.context)
        self.native = native
        self.parts = parts
        self._read = read
        names = [f"model.layers.{n}." for n in range(config.layers)]
        self.layers = [self._layer(tensors, name) for name in names]
        self.norm = _own(tensors["model.norm.weight"])
        self.embedding = self._pack("head", [tensors["model.embed_tokens.weight"]])
        tied = "lm_head.weight" not in tensors
        self.head = self.embedding if tied else self._pack("head", [tensors["lm_head.weight"]])
        half = config.head_dim // 2
        cos, sin = rotary_tables(config, self.context, torch.float32)
        self._cos = cos[:, 0, :half].contiguous()
        self._sin = sin[:, 0, half:].contiguous()
        self._bind()

    @classmethod
    def load(
        cls,
        folder: Path,
        context: int,
        shipped: Shipped | None = None,
        native: Kernels | None = None,
        parts: Mapping[str, int] = PARTS,
    ) -> "Int8Model":
        """As `Model.load`. Raises ModelError, or kernels.Unavailable."""
        native = native or kernels.load()
        config = ModelConfig.load(folder)
        reason = unsupported(config, Tensors(folder, torch.float32))
        if reason:
            raise kernels.Unavailable(reason)
        with torch.inference_mode():
            # Opened again when an adapter comes: an open file's pages would count as ours.
            return cls(
                config, context, native, lambda: Tensors(folder, torch.float32, shipped), parts
            )

    def new_cache(self) -> KVCache:
        """Keys and values of another layout than torch's, see native/attention.h."""
        c = self.config
        width = -(-c.head_dim // LANES) * LANES
        return KVCache(c.layers, c.kv_heads, self.context, width, self.dtype)

    def forward(self, tokens: Sequence[int], cache: KVCache) -> torch.Tensor:
        """Append `tokens` to the cache. Returns the last layer's hidden states [n, hidden]."""
        return self.forward_all([(tokens, cache)])[0]

    def forward_all(self, parts: Sequence[tuple[Sequence[int], KVCache]]) -> list[torch.Tensor]:
        """One pass over new tokens of several sequences, each appended to its own cache.

        Returns hidden states [n, hidden] for each. Asserts that tokens are in the vocabulary and
        fit their caches.
        """
        assert len({id(cache) for _, cache in parts}) == len(parts), "one part for each cache"
        sizes = [len(tokens) for tokens, _ in parts]
        hidden = torch.empty(sum(sizes), self.config.hidden)
        held = [(ctypes.c_int32 * len(tokens))(*tokens) for tokens, _ in parts]
        natives = (kernels.Part * len(parts))()
        for native, ids, (tokens, cache) in zip(natives, held, parts, strict=True):
            start, count = len(cache), len(tokens)
            assert start + count <= self.context, "the caller checks the context length"
            assert count == 0 or 0 <= min(tokens) <= max(tokens) < self.config.vocabulary
            native.tokens = ctypes.cast(ids, ctypes.c_void_p)
            native.keys, native.values = cache.keys.data_ptr(), cache.values.data_ptr()
            native.layer_stride, native.head_stride = cache.keys.stride(0), cache.keys.stride(1)
            native.count, native.start = count, start
        self.native.call("forward", self._network, natives, len(parts), _at(hidden))
        for tokens, cache in parts:
            cache.advance(tokens)
        return list(hidden.split(sizes))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [n, hidden] to float32 logits [n, vocabulary]."""
        hidden = hidden.contiguous()
        out = torch.empty(len(hidden), self.head.outputs)
        self.native.call("logits", self._network, _at(hidden), len(hidden), _at(out))
        return out

    def replaced(
        self, names: Collection[str], change: Callable[[str, torch.Tensor], torch.Tensor]
    ) -> "Int8Model":
        """A model that shares with this one all but the layers' matrices of these names.

        `change` is given each of them by name, as it is in the files, in float32.
        """
        tensors = self._read()

        def matrix(name: str) -> torch.Tensor:
            return change(name, tensors[name]) if name in names else tensors[name]

        def changed(prefix: str, layer: Int8Layer) -> Int8Layer:
            fields = {}
            for field, parts in _FUSED.items():
                wanted = [f"{prefix}{part}.weight" for part in parts]
                if any(name in names for name in wanted):
                    pack = self._alternate if field == "gate_up" else self._pack
                    # The bias is laid out as it must be.
                    bias = getattr(layer, field).bias
                    fields[field] = pack(field, [matrix(n) for n in wanted], bias)
            return replace(layer, **fields)

        other = copy.copy(self)
        with torch.inference_mode():
            other.layers = [
                changed(f"model.layers.{n}.", layer) for n, layer in enumerate(self.layers)
            ]
        other._bind()
        return other

    def _layer(self, tensors: Tensors, prefix: str) -> Int8Layer:
        def packed(field: str) -> Packed:
            names = [prefix + name for name in _FUSED[field]]
            matrices = [tensors[f"{name}.weight"] for name in names]
            has_bias = f"{names[0]}.bias" in tensors
            biases = [tensors[f"{name}.bias"] for name in names] if has_bias else []
            if field != "gate_up":
                return self._pack(field, matrices, torch.cat(biases) if biases else None)
            mixed = torch.stack([bias.view(-1, LANES) for bias in biases], 1) if biases else None
            return self._alternate(field, matrices, None if mixed is None else mixed.flatten())

        return Int8Layer(
            attention_norm=_own(tensors[prefix + "input_layernorm.weight"]),
            qkv=packed("qkv"),
            output=packed("output"),
            mlp_norm=_own(tensors[prefix + "post_attention_layernorm.weight"]),
            gate_up=packed("gate_up"),
            down=packed("down"),
        )

    def _pack(
        self, field: str, matrices: list[torch.Tensor], bias: torch.Tensor | None = None
    ) -> Packed:
        """Matrices [outputs, inputs] of one input, below each other."""
        outputs = sum(len(matrix) for matrix in matrices)
        packed = self._empty(field, outputs, matrices[0].shape[1], bias)
        first = 0
        for matrix in matrices:
            self._write(matrix, first, False, packed)
            first += len(matrix)
        return packed

    def _alternate(
        self, field: str, matrices: list[torch.Tensor], bias: torch.Tensor | None
    ) -> Packed:
        """Gate and up, 16 outputs of one and then the same of the other."""
        gate, up = matrices
        packed = self._empty(field, 2 * len(gate), gate.shape[1], bias)
        self._write(gate, 0, True, packed)
        shift = LANES * -(-gate.shape[1] // BLOCK)
        later = Packed(packed.weights[shift * BLOCK :], packed.scales[shift:], None, 0, 0, 0)
        self._write(up, 0, True, later)
        return packed

    def _empty(self, field: str, outputs: int, inputs: int, bias: torch.Tensor | None) -> Packed:
        rows, blocks = -(-outputs // LANES) * LANES, -(-inputs // BLOCK)
        weights = torch.full((rows * blocks * BLOCK,), 128, dtype=torch.uint8)  # 128 is zero
        scales = torch.zeros(rows * blocks, dtype=torch.bfloat16)
        if bias is not None:  # a copy, like norms
            bias = torch.cat([bias, torch.zeros(rows - len(bias))])
        return Packed(weights, scales, bias, outputs, inputs, self.parts[field])

    def _write(self, matrix: torch.Tensor, first: int, gap: bool, to: Packed) -> None:
        for at in range(0, len(matrix), PACK_ROWS):
            rows = matrix[at : at + PACK_ROWS].float().contiguous()
            shape = (*rows.shape, first + at, int(gap))
            self.native.call("pack", _at(rows), *shape, _at(to.weights), _at(to.scales))

    def _bind(self) -> None:
        """The structure that the kernels read. All memory it points to is held by `self`."""
        c = self.config
        self._stack = (kernels.Layer * c.layers)(
            *(
                kernels.Layer(
                    layer.attention_norm.data_ptr(),
                    layer.mlp_norm.data_ptr(),
                    layer.qkv.struct(),
                    layer.output.struct(),
                    layer.gate_up.struct(),
                    layer.down.struct(),
                )
                for layer in self.layers
            )
        )
        network = kernels.Network()
        network.stack = ctypes.cast(self._stack, ctypes.POINTER(kernels.Layer))
        network.norm, network.cos = self.norm.data_ptr(), self._cos.data_ptr()
        network.sin = self._sin.data_ptr()
        network.embedding, network.head = self.embedding.struct(), self.head.struct()
        network.layers, network.heads, network.kv_heads = c.layers, c.heads, c.kv_heads
        network.head_dim, network.hidden = c.head_dim, c.hidden
        network.intermediate = self.layers[0].down.inputs
        network.eps = c.norm_eps
        self._network = ctypes.byref(network)


_FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "output": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


def unsupported(config: ModelConfig, tensors: Tensors) -> str:
    """Why the kernels cannot run a model; empty if they can."""
    shapes = tensors.shapes()
    name = "model.layers.0.mlp.gate_proj.weight"
    widths = [config.hidden, config.heads * config.head_dim, *shapes.get(name, [])]
    if any(width % LANES for width in widths) or config.head_dim % 2:
        return f"a matrix of this model is no multiple of {LANES} wide"
    return ""


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """A copy: a tensor read from a float32 file is a view that keeps the whole file mapped."""
    return tensor.clone(memory_format=torch.contiguous_format)


def _at(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
