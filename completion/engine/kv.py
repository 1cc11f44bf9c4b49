"""KV cache of one sequence (append, rewind, share a prefix), and a few of them.

Shapes: keys and values are [layers, kv_heads, capacity, head_dim]. Pages are touched only as
they are written, so an unused cache costs no memory.
"""

from collections.abc import Callable, Sequence

import torch

# Below this a shared prefix is chance (an import line, a chat header), not the same document.
SHARED_PREFIX_TOKENS = 16
BLOCK = 16


class KVCache:
    """Keys and values of the tokens seen so far, in order."""

    def __init__(
        self, layers: int, kv_heads: int, capacity: int, head_dim: int, dtype: torch.dtype
    ) -> None:
        # Whole blocks: the kernels' keys of 16 positions lie in one (native/attention.h).
        shape = (layers, kv_heads, -(-capacity // BLOCK) * BLOCK, head_dim)
        self.keys = torch.empty(shape, dtype=dtype)
        self.values = torch.empty(shape, dtype=dtype)
        self.capacity = capacity
        self.tokens: list[int] = []

    def __len__(self) -> int:
        return len(self.tokens)

    def shared_prefix(self, tokens: Sequence[int]) -> int:
        """How many tokens at the start are the same."""
        limit = min(len(self.tokens), len(tokens))
        for n in range(limit):
            if self.tokens[n] != tokens[n]:
                return n
        return limit

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        assert 0 <= length <= len(self.tokens)
        del self.tokens[length:]

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


class KVPool:
    """A few caches kept for sequences to come; while a sequence runs, its cache is its own."""

    def __init__(self, new_cache: Callable[[], KVCache], kept: int) -> None:
        assert kept > 0
        self._new_cache = new_cache
        self._kept = kept
        self._idle: list[KVCache] = []  # the one given back longest ago comes first
        self._lent = 0

    def take(self, tokens: Sequence[int]) -> KVCache:
        """The idle cache that shares most with `tokens`, rewound to that; else a fresh one.

        At least the last token is left to be computed, because its logits are wanted.
        """
        shared = [cache.shared_prefix(tokens[:-1]) for cache in self._idle]
        best = max(range(len(shared)), key=shared.__getitem__, default=0)
        self._lent += 1
        if not shared or shared[best] < SHARED_PREFIX_TOKENS:
            if not shared or len(shared) + self._lent <= self._kept:
                return self._new_cache()
            best = 0
        cache = self._idle.pop(best)
        cache.rewind(shared[best])
        return cache

    def give_back(self, cache: KVCache) -> None:
        """The sequence has ended; its tokens may serve another."""
        self._lent -= 1
        self._idle.append(cache)
        del self._idle[: -self._kept]

    def clear(self) -> None:
        """Forget what idle caches hold."""
        for cache in self._idle:
            cache.rewind(0)
