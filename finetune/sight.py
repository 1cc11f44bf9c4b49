"""The retrieval that an editor gets, opened on a repository to be measured."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from completion.cut import Count
from completion.index import Index, Indexer
from completion.pieces import SOURCES, Source
from completion.retrieve import Retriever
from finetune.context import ALL, ALWAYS, Find, Sight
from finetune.evaluate import Progress


@contextmanager
def sight_of(root: Path, count: Count, budget: int, on_progress: Progress) -> Iterator[Sight]:
    """All sources, with and without the gate, then each alone.

    Without the time box: figures must not depend on how busy the machine is. Their times are
    measured.
    """
    Indexer(root).update(on_progress)
    index = Index(root)

    def way(sources: Sequence[Source] = SOURCES, gate: bool = False) -> Find:
        return Retriever(index, count, sources, gate, time_box_ms=math.inf).context

    ways = {ALL: way(gate=True), ALWAYS: way()}
    ways |= {f"{source} alone": way([source]) for source in SOURCES}
    try:
        yield Sight(root, index, ways, budget)
    finally:
        index.close()
