"""Tokenised samples on disk: one flat file that a trainer needs nothing but numpy to read.

A folder holds `samples.safetensors` and `manifest.json` (what they were made of, see `dataset`).
Arrays: ids [tokens] uint16 or uint32, weights [tokens] float16 (loss weight of predicting this
token), lengths [samples] int32, middles [samples] int32 (index of the answer's first token),
replayed [samples] bool (an answer of the base itself, to whose distribution training holds on).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

FILE = "samples.safetensors"


@dataclass(frozen=True)
class SampleSet:
    """Samples in the order in which they are trained on."""

    ids: np.ndarray
    weights: np.ndarray
    lengths: np.ndarray
    middles: np.ndarray
    replayed: np.ndarray

    @classmethod
    def of(
        cls, samples: Iterable[tuple[Sequence[int], Sequence[float], int]], replayed: bool = False
    ) -> "SampleSet":
        """From (ids, weights, index of the first answer token) of each sample."""
        rows = list(samples)
        flat = np.concatenate([np.asarray(ids, np.uint32) for ids, _, _ in rows] or [_NONE])
        narrow = flat.astype(np.uint16) if flat.max(initial=0) < 2**16 else flat
        return cls(
            narrow,
            np.concatenate([np.asarray(w, np.float16) for _, w, _ in rows] or [_NONE]),
            np.array([len(ids) for ids, _, _ in rows], np.int32),
            np.array([middle for _, _, middle in rows], np.int32),
            np.full(len(rows), replayed),
        )

    @classmethod
    def load(cls, folder: Path) -> "SampleSet":
        """Raises OSError or SafetensorError for a folder without readable samples."""
        arrays = load_file(folder / FILE)
        # Files from before there was a replay have none.
        replayed = np.zeros(len(arrays.get("lengths", ())), bool)
        return cls(**{"replayed": replayed, **arrays})

    @classmethod
    def joined(cls, sets: Sequence["SampleSet"]) -> "SampleSet":
        """All samples of several sets, one set after another."""
        parts = ([getattr(one, name) for one in sets] for name in _ARRAYS)
        return cls(*map(np.concatenate, parts))

    def save(self, folder: Path) -> None:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_file(arrays, folder / FILE)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def starts(self) -> np.ndarray:
        """Offset of each sample in `ids` [samples + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])


_ARRAYS = ("ids", "weights", "lengths", "middles", "replayed")
_NONE = np.zeros(0, np.uint32)
