"""Holes where commits added lines, and which commits are held out.

The split is by time along the main line: everything reachable from the split commit is for
training, every commit after it is held out, first for validation, then for test. A side branch
merged after the split is held out whole, whenever its commits were made.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from completion.languages import language_row
from completion.statements import Span, line_starts, spans
from finetune import files
from finetune.files import SourceFile
from finetune.holes import LONGEST, MAX_LINES, STARTED, Hole, kind_if_honoured
from finetune.neardup import Lines
from finetune.repository import Change, Repository
from tandem.errors import UsageError

CUT = "commit"
FEWEST_COMMITS = 10
HELD_OUT = 0.2  # of the main line's commits,
MOST_HELD_OUT = 300  # but not more: the newest code is what most needs learning
VALIDATION = 1 / 3  # of the held-out commits, the oldest of them
# Of the holes, so many stand before the rest of their change, which is not written yet.
UNWRITTEN = 0.5
LINES = 0.4  # of the holes end with their line, the others with a statement
MOST_LINES = 400  # a longer run of added lines is data or moved code
KNOWN = 0.5


@dataclass(frozen=True)
class Split:
    """Commits by their hashes; the main line has `commits` of them, `held_out` after `train`."""

    train: str
    validation: str
    test: str
    commits: int
    held_out: int


def split(repository: Repository, share: float = HELD_OUT) -> Split:
    """Where training ends. Raises UsageError for a repository with too short a history."""
    if not repository.head():
        raise UsageError(
            f"{repository.folder} has no commits.",
            f"Commit your work first; tuning needs at least {FEWEST_COMMITS} commits.",
        )
    line = repository.main_line()
    if len(line) < FEWEST_COMMITS:
        count = "one commit" if len(line) == 1 else f"{len(line)} commits"
        hint = f"Tuning needs at least {FEWEST_COMMITS}, to hold the newest out."
        if repository.is_shallow():
            hint += " This clone is shallow: run git fetch --unshallow"
        raise UsageError(f"{repository.folder} has only {count} on its main line.", hint)
    held_out = min(max(2, round(len(line) * share)), MOST_HELD_OUT, len(line) - 1)
    middle = held_out - max(1, round(held_out * VALIDATION))
    return Split(line[held_out], line[middle], line[0], len(line), held_out)


@dataclass(frozen=True)
class Changed:
    """A source file as a commit left it, and the ranges of lines [first, end) that it added."""

    change: Change
    file: SourceFile
    added: tuple[tuple[int, int], ...]


def read(
    repository: Repository, changes: Iterable[Change], skips: Counter[str]
) -> Iterator[Changed]:
    """The changes whose files count (see `files`), with their texts."""
    for change in changes:
        try:
            data = repository.read(change.blob)
        except ValueError:
            skips["unreadable"] += 1
            continue
        entry = files.Entry(change.path, len(data), lambda data=data: data)
        for file in files.sources(iter([entry]), skips):
            # Where a secret of several lines was taken out, line numbers no longer fit.
            if file.text.count("\n") != data.count(b"\n"):
                skips["line numbers lost"] += 1
                continue
            added = tuple(run for run in change.added if run[1] - run[0] <= MOST_LINES)
            if added:
                yield Changed(change, file, added)
            else:
                skips["huge change"] += 1


def holes(
    text: str, language: str, added: Iterable[tuple[int, int]], rng: random.Random, count: int
) -> Iterator[tuple[str, Hole]]:
    """Up to `count` different holes in added lines, each with the text that it is a hole of.

    That is `text`, or `text` without what the commit added after the hole: code is written from
    top to bottom, so the lines below are often not there yet.
    """
    places = _places(text, language)
    runs = [run for run in added if run[0] < run[1] < len(places.starts)]
    weights = [end - first for first, end in runs]
    seen: set[tuple[int, int]] = set()
    for _ in range(4 * count if runs else 0):
        if len(seen) >= count:
            return
        first, end = rng.choices(runs, weights)[0]
        spot = _draw(text, places, first, end, rng)
        if spot is None or spot in seen:
            continue
        shown = text
        if rng.random() < UNWRITTEN:
            shown = text[: spot[1]] + text[places.starts[end] - 1 :]
        kind = kind_if_honoured(shown, *spot, language)
        if kind is not None:
            seen.add(spot)
            yield shown, Hole(CUT, kind, *spot)


def sampled(
    changes: Iterable[Change], repository: Repository, wanted: int, skips: Counter[str]
) -> list[Changed]:
    """As many of the changes as give `wanted` holes, each with its text."""
    found: list[Changed] = []
    for changed in read(repository, changes, skips):
        if wanted <= 0:
            break
        found.append(changed)
        wanted -= holes_in(changed)
    return found


def fresh(
    changes: Iterable[Change],
    repository: Repository,
    known: Lines,
    wanted: int,
    skips: Counter[str],
) -> list[Changed]:
    """As `sampled`, of held-out commits: without runs of lines that `known` texts have already,
    which are moved or copied code."""
    found: list[Changed] = []
    for changed in read(repository, changes, skips):
        if wanted <= 0:
            break
        lines = changed.file.text.split("\n")
        runs = tuple(
            run for run in changed.added if known.share("\n".join(lines[slice(*run)])) <= KNOWN
        )
        if len(runs) < len(changed.added):
            skips["held-out lines known from training"] += len(changed.added) - len(runs)
        if runs:
            found.append(replace(changed, added=runs))
            wanted -= holes_in(found[-1])
    return found


def holes_in(changed: Changed) -> int:
    """How many holes a change is worth: one for each three lines, up to four."""
    return min(4, -(-sum(end - first for first, end in changed.added) // 3))


@dataclass(frozen=True)
class _Places:
    """Offsets of line starts, with one past the end of the text, and spans of statements."""

    starts: list[int]
    statements: tuple[Span, ...]


@lru_cache(maxsize=2)
def _places(text: str, language: str) -> _Places:
    statements = spans(text, language) if language_row(language).has_statements else ()
    return _Places([*line_starts(text), len(text) + 1], statements)


def _draw(
    text: str, places: _Places, first: int, end: int, rng: random.Random
) -> tuple[int, int] | None:
    """A hole inside the lines [first, end): the rest of one, or a statement or its rest."""
    low, high = places.starts[first], places.starts[end] - 1
    inside = [span for span in places.statements if low <= span.start and span.end <= high]
    if inside and rng.random() >= LINES:
        span = rng.choice(inside)
        begin, finish, longest = span.start, span.end, LONGEST["statement"]
        first_end = text.find("\n", begin, finish)
        started = rng.random() < STARTED
    else:
        row = rng.randrange(first, end)
        begin, finish, longest = places.starts[row], places.starts[row + 1] - 1, LONGEST["line"]
        first_end, started = -1, True
    line_end = first_end if first_end >= 0 else finish
    begin += len(text[begin:line_end]) - len(text[begin:line_end].lstrip())
    finish = begin + len(text[begin:finish].rstrip())
    if started and begin < finish:
        begin = rng.randrange(begin, min(line_end, finish))
    middle = text[begin:finish]
    fits = 1 < len(middle) <= longest and middle.strip() and middle.count("\n") < MAX_LINES
    return (begin, finish) if fits else None
