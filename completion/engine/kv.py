"""KV cache of one sequence: append, rewind, copy a prefix.

Shapes: keys and values are [layers, kv_heads, capacity, head_dim]. Pages are touched only as
they are written, so an unused cache costs no memory.
"""

from collections.abc import Sequence

import torch

BLOCK = 16  # positions; kernels may lay them out within one in an order of their own


class KVCache:
    """Keys and values of the tokens seen so far, in order."""

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype,
        device: str = "cpu",
    ) -> None:
        # Whole blocks: the kernels' keys of 16 positions lie in one (native/attention.h).
        shape = (layers, kv_heads, -(-capacity // BLOCK) * BLOCK, head_dim)
        # A captured pass weighs what was never written with zero, and that must not be NaN.
        new = torch.empty if device == "cpu" else torch.zeros
        self.keys = new(shape, dtype=dtype, device=device)
        self.values = new(shape, dtype=dtype, device=device)
        self.capacity = capacity
        # Whose weights made them: the pool keeps owners apart.
        self.owner: object = None
        self.tokens: list[int] = []

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def bytes_per_token(self) -> int:
        return (self.keys.nbytes + self.values.nbytes) // self.capacity

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        assert 0 <= length <= len(self.tokens)
        del self.tokens[length:]

    def copy_prefix(self, other: "KVCache", length: int) -> None:
        """Hold the first `length` tokens of another sequence, and nothing else."""
        assert length <= len(other)
        end = -(-length // BLOCK) * BLOCK
        self.keys[:, :, :end] = other.keys[:, :, :end]
        self.values[:, :, :end] = other.values[:, :, :end]
        self.tokens[:] = other.tokens[:length]

    def append(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one layer's [kv_heads, n, head_dim] after the known tokens; return all so far.

        The length moves on only with `advance`, once every layer has written.
        """
        start = len(self.tokens)
        end = start + keys.shape[1]
        assert end <= self.capacity, "the caller checks the context length"
        self.keys[layer, :, start:end] = keys
        self.values[layer, :, start:end] = values
        return self.keys[layer, :, :end], self.values[layer, :, :end]

    def advance(self, tokens: Sequence[int]) -> None:
        self.tokens.extend(tokens)
