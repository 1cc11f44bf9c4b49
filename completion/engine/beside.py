"""LoRA adapters beside the base's matrices, so that one pass serves several of them.

Merged adapters cost nothing per token but a copy of the matrices each, and requests of different
adapters take turns. Beside, an adapter takes a few megabytes, and each row of a pass gets the
low-rank product of its own sequence's adapter (as in Punica, Chen et al. 2023, arXiv 2310.18547,
without its kernel). Which of the two is fixed when the model is loaded: the two round
differently, and text must not depend on who else is asking.
"""

import copy
from collections.abc import Sequence

import torch

from completion.engine.kv import KVCache
from completion.engine.model import Model
from completion.engine.tensors import Linear

# Attributes of `model.Layer` that are matrices.
LINEARS = ("qkv", "output", "gate_up", "down")


class Beside:
    """One adapter: for each (layer, attribute) its pairs, as (rows of the output, A, scaled B).

    It is the owner of the KV caches that were made with it.
    """

    def __init__(self) -> None:
        self._pairs: dict[tuple[int, str], list[tuple[slice, torch.Tensor, torch.Tensor]]] = {}

    def add(
        self, layer: int, attribute: str, rows: slice, a: torch.Tensor, b: torch.Tensor
    ) -> None:
        """`a` is [rank, in], `b` [out, rank] with the scale in it, both float32."""
        self._pairs.setdefault((layer, attribute), []).append((rows, a, b))

    def add_to(self, out: torch.Tensor, x: torch.Tensor, layer: int, attribute: str) -> None:
        """Add what the adapter makes of `x` [n, in] to `out` [n, all rows], in place."""
        for rows, a, b in self._pairs.get((layer, attribute), ()):
            out[:, rows] += ((x.float() @ a.T) @ b.T).to(out.dtype)


class BesideModel(Model):
    """A model whose sequences each go through their own adapter: the one that owns the cache."""

    def __init__(self, base: Model) -> None:
        # The weights are the base's own; nothing is read or copied.
        self.__dict__.update(base.__dict__)
        # Whose adapter a row goes through changes from pass to pass.
        self.graphs = None
        self._rows: list[tuple[slice, Beside]] = []
        self.layers = [copy.copy(layer) for layer in base.layers]
        for index, layer in enumerate(self.layers):
            for name in LINEARS:
                setattr(layer, name, _Adapted(getattr(layer, name), index, name, self._rows))

    @torch.inference_mode()
    def forward_all(self, parts: Sequence[tuple[Sequence[int], KVCache]]) -> list[torch.Tensor]:
        start = 0
        self._rows.clear()
        for tokens, cache in parts:
            if isinstance(cache.owner, Beside):
                self._rows.append((slice(start, start + len(tokens)), cache.owner))
            start += len(tokens)
        return super().forward_all(parts)


class _Adapted(Linear):
    """A linear layer that adds to each row what its adapter says; `rows` tells whose they are."""

    def __init__(
        self, linear: Linear, layer: int, name: str, rows: list[tuple[slice, Beside]]
    ) -> None:
        super().__init__(linear.weight, linear.bias)
        self._place = layer, name
        self._rows = rows

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        out = super().__call__(x)
        for rows, adapter in self._rows:
            adapter.add_to(out[rows], x[rows], *self._place)
        return out
