"""Which samples a step trains on, and how they lie in rows: no padding, nothing shared.

The order is an endless stream: each epoch is a shuffle of all samples that only the seed and the
epoch's number decide, so that one integer, the position in the stream, is all a checkpoint needs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from finetune.store import FILE, SampleSet
from tandem.errors import UsageError

MIDDLE, END, PREFIX = range(3)  # what a target is part of


@dataclass(frozen=True)
class Row:
    """Samples side by side, for one forward pass.

    ids and positions [n] int64; `lengths` of the samples, adding up to n; `at` [m] int64 are the
    places of the targets, each predicted from the place before; weights [m] float32; parts [m]
    int64 says what each target is: MIDDLE of the answer, its END, or the PREFIX. The samples of a
    row are all replayed, or none is.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    lengths: tuple[int, ...]
    at: torch.Tensor
    weights: torch.Tensor
    parts: torch.Tensor
    replayed: bool = False

    def to(self, device: torch.device) -> "Row":
        if device.type == "cpu":
            return self
        moved = (t.to(device, non_blocking=True) for t in (self.ids, self.positions, self.at))
        ids, positions, at = moved
        weights, parts = self.weights.to(device), self.parts.to(device)
        return Row(ids, positions, self.lengths, at, weights, parts, self.replayed)


class Packer:
    """Takes steps out of the stream of samples, and lays samples out in rows."""

    def __init__(self, samples: SampleSet, seed: int, tokens_per_step: int) -> None:
        self.samples = samples
        self.seed = seed
        self.tokens_per_step = tokens_per_step
        self._starts = samples.starts()
        self._epoch = -1
        self._order = np.zeros(0, np.int64)

    def sample_at(self, position: int) -> int:
        """The index of the sample at a place of the stream."""
        epoch, index = divmod(position, len(self.samples))
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))
            self._epoch = epoch
        return int(self._order[index])

    def step(self, position: int) -> tuple[list[int], int]:
        """The samples of the step that begins there, and where the next one begins."""
        picked: list[int] = []
        tokens = 0
        while True:
            sample = self.sample_at(position)
            tokens += int(self.samples.lengths[sample])
            if tokens > self.tokens_per_step:
                return picked, position
            picked.append(sample)
            position += 1

    def tokens(self, picked: Sequence[int]) -> int:
        return int(sum(self.samples.lengths[list(picked)]))

    def weight(self, picked: Sequence[int]) -> float:
        """The sum of the weights of all targets in these samples."""
        return math.fsum(
            self.samples.weights[self._starts[i] + 1 : self._starts[i + 1]].sum(dtype=np.float64)
            for i in picked
        )

    def rows(self, picked: Sequence[int], row_tokens: int) -> Iterator[Row]:
        """The samples in as few rows of at most `row_tokens` as their order allows.

        That order is kept, but that those that are replayed come last."""
        row: list[int] = []
        tokens = 0
        replayed = self.samples.replayed
        fresh = [sample for sample in picked if not replayed[sample]]
        for sample in (*fresh, *(sample for sample in picked if replayed[sample])):
            length = int(self.samples.lengths[sample])
            other = bool(row) and replayed[row[0]] != replayed[sample]
            if row and (other or tokens + length > row_tokens):
                yield self.row(row)
                row, tokens = [], 0
            row.append(sample)
            tokens += length
        if row:
            yield self.row(row)

    def row(self, picked: Sequence[int]) -> Row:
        spans = [slice(self._starts[i], self._starts[i + 1]) for i in picked]
        lengths = tuple(int(self.samples.lengths[i]) for i in picked)
        ids = np.concatenate([self.samples.ids[span] for span in spans]).astype(np.int64)
        weights = np.concatenate([self.samples.weights[span] for span in spans]).astype(np.float32)
        parts = np.full(len(ids), MIDDLE)
        begin = 0
        for sample, length in zip(picked, lengths, strict=True):
            parts[begin : begin + int(self.samples.middles[sample])] = PREFIX
            parts[begin + length - 1] = END
            weights[begin] = 0  # nothing comes before it
            begin += length
        at = np.flatnonzero(weights > 0)
        positions = np.concatenate([np.arange(length) for length in lengths])
        return Row(
            torch.from_numpy(ids),
            torch.from_numpy(positions),
            lengths,
            torch.from_numpy(at),
            torch.from_numpy(weights[at]),
            torch.from_numpy(parts[at]),
            bool(self.samples.replayed[picked[0]]),
        )


def share(picked: Sequence[int], lengths: np.ndarray, size: int, rank: int) -> list[int]:
    """The samples of a step that process `rank` of `size` takes: about equally many tokens each."""
    if size == 1:
        return list(picked)
    loads = [0] * size
    taken: list[list[int]] = [[] for _ in range(size)]
    for place in sorted(range(len(picked)), key=lambda p: (-int(lengths[picked[p]]), p)):
        least = loads.index(min(loads))
        loads[least] += int(lengths[picked[place]])
        taken[least].append(place)
    return [picked[place] for place in sorted(taken[rank])]


def load(folder: Path, longest: int, vocabulary: int) -> SampleSet:
    """Read and check samples. Raises UsageError if the trainer could not train on them."""
    remake = "Make the samples again."
    try:
        samples = SampleSet.load(folder)
    except (OSError, SafetensorError, TypeError) as error:
        hint = f"Name a folder with a {FILE}."
        raise UsageError(f"{folder} holds no readable samples ({error}).", hint) from None
    if not len(samples):
        raise UsageError(f"{folder} holds no samples.", "Take more code, or more of its history.")
    lengths = samples.lengths
    whole = samples.tokens == len(samples.weights) == lengths.sum() and lengths.min() > 0
    whole &= len(samples.middles) == len(samples.replayed) == len(samples)
    if not whole:
        raise UsageError(f"The samples in {folder} are damaged: lengths do not add up.", remake)
    if lengths.max() > longest:
        hint = f"Raise tokens_per_step and row_tokens to {lengths.max()} or more."
        raise UsageError(
            f"A sample in {folder} has {lengths.max()} tokens, and at most {longest} fit.", hint
        )
    if int(samples.ids.max()) >= vocabulary:
        raise UsageError(
            f"The samples in {folder} are for another model: token {samples.ids.max()} of a "
            f"vocabulary of {vocabulary}.",
            remake,
        )
    if not np.isfinite(samples.weights).all() or samples.weights.min() < 0:
        raise UsageError(f"The samples in {folder} have weights below zero.", remake)
    if not Packer(samples, 0, longest).weight(range(len(samples))) > 0:
        raise UsageError(f"No token of the samples in {folder} has a weight.", remake)
    return samples
