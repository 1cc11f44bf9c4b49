"""What a repository's own files say of the next token: a memory that learns by being told.

A nested cache (Tu et al. 2014; Hellendoorn and Devanbu 2017): n-grams of the files as they are
now. Files come and go in milliseconds: small tables take up what is new and are merged when they
have grown (Bentley and Saxe 1980). What a view of it says depends on the files alone, not on the
order in which they came.
"""

import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from completion.engine.memory_table import LONGEST, Table
from completion.engine.tokenizer import Tokenizer

# A context that comes more often than this says little, and is slow to count.
COMMON = 4096
# Where even the longest sorted match is as frequent as this no longer one is looked for.
_TOO_COMMON = 1 << 17


@dataclass(frozen=True)
class Level:
    """After the last `length` tokens came `tokens` [n], rising, `counts` [n] times each."""

    length: int
    tokens: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class View:
    """A memory as it was at one moment."""

    tables: tuple[Table, ...] = ()

    def levels(self, context: Sequence[int]) -> list[Level]:
        """By rising length, up to the longest match; those that are too common are left out."""
        found = []
        for length, places in enumerate(self._matches(context), 1):
            if places is not None:
                parts = [t.tokens_at(p) for t, p in zip(self.tables, places, strict=True)]
                tokens, counts = np.unique(np.concatenate(parts), return_counts=True)
                found.append(Level(length, tokens, counts))
        return found

    def _matches(self, context: Sequence[int]) -> list[list[np.ndarray] | None]:
        """For each length the places in each table; None where they are too many."""
        tables, context = self.tables, context[-LONGEST:]
        spans = [table.spans(context) for table in tables]
        found: list[list[np.ndarray] | None] = []
        places: list[np.ndarray] = []
        for length in range(1, max(map(len, spans), default=0) + 1):
            own = [one[length - 1] if length <= len(one) else (0, 0) for one in spans]
            count = sum(high - low for low, high in own)
            common = count > (COMMON if length < tables[0].depth else _TOO_COMMON)
            places = [] if common else [t.places(s) for t, s in zip(tables, own, strict=True)]
            found.append(places if places and count <= COMMON else None)
        for length in range(len(found) + 1, len(context) + 1):
            if not places or length <= tables[0].depth:
                break
            places = [t.narrowed(p, context, length) for t, p in zip(tables, places, strict=True)]
            count = sum(map(len, places))
            if not count:
                break
            found.append(places if count <= COMMON else None)
        return found


@dataclass(frozen=True)
class Recall:
    """What a request wants mixed in. `weight` scales the fitted weight: 0 is none of it."""

    view: View
    weight: float = 1.0


class Memory:
    """The token ids of a repository's files. Any thread may use it; see `View` for lookups."""

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._changing = threading.Lock()
        self.view = View()

    def update(self, files: Mapping[str, np.ndarray], drop: Set[str] = frozenset()) -> None:
        """Take token ids [n] of files by name, in place of what was known of them; forget those
        of `drop`."""
        with self._changing:
            gone = files.keys() | drop
            tables = [
                table.without(gone) if any(name in table for name in gone) else table
                for table in self.view.tables
            ]
            new = {name: tokens for name, tokens in files.items() if len(tokens)}
            if new:
                tables.append(Table(new, self._vocabulary))
            self.view = View(tuple(_settled(tables)))

    @property
    def files(self) -> int:
        return sum(len(table.documents) for table in self.view.tables)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.view.tables))

    @property
    def nbytes(self) -> int:
        return sum(table.nbytes for table in self.view.tables)


def token_ids(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """Of a file's text [n], for a memory. Tokens that mark structure are left out: a file that
    spells them must not have them said."""
    ids = np.array(tokenizer.encode(text), np.int32)
    return ids[~np.isin(ids, list(tokenizer.special_ids))]


def _settled(tables: Sequence[Table]) -> list[Table]:
    """The same documents in tables each of which is more than twice as long as the next, so that
    there are few, and a token is sorted a few times only. Mostly garbage is cleared away."""
    settled: list[Table] = []
    for table in filter(len, tables):
        settled.append(table)
        while len(settled) > 1 and len(settled[-2]) <= 2 * len(settled[-1]):
            last = settled.pop()
            settled[-1] = settled[-1].merged(last)
    return [table.merged() if table.wasted else table for table in settled]
