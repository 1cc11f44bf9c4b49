"""A model with int8 weights, run by our own kernels: one call for a whole forward pass.

Weights are rounded to int8 with a scale for every 64 inputs of an output. Activations are
rounded with one for every 32, so that an outlier spoils few others; before the head, where what
is lost cannot be made up for, they become two int8 (the second holds what the first left over),
and everywhere in a model whose outliers are too large for one. A row's numbers are the same to the
bit whatever is computed beside it, in however many pieces.
"""

import copy
import ctypes
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from completion.engine import kernels, packed
from completion.engine.kernels import Kernels
from completion.engine.kv import KVCache
from completion.engine.modelconfig import ModelConfig
from completion.engine.packed import LANES, Contents, Packed
from completion.engine.packer import FUSED, Packer
from completion.engine.rotary import rotary_tables
from completion.engine.shipped import Shipped
from completion.engine.tensors import Tensors
from completion.engine.tokenizer import Tokenizer

# int8 for each activation that a matrix is given: see docs/LOG.md, 2026-11-26, for the choice.
NARROW: Mapping[str, int] = {"qkv": 1, "output": 1, "gate_up": 1, "down": 1, "head": 2}
WIDE: Mapping[str, int] = dict.fromkeys(NARROW, 2)
# A model is wide if narrow costs more than this, in nats a token, over so many tokens of real code.
# The default model loses 0.002.
MOST_LOST = 0.01
JUDGED_TOKENS = 128


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
        weights: Contents,
        read: Callable[[], Tensors],
        parts: Mapping[str, int],
    ) -> None:
        """`read` gives the tensors that `weights` were made of, for adapters."""
        self.config = config
        self.context = min(context, config.context)
        self.native = native
        self.parts = parts
        self._read = read
        self.layers = [
            Int8Layer(
                attention_norm=weights.vectors[f"{n}.attention_norm"],
                mlp_norm=weights.vectors[f"{n}.mlp_norm"],
                **{field: weights.matrix(f"{n}.{field}", parts[field]) for field in FUSED},
            )
            for n in range(config.layers)
        ]
        self.norm = weights.vectors["norm"]
        self.embedding = weights.matrix("embedding", parts["head"])
        tied = "head" not in weights.matrices
        self.head = self.embedding if tied else weights.matrix("head", parts["head"])
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
        parts: Mapping[str, int] | None = None,
    ) -> "Int8Model":
        """As `Model.load`. Raises ModelError, or kernels.Unavailable.

        `parts` are NARROW or WIDE, by what was found when the model was packed, if not given.
        """
        native = native or kernels.load()
        config = ModelConfig.load(folder)
        reason = unsupported(config, Tensors(folder, torch.float32))
        if reason:
            raise kernels.Unavailable(reason)

        def read() -> Tensors:
            # Opened again when an adapter comes: an open file's pages would count as ours.
            return Tensors(folder, torch.float32, shipped)

        file = packed.file_of(folder, shipped)
        with torch.inference_mode():
            kept = packed.read(file)
            if kept is None:
                kept = Packer(native).contents(read(), config.layers)
                length = min(JUDGED_TOKENS, context, config.context)
                narrow, wide = (cls(config, length, native, kept, read, p) for p in (NARROW, WIDE))
                sample = Tokenizer.load(folder).encode(Path(__file__).read_text("utf-8"))[:length]
                kept = replace(kept, wide=_divergence(wide, narrow, sample) > MOST_LOST)
                packed.save(file, kept)
            return cls(
                config, context, native, kept, read, parts or (WIDE if kept.wide else NARROW)
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
        tensors, packer = self._read(), Packer(self.native)

        def matrix(name: str) -> torch.Tensor:
            return change(name, tensors[name]) if name in names else tensors[name]

        def changed(prefix: str, layer: Int8Layer) -> Int8Layer:
            fields = {}
            for field, parts in FUSED.items():
                wanted = [f"{prefix}{part}.weight" for part in parts]
                if any(name in names for name in wanted):
                    old: Packed = getattr(layer, field)
                    made = packer.fused(field, [matrix(n) for n in wanted], old.bias)
                    fields[field] = replace(made, parts=old.parts)
            return replace(layer, **fields)

        other = copy.copy(self)
        with torch.inference_mode():
            other.layers = [
                changed(f"model.layers.{n}.", layer) for n, layer in enumerate(self.layers)
            ]
        other._bind()
        return other

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


def unsupported(config: ModelConfig, tensors: Tensors) -> str:
    """Why the kernels cannot run a model; empty if they can."""
    shapes = tensors.shapes()
    name = "model.layers.0.mlp.gate_proj.weight"
    widths = [config.hidden, config.heads * config.head_dim, *shapes.get(name, [])]
    if any(width % LANES for width in widths) or config.head_dim % 2:
        return f"a matrix of this model is no multiple of {LANES} wide"
    return ""


def _divergence(exact: Int8Model, other: Int8Model, tokens: Sequence[int]) -> float:
    """Mean Kullback-Leibler divergence of the next token's distributions, nats a token."""
    p, q = (
        model.logits(model.forward(tokens, model.new_cache())).log_softmax(-1)
        for model in (exact, other)
    )
    return float(F.kl_div(q, p, reduction="batchmean", log_target=True))


def _at(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
