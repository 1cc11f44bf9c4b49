"""The samples that the shipped model learns from, made from the packages of `sources.toml`.

    python -m finetune.corpus OUT [--tokens N] [--longest N] [--seed N] [--cache FOLDER]

fetches what is missing, checks every hash, and writes OUT as `dataset` describes it. The same
arguments give the same bytes. Some 20 ms of one core for each sample.
"""

import argparse
import os
import sys
from pathlib import Path

from finetune import dataset, sources
from finetune.encode import Mixture
from finetune.samples import END, Encoder
from tandem import paths
from tandem.errors import TandemError


def shipped_encoder() -> Encoder:
    """The default model's tokenizer and the template that it is trained for."""
    from completion import models
    from completion.engine.tokenizer import Tokenizer
    from completion.templates import for_model

    tokenizer = Tokenizer.load(models.pull(models.DEFAULT).folder)
    return Encoder(tokenizer, for_model(models.DEFAULT), END)


def build(out: Path, cache: Path, tokens: int, longest: int, seed: int) -> dataset.Dataset:
    """`longest` is the largest token budget of the text around a cursor.

    Raises TandemError if a package cannot be fetched or is not the one that was pinned.
    """
    listed = sources.listed()
    for number, source in enumerate(listed, 1):
        _show("Fetching packages", number, len(listed))
        sources.fetch(source, cache)
    return dataset.build_from_sources(
        listed,
        shipped_encoder(),
        out,
        cache,
        tokens=tokens,
        seed=seed,
        processes=os.cpu_count() or 1,
        mixture=Mixture(largest_budget=longest),
        progress=_show,
    )


def _show(stage: str, done: int, total: int) -> None:
    print(f"\r\x1b[K{stage} {done}/{total or '?'}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="The shipped model's samples.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=3_000_000)
    parser.add_argument("--longest", type=int, default=Mixture().largest_budget)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=paths.cache_dir() / "sources")
    given = parser.parse_args()
    made = build(given.out, given.cache, given.tokens, given.longest, given.seed)
    print(f"\n{made.folder}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except TandemError as problem:
        sys.exit(f"\n{problem}")
