"""Small sample sets for the tiny models of `tiny_models`: text that repeats, so that it is learned."""

import random
from pathlib import Path

from finetune.store import SampleSet

VOCABULARY = 512
END = 0


def make(folder: Path, count: int = 40, seed: int = 0, longest: int = 40) -> SampleSet:
    """Save samples of 10 to `longest` tokens: a counted-up prefix, and its last tokens again."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        length = rng.randint(10, longest) - 5
        start = rng.randint(10, 60)
        prefix = [start + i for i in range(length)]
        ids = [*prefix, *prefix[-4:], END]
        weights = [0.0, 0.0] + [0.25] * (length - 2) + [1.0] * 5
        rows.append((ids, weights, length))
    samples = SampleSet.of(rows)
    folder.mkdir(parents=True, exist_ok=True)
    samples.save(folder)
    return samples
