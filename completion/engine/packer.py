"""From tensors as they are in a model's files to matrices in the kernels' layout."""

import ctypes
from collections.abc import Sequence

import torch

from completion.engine.kernels import Kernels
from completion.engine.packed import BLOCK, LANES, Contents, Packed
from completion.engine.tensors import Tensors

PACK_ROWS = 4096  # converted at a time, which bounds memory
NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "output": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


class Packer:
    """Rounds and lays out, with compiled code."""

    def __init__(self, native: Kernels) -> None:
        self._native = native

    def contents(self, tensors: Tensors, layers: int) -> Contents:
        """All that a model of so many layers has: see `Int8Model`."""
        matrices = {"embedding": self.pack([tensors["model.embed_tokens.weight"]])}
        vectors = {"norm": _own(tensors["model.norm.weight"])}
        if "lm_head.weight" in tensors:
            matrices["head"] = self.pack([tensors["lm_head.weight"]])
        for n in range(layers):
            prefix = f"model.layers.{n}."
            for field, names in FUSED.items():
                parts = [tensors[f"{prefix}{name}.weight"] for name in names]
                biases = [f"{prefix}{name}.bias" for name in names]
                found = [tensors[name] for name in biases] if biases[0] in tensors else []
                matrices[f"{n}.{field}"] = self.fused(field, parts, _joined(field, found))
            for field, name in NORMS.items():
                vectors[f"{n}.{field}"] = _own(tensors[f"{prefix}{name}.weight"])
        return Contents(matrices, vectors)

    def fused(self, field: str, parts: Sequence[torch.Tensor], bias: torch.Tensor | None) -> Packed:
        """One of FUSED from its parts [outputs, inputs]; the bias is laid out already."""
        if field != "gate_up":
            return self.pack(parts, bias)
        gate, up = parts
        return self._alternate(gate, up, bias)

    def pack(self, parts: Sequence[torch.Tensor], bias: torch.Tensor | None = None) -> Packed:
        """Matrices [outputs, inputs] of one input, below each other."""
        packed = _empty(sum(map(len, parts)), parts[0].shape[1], bias)
        first = 0
        for matrix in parts:
            self._write(matrix, first, False, packed)
            first += len(matrix)
        return packed

    def _alternate(self, gate: torch.Tensor, up: torch.Tensor, bias: torch.Tensor | None) -> Packed:
        """16 outputs of one and then the same of the other."""
        packed = _empty(2 * len(gate), gate.shape[1], bias)
        self._write(gate, 0, True, packed)
        shift = LANES * -(-gate.shape[1] // BLOCK)
        later = Packed(packed.weights[shift * BLOCK :], packed.scales[shift:], None, 0, 0)
        self._write(up, 0, True, later)
        return packed

    def _write(self, matrix: torch.Tensor, first: int, gap: bool, to: Packed) -> None:
        for at in range(0, len(matrix), PACK_ROWS):
            rows = matrix[at : at + PACK_ROWS].float().contiguous()
            addresses = [ctypes.c_void_p(t.data_ptr()) for t in (rows, to.weights, to.scales)]
            shape = (*rows.shape, first + at, int(gap))
            self._native.call("pack", addresses[0], *shape, *addresses[1:])


def _joined(field: str, biases: Sequence[torch.Tensor]) -> torch.Tensor | None:
    if not biases:
        return None
    if field == "gate_up":
        return torch.stack([bias.view(-1, LANES) for bias in biases], 1).flatten()
    return torch.cat(list(biases))


def _empty(outputs: int, inputs: int, bias: torch.Tensor | None) -> Packed:
    rows, blocks = -(-outputs // LANES) * LANES, -(-inputs // BLOCK)
    weights = torch.full((rows * blocks * BLOCK,), 128, dtype=torch.uint8)  # 128 is zero
    scales = torch.zeros(rows * blocks, dtype=torch.bfloat16)
    if bias is not None:  # a copy, like norms
        bias = torch.cat([bias, torch.zeros(rows - len(bias))])
    return Packed(weights, scales, bias, outputs, inputs)


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """A copy: a tensor read from a float32 file is a view that keeps the whole file mapped."""
    return tensor.clone(memory_format=torch.contiguous_format)
