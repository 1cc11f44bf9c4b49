"""The templates' candidates of all files that may be changed, by falling prior."""

import contextlib
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace

from sandbox import wanted
from sandbox.leaving import may_change
from sandbox.repair import search
from sandbox.repair.catalogue import Template
from sandbox.repair.change import Candidate
from sandbox.repair.templates import wanted as by_hints
from sandbox.suite import is_test_path
from sandbox.suspects import Found
from sandbox.worktree import Snapshot

MOST_FILES = 12  # that candidates are made for
MOST_OTHERS = 200  # Python files of the repository that are read beside them
# A suspect of this rank counts half: of 18 real fixes the line was first to third in 10, among the
# first 18 in 14 (docs/fix.md).
SHARP = 5.0
MOST_PIECES = 24  # of these, that pieces are taken from


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
    # Ochiai alone hardly tells the first suspect from the fiftieth where one test fails.
    suspects = [
        replace(one, score=one.score / (1 + rank / SHARP))
        for rank, one in enumerate(found.suspects)
    ]
    elsewhere = search.Elsewhere(_near(sources, files))
    hints = wanted.wanted(found.baseline.failing, {**sources, **found.sources})
    more = {**by_hints.templates(hints), **(more or {})}
    priors = {**by_hints.PRIORS, **(priors or {})}
    streams = [
        search.candidates(
            found.sources[path],
            path,
            suspects,
            elsewhere.but(path),
            priors=priors,
            model=model,
            more=more,
        )
        for path in files
    ]
    return heapq.merge(*streams, key=lambda one: -one.prior)


def _near(sources: Mapping[str, str], files: list[str]) -> dict[str, str]:
    """The suspicious files, and those in the same folders; no tests."""
    folders = {path.rpartition("/")[0] for path in files}
    rest = [one for one in sources if one not in files and not is_test_path(one)]
    rest.sort(key=lambda path: path.rpartition("/")[0] not in folders)
    return {path: sources[path] for path in (*files, *rest)[:MOST_PIECES] if path in sources}


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
