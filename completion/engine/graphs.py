"""Passes over a few tokens of one sequence with nothing left to decide: on a GPU, captured.

A GPU computes a small model's pass in less time than Python takes to launch its kernels. A CUDA
graph launches all of them at once, but only as they were recorded: in the same memory, of the same
shapes. So tokens and positions are tensors here, keys and values are written where the positions
say, and attention goes over the whole cache, with all that lies after a position masked out.
"""

import math
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch

from completion.engine.kv import KVCache
from completion.engine.model import Model

WIDTHS = (1, 2, 4, 8, 16, 32)  # tokens of a pass; one in between is padded

Pass = Callable[[], torch.Tensor]


class Step:
    """The pass over `width` tokens of one cache. `record` makes it what `run` launches."""

    def __init__(self, model: Model, cache: KVCache, width: int) -> None:
        self._model = model
        # Not the cache itself: it would live as long as what is kept for it.
        self._keys, self._values = cache.keys, cache.values
        self._tokens = torch.zeros(width, dtype=torch.long, device=model.device)
        self._positions = torch.zeros(width, dtype=torch.long, device=model.device)
        self._launch: Pass | None = None

    def run(
        self, tokens: Sequence[int], start: int, record: Callable[[Pass], Pass]
    ) -> torch.Tensor:
        """Hidden states [tokens, hidden]; keys and values of the tokens are written."""
        width = len(self._positions)
        padded = torch.tensor([*tokens, *[0] * (width - len(tokens))])
        self._tokens.copy_(padded)
        self._positions.copy_(torch.arange(start, start + width))
        if self._launch is None:
            self._launch = record(self._compute)
        # What is recorded writes its result to the same place each time.
        return self._launch()[: len(tokens)].clone()

    def _compute(self) -> torch.Tensor:
        model, positions = self._model, self._positions
        c, capacity = model.config, self._keys.shape[2]
        later = torch.arange(capacity, device=model.device) > positions[:, None]
        mask = torch.zeros(later.shape, dtype=model.dtype, device=model.device)
        mask = mask.masked_fill(later, -math.inf).repeat(c.heads // c.kv_heads, 1)

        def attend(index: int, rotated: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
            keys = rotated[:, c.heads :].transpose(0, 1)
            self._keys[index].index_copy_(1, positions, keys)
            self._values[index].index_copy_(1, positions, values.transpose(0, 1))
            return model.mixed(rotated, self._keys[index], self._values[index], mask)

        cos, sin = model.cos[positions], model.sin[positions]
        return model.through_layers(self._tokens, cos, sin, attend)


class Graphs:
    """The steps of one model's caches, each recorded when it is needed again."""

    def __init__(self, model: Model, record: Callable[[Pass], Pass]) -> None:
        """`record` is `captured` on a GPU."""
        self._model = model
        self._record = record
        self._steps: WeakKeyDictionary[KVCache, dict[int, Step]] = WeakKeyDictionary()

    def of(self, model: Model) -> "Graphs":
        return Graphs(model, self._record)

    def run(self, tokens: Sequence[int], cache: KVCache) -> torch.Tensor | None:
        """As `Model.forward`, but the cache does not advance. None if that is for the others:
        many tokens, a cache that is nearly full, or the first pass of its kind."""
        width = next((w for w in WIDTHS if w >= len(tokens)), 0)
        if not width or len(cache) + width > min(cache.capacity, self._model.context):
            return None
        steps = self._steps.setdefault(cache, {})
        if width not in steps:
            # Recording takes as long as some passes: only a cache that is used again is worth it.
            steps[width] = Step(self._model, cache, width)
            return None
        return steps[width].run(tokens, len(cache), self._record)


def captured(compute: Pass) -> Pass:
    """A pass as a CUDA graph. It computes some times first, as torch's manual wants it: harmless,
    because the same keys and values are written again."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            compute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = compute()

    def launch() -> torch.Tensor:
        graph.replay()
        return result

    return launch
