"""A cursor's place, told by the lines around it: found again when edits elsewhere have moved it.

What a model says hangs most on the nearest lines: it copies their names and carries on their
shape. So an answer is that of a place as long as LINES_BEFORE whole lines above the cursor's and
LINES_AFTER below it are the same to the letter, and nothing is asked about the rest of the file.
A change inside these lines makes another place, also one that does not touch the cursor: the
answer was for other code.
"""

from collections.abc import Iterator
from dataclasses import dataclass

LINES_BEFORE = 10
LINES_AFTER = 4
# Characters, for files whose lines are long.
MOST_BEFORE = 2000
MOST_AFTER = 800
# What an editor closes by itself, right of the cursor, is not longer: `)`, `"""`, "\n    })".
LONGEST_CLOSER = 48


@dataclass(frozen=True)
class Place:
    """The text on both sides of a cursor, as far as it counts.

    `before` starts with the line break above the first line, so that it fits at a line's start
    only, unless the file starts there (`at_start`); `after` and `at_end` likewise.
    """

    before: str
    after: str
    at_start: bool
    at_end: bool

    @classmethod
    def of(cls, text: str, offset: int) -> "Place":
        assert 0 <= offset <= len(text), "the cursor is outside the document"
        first = offset
        for _ in range(LINES_BEFORE + 1):
            first = text.rfind("\n", max(0, offset - MOST_BEFORE), first)
            if first < 0:
                break
        first = max(first, offset - MOST_BEFORE)
        last = offset
        for _ in range(LINES_AFTER + 1):
            last = text.find("\n", last, offset + MOST_AFTER) + 1
            if not last:
                break
        last = last or offset + MOST_AFTER
        return cls(text[max(first, 0) : offset], text[offset:last], first < 0, last > len(text))

    def typed(self, text: str, offset: int, longest: int) -> Iterator[int]:
        """How far before `offset`, at most `longest` characters, the place's cursor may be now;
        the nearest last."""
        size = len(self.before)
        if self.at_start:
            if size <= offset <= size + longest and text.startswith(self.before):
                yield offset - size
            return
        start = text.find(self.before, max(0, offset - longest - size), offset)
        while start >= 0:
            yield offset - size - start
            start = text.find(self.before, start + 1, offset)

    def closed(self, text: str, offset: int) -> Iterator[int]:
        """How many characters may have come between `offset` and the text after the place."""
        size = len(self.after)
        if self.at_end:
            between = len(text) - size - offset
            if 0 <= between <= LONGEST_CLOSER and text.endswith(self.after):
                yield between
            return
        end = offset + LONGEST_CLOSER + size
        start = text.find(self.after, offset, end)
        while start >= 0:
            yield start - offset
            start = text.find(self.after, start + 1, end)
