"""Answers already known: found again after typing on or back, and after edits elsewhere.

An answer is kept with the lines around its cursor (`place`), not with an offset. It answers as
long as they are the same and what was typed since is a start of it: keys, accepted words and
lines, and what an editor adds by itself, as the indentation after Enter or a bracket closed right
of the cursor. Whatever is found, inserting it gives the text that the first answer would have
given; what cannot be had by inserting at the cursor is not found.

Places where nothing is to be suggested are kept too, for NOTHING_S seconds and for just that
cursor: what the model left open there it may know one key later.

Not thread-safe. The least recently used is forgotten first.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from completion.place import Place

FILES = 32
ENTRIES = 64  # of one file
CHARACTERS = 1_000_000  # of all entries, with the text around them
NOTHING_S = 20.0

How = Literal["same place", "typed through", "typed back", "prefetched", "edited elsewhere"]


@dataclass(frozen=True)
class Known:
    """An answer. `text` is what it inserts, "" with the `reason` where there is nothing.

    `complete`: false where a limit cut it. `id`: its event in the trace. `prefetched`: asked for
    before the cursor came there. `info` is the asker's own and comes back as it is.
    """

    text: str
    complete: bool = True
    id: str = ""
    prefetched: bool = False
    reason: str = ""
    info: Any = None


@dataclass(frozen=True)
class Hit:
    """What is left of an answer: `text` goes to the cursor, in place of the next `replaces`
    characters of its line, which `text` holds as well (the editor closed a bracket in the middle
    of the answer; else 0). `typed`: characters of the answer that stand there already. `text` is
    "" where nothing is to be suggested, with `known.reason`.
    """

    text: str
    replaces: int
    known: Known
    how: How
    typed: int


@dataclass
class _Entry:
    place: Place
    known: Known
    offset: int
    rest: int  # characters of the file after the cursor
    at: float
    reached: int = 0

    @property
    def size(self) -> int:
        return len(self.place.before) + len(self.place.after) + len(self.known.text)


@dataclass
class _File:
    entries: "OrderedDict[Place, _Entry]" = field(default_factory=OrderedDict)


class Cache:
    """Answers of one set of settings. Offsets are in characters; line ends are "\\n"."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files: OrderedDict[Path, _File] = OrderedDict()
        self._characters = 0

    def put(self, path: Path, text: str, offset: int, known: Known) -> None:
        """Keep an answer for the cursor at `offset`, instead of another one for that place.

        A prefetched one is for the text with the shown suggestion in it, at that one's end.
        """
        assert known.text or known.reason, "nothing to suggest needs a reason"
        place = Place.of(text, offset)
        file = self._files.setdefault(path, _File())
        self._files.move_to_end(path)
        self._drop(file, place)
        entry = _Entry(place, known, offset, len(text) - offset, self._clock())
        file.entries[place] = entry
        self._characters += entry.size
        self._shrink(file)

    def find(self, path: Path, text: str, offset: int) -> Hit | None:
        """What is known for the cursor at `offset`; of several answers, the one used last."""
        file = self._files.get(path)
        if file is None:
            return None
        for place, entry in reversed(file.entries.items()):
            hit = self._answer(entry, text, offset)
            if hit is not None:
                file.entries.move_to_end(place)
                self._files.move_to_end(path)
                return hit
        return None

    def forget(self, path: Path) -> None:
        """Drop what is known of a file."""
        file = self._files.pop(path, None)
        if file is not None:
            self._characters -= sum(entry.size for entry in file.entries.values())

    def _answer(self, entry: _Entry, text: str, offset: int) -> Hit | None:
        known = entry.known
        closers = [text[offset : offset + size] for size in entry.place.closed(text, offset)]
        if not closers:
            return None
        for typed in entry.place.typed(text, offset, len(known.text)):
            if not known.text:
                fresh = self._clock() - entry.at < NOTHING_S
                return Hit("", 0, known, "same place", 0) if fresh and not closers[0] else None
            if not text.startswith(known.text[:typed], offset - typed):
                continue
            for closer in closers:
                left = _left(known.text[typed:], closer)
                if left is not None and (typed or not closer):
                    rest = len(text) - offset - len(closer)
                    return Hit(*left, known, _how(entry, typed, offset - typed, rest), typed)
        return None

    def _drop(self, file: _File, place: Place) -> None:
        entry = file.entries.pop(place, None)
        self._characters -= entry.size if entry is not None else 0

    def _shrink(self, file: _File) -> None:
        while len(file.entries) > ENTRIES:
            self._drop(file, next(iter(file.entries)))
        while len(self._files) > FILES:
            self.forget(next(iter(self._files)))
        while self._characters > CHARACTERS:
            path, oldest = next(iter(self._files.items()))
            self._drop(oldest, next(iter(oldest.entries)))
            if not oldest.entries:
                self.forget(path)


def _left(rest: str, closer: str) -> tuple[str, int] | None:
    """What to insert of `rest` where the editor has put `closer` right of the cursor, and how
    many characters it takes the place of."""
    if rest.endswith(closer):
        text, replaces = rest[: len(rest) - len(closer)], 0
    elif _within(closer, rest.partition("\n")[0]):
        text, replaces = rest, len(closer)
    else:
        return None
    return (text, replaces) if text.strip() else None


def _within(part: str, line: str) -> bool:
    """Whether a line has these characters, in this order: then no character gets lost."""
    letters = iter(line)
    return all(letter in letters for letter in part)


def _how(entry: _Entry, typed: int, offset: int, rest: int) -> How:
    """How the place was reached, which the entry remembers for the next time."""
    moved = (offset, rest) != (entry.offset, entry.rest)
    back = typed < entry.reached
    entry.offset, entry.rest, entry.reached = offset, rest, max(typed, entry.reached)
    if moved:
        return "edited elsewhere"
    if back:
        return "typed back"
    if typed:
        return "typed through"
    return "prefetched" if entry.known.prefetched else "same place"
