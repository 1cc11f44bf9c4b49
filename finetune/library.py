"""Packages laid out as folders with an index, so that samples get the pieces an editor would get.

What a prompt shows of other files is found by the retrieval that serves (`completion.retrieve`):
the model learns to read what it will be given, useful or not.
"""

import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from completion.cut import Count
from completion.document import Document
from completion.index import Index, Indexer
from completion.retrieve import Retriever
from completion.templates import Snippet
from finetune.files import SourceFile


def lay_out(root: Path, files: Iterable[SourceFile]) -> Path:
    """Write the files below `root`, and nothing else, and index them. Returns `root`, resolved.

    A path that leads out of `root`, or through a file, is left out.
    """
    shutil.rmtree(root, ignore_errors=True)
    # The top of a repository, so that no folder above it says what is ignored.
    (root / ".git").mkdir(parents=True)
    root = root.resolve()
    for file in files:
        target = root / file.path
        if not target.resolve().is_relative_to(root) or target.exists():
            continue
        if any(parent.is_file() for parent in target.parents):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.text.encode("utf-8", "replace"))
    indexer = Indexer(root)
    try:
        indexer.update()
    finally:
        indexer.close()
    return root


@dataclass
class Library:
    """The laid out folders by source. Sent to other processes as their paths; each opens its own
    indexes, when they are needed."""

    roots: Mapping[str, Path] = field(default_factory=dict)
    _open: dict[str, Retriever] = field(default_factory=dict, repr=False)

    def __contains__(self, source: str) -> bool:
        return source in self.roots

    def __getstate__(self) -> Mapping[str, Path]:
        return dict(self.roots)

    def __setstate__(self, roots: Mapping[str, Path]) -> None:
        self.roots, self._open = roots, {}

    def pieces(
        self, source: str, file: SourceFile, prefix: str, suffix: str, budget: int, count: Count
    ) -> tuple[Snippet, ...]:
        """As for an unsaved file whose text is `prefix + suffix`: `budget` is in tokens.

        Without the time box: samples must not depend on how busy the machine is.
        """
        found = self._open.get(source)
        if found is None:
            index = Index(self.roots[source])
            found = self._open[source] = Retriever(index, count, time_box_ms=math.inf)
        text = prefix + suffix
        document = Document(
            found.index.root / file.path, file.language, text, root=found.index.root
        )
        found.index.set_buffer(file.path, text)
        try:
            return tuple(found.context(document, len(prefix), budget).snippets)
        finally:
            found.index.set_buffer(file.path, None)
