"""A piece of a document that is followed through edits, and how much of it still stands.

The piece keeps the text that stands in its place itself: nobody has to ask the document.
"""

import re
from dataclasses import dataclass

from completion.changes import Change

# A text so much longer than what was accepted took its place as a whole: in it any few words
# would be found again by chance, so only whole lines count.
FAR_LONGER = 4
_SLACK = 200
_UNITS = re.compile(r"\w+|\W")


@dataclass
class Piece:
    """`text` was put at `start`; `now` stands there since.

    Where all of it was deleted it may come back, by undo, unless it is `lost`.
    """

    start: int
    text: str
    now: str
    lost: bool = False

    @classmethod
    def at(cls, start: int, text: str) -> "Piece":
        return cls(start, text, text)

    @property
    def end(self) -> int:
        return self.start + len(self.now)

    @property
    def kept(self) -> int:
        """How many characters of the text still stand."""
        return kept(self.text, self.now)

    def follow(self, change: Change) -> None:
        """A change of the document; what takes the place of some of the piece belongs to it."""
        start, end = change.start, change.end
        if self.lost:
            return
        if start >= self.end and (self.now or start > self.start):
            return
        if end <= self.start and (self.now or start < self.start):
            self.start += change.shift
            return
        head = self.now[: max(start - self.start, 0)]
        tail = self.now[max(end - self.start, 0) :]
        self.now = head + change.inserted + tail
        self.start = min(self.start, start)


def kept(text: str, now: str) -> int:
    """Characters of `text` in the longest sequence of whole words and signs that `now` has too.

    Bit-parallel, after Hyyrö (2004): a pass over `now` with one long number for `text`.
    """
    if text == now:
        return len(text)
    if len(now) > FAR_LONGER * len(text) + _SLACK:
        if text in now:
            return len(text)
        lines = set(now.split("\n"))
        return sum(len(line) for line in text.split("\n") if line.strip() and line in lines)
    masks: dict[tuple[str, int], int] = {}
    for position, unit in enumerate(_characters(text)):
        masks[unit] = masks.get(unit, 0) | 1 << position
    everything = (1 << len(text)) - 1
    row = everything
    for unit in _characters(now):
        found = row & masks.get(unit, 0)
        row = ((row + found) | (row - found)) & everything
    return len(text) - row.bit_count()


def _characters(text: str) -> list[tuple[str, int]]:
    """Each character as the part it is of its word, so that it only equals itself there."""
    return [(unit, at) for unit in _UNITS.findall(text) for at in range(len(unit))]
