"""The templates' candidates of all files that may be changed, by falling prior."""

import contextlib
import heapq
from collections.abc import Iterator, Mapping

from sandbox import wanted
from sandbox.leaving import may_change
from sandbox.repair import search
from sandbox.repair.catalogue import Template
from sandbox.repair.change import Candidate
from sandbox.repair.templates import wanted as by_hints
from sandbox.suspects import Found
from sandbox.worktree import Snapshot

MOST_FILES = 12  # that candidates are made for
MOST_OTHERS = 200  # Python files of the repository that are read beside them


def of_templates(
    found: Found,
    sources: Mapping[str, str],
    model: Template | None = None,
    priors: Mapping[str, float] | None = None,
    more: Mapping[str, Template] | None = None,
) -> Iterator[Candidate]:
    """Of the most suspicious files, with what the failing tests give as hints; with a `model` its own are among them. `more` templates, such
    as remembered ones, come with `priors` of their own."""
    best: dict[str, float] = {}
    for one in found.suspects:
        if may_change(one.path) and one.path in found.sources:
            best[one.path] = max(best.get(one.path, 0.0), one.score)
    files = sorted(best, key=lambda path: (-best[path], path))[:MOST_FILES]
    hints = wanted.wanted(found.baseline.failing, {**sources, **found.sources})
    more = {**by_hints.templates(hints), **(more or {})}
    priors = {**by_hints.PRIORS, **(priors or {})}
    streams = [
        search.candidates(
            found.sources[path],
            path,
            found.suspects,
            {other: text for other, text in sources.items() if other != path},
            priors=priors,
            model=model,
            more=more,
        )
        for path in files
    ]
    return heapq.merge(*streams, key=lambda one: -one.prior)


def others(copy: Snapshot) -> dict[str, str]:
    """Python files of the repository: pieces are taken from them, and tests read in them."""
    texts: dict[str, str] = {}
    for path in copy.files:
        if len(texts) >= MOST_OTHERS:
            break
        file = copy.root / path
        if path.endswith(".py") and file.is_file() and not file.is_symlink():
            with contextlib.suppress(ValueError, OSError):
                texts[path] = copy.text(path)
    return texts
