"""Where lines that were meant for a file stand in it, if a model did not copy them quite right.

The lines are walked along the file's from each place where they may begin. How much may differ
grows level by level, and the first level that finds any place decides:

    exact        nothing
    trailing     spaces at the ends of lines
    tabs         tabs indent in place of spaces, or spaces in place of tabs
    indentation  all lines moved by one number of columns
    spacing      spaces within lines, but not within strings
    blank        blank lines more or less
    elided       a line of `...` stands for lines that are not shown
    stale        a few lines that are only context are nearly, but not quite, the file's

A limit: where the place that was meant is gone, a twin of it that differs in one context line is
nearly right, and is taken for it.

Nothing here knows line ends: lines come without them. Places count from 0.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sandbox import alike
from sandbox.alike import spaced
from sandbox.indents import Indents

MAX_BLANK = 3  # so many blank lines in a row may be more or less
MAX_ELIDED = 400
MAX_ENDS = 20  # more than so many ends of an elided part are as good as any
STALE_SHARE = 0.4  # of the lines may be stale, and one always
MIN_SURE = 2  # so many others must be right, or one that the file has once; each of
MIN_WORDS = 3  # letters or digits
MAX_PLACES = 200  # of one level: those nearest to where the text is said to be
MAX_STEPS = 200_000  # of a walk; what takes longer is not looked for

Span = tuple[int, int]


class Level(IntEnum):
    """How far lines may differ from the file's."""

    EXACT = 0
    TRAILING = 1
    TABS = 2
    INDENTATION = 3
    SPACING = 4
    BLANK = 5
    ELIDED = 6
    STALE = 7


@dataclass(frozen=True)
class Place:
    """Where the lines stand: `spans` has for each the file's [first, end), which may be empty.

    `stale` are the file's lines that are kept although ours are not quite the same.
    """

    spans: tuple[Span, ...]
    indents: Indents
    level: Level
    stale: tuple[int, ...] = ()

    @property
    def first(self) -> int:
        return self.spans[0][0]

    @property
    def end(self) -> int:
        return self.spans[-1][1]


def find(
    wanted: Sequence[str], new: Sequence[str], file: Sequence[str], level: Level, near: int
) -> list[Place]:
    """The places at just this level, those that begin nearest to line `near` first.

    `new` lines are to stand there instead: what is in both is context.
    """
    finder = _Finder(wanted, new, file, level, near)
    return sorted(finder.places(), key=lambda place: (abs(place.first - near), place.spans))


_KEYS: dict[Level, Callable[[str], str]] = {
    Level.EXACT: lambda line: line,
    Level.TRAILING: str.rstrip,
    Level.TABS: str.strip,
    Level.INDENTATION: str.strip,
}


class _Finder:
    """The walk of some lines along a file at one level."""

    def __init__(
        self,
        wanted: Sequence[str],
        new: Sequence[str],
        file: Sequence[str],
        level: Level,
        near: int,
    ) -> None:
        key = _KEYS.get(level, spaced)
        self._wanted, self._file, self._level = wanted, file, level
        self._context = alike.context(wanted, new) if level is Level.STALE else []
        self._new = {key(line) for line in new}
        self._keys = [key(line) for line in wanted]
        self._file_keys = [key(line) for line in file]
        self._blank = [not line.strip() for line in wanted]
        self._file_blank = [not line.strip() for line in file]
        elided = level is Level.ELIDED
        self._elided = [elided and alike.is_elided(line) for line in wanted]
        self._near = near
        self._steps = MAX_STEPS
        self._in_block = False  # what is elided does not leave its block
        self._firm = [n for n in range(len(wanted)) if not (self._blank[n] or self._elided[n])]

    def places(self) -> list[Place]:
        if self._level is Level.ELIDED and not any(self._elided):
            return []
        if self._level > Level.TRAILING and not self._firm:
            return []
        found = self._all()
        if self._level is Level.ELIDED and len(found) > 1:
            # Of several ends that which is in the same block is meant, if there is one.
            self._in_block = True
            found = self._all() or found
        # With steps left over every place was looked at, so that one is known to be the only one.
        return found if self._steps > 0 else []

    def _all(self) -> list[Place]:
        found: dict[tuple[Span, ...], Place] = {}
        for start in sorted(self._starts(), key=lambda start: abs(start - self._near)):
            for spans, stale in self._walk(0, start, [], []):
                place = self._place(tuple(spans), tuple(stale))
                if place is not None:
                    found.setdefault(place.spans, place)
            if len(found) >= MAX_PLACES:
                break
        return list(found.values())

    def _starts(self) -> list[int]:
        """The file's lines at which the walk may begin."""
        if self._level < Level.BLANK:
            return alike.standing(self._keys, self._file_keys)
        first = self._firm[0]
        if self._level is Level.STALE:
            begins = self._voted(first)
        elif self._level is Level.BLANK:
            firm = [n for n, blank in enumerate(self._file_blank) if not blank]
            keys = [self._file_keys[n] for n in firm]
            begins = [firm[n] for n in alike.standing([self._keys[n] for n in self._firm], keys)]
        else:
            begins = alike.standing([self._keys[first]], self._file_keys)
        # Blank lines of ours above the first firm one are those above it in the file, if any.
        leading = sum(self._blank[:first])
        starts = []
        for begin in begins:
            start = begin
            while start > 0 and begin - start < leading and self._file_blank[start - 1]:
                start -= 1
            starts.append(start)
        return starts

    def _voted(self, first: int) -> list[int]:
        """Where the first firm line should be, going by lines further down that are as in the file."""
        where: dict[str, list[int]] = {}
        for number, key in enumerate(self._file_keys):
            where.setdefault(key, []).append(number)
        votes = {
            number - (at - first) + drift
            for at in self._firm
            if len(where.get(self._keys[at], ())) <= alike.OFTEN
            for number in where.get(self._keys[at], ())
            for drift in range(-2, 3)
        }
        return [n for n in votes if 0 <= n < len(self._file) and not self._file_blank[n]]

    def _walk(
        self, at: int, number: int, spans: list[Span], stale: list[int]
    ) -> Iterator[tuple[list[Span], list[int]]]:
        """Our line `at` against the file's line `number`, and so on to the end."""
        skipped, is_loose = 0, self._level >= Level.BLANK
        while at < len(self._wanted) and self._steps > 0:
            self._steps -= 1
            if self._elided[at]:
                yield from self._over(at, number, spans, stale)
                return
            more = number < len(self._file)
            if more and self._keys[at] == self._file_keys[number]:
                spans.append((number, number + 1))
                at, number, skipped = at + 1, number + 1, 0
            elif is_loose and self._blank[at] and skipped < MAX_BLANK:
                spans.append((number, number))
                at, skipped = at + 1, skipped + 1
            elif is_loose and more and self._may_skip(number, spans) and skipped < MAX_BLANK:
                number, skipped = number + 1, skipped + 1
            elif more and len(stale) < self._may_be_stale() and self._is_stale(at, number):
                spans.append((number, number + 1))
                stale.append(number)
                at, number, skipped = at + 1, number + 1, 0
            else:
                return
        if at == len(self._wanted):
            yield spans, stale

    def _may_skip(self, number: int, spans: list[Span]) -> bool:
        """Whether a line of the file is blank and within ours."""
        return self._file_blank[number] and any(first < end for first, end in spans)

    def _over(
        self, at: int, number: int, spans: list[Span], stale: list[int]
    ) -> Iterator[tuple[list[Span], list[int]]]:
        """Past a line of `...`: to each line below at which ours may go on."""
        firm = next((n for n in self._firm if n > at), None)
        if firm is None or not any(first < end for first, end in spans):
            yield from self._walk(at + 1, number, [*spans, (number, number)], stale)
            return
        deep = self._depth(at, firm, spans) if self._in_block else 0
        ends = 0
        for end in range(number, min(len(self._file), number + MAX_ELIDED)):
            self._steps -= 1
            if ends == MAX_ENDS or self._steps < 0:
                return
            if self._keys[firm] == self._file_keys[end]:
                ends += 1
                # Blank lines of ours below the dots are the file's, and not among what is left out.
                last = end
                while last > number and end - last < firm - at - 1 and self._file_blank[last - 1]:
                    last -= 1
                yield from self._walk(at + 1, last, [*spans, (number, last)], stale)
            if not self._file_blank[end] and alike.width(self._file[end]) < deep:
                return

    def _depth(self, at: int, firm: int, spans: list[Span]) -> int:
        """How deep in the file a block is: as the line of dots says, or the line below it."""
        deep = alike.width(self._wanted[at]) or alike.width(self._wanted[firm])
        above = next(n for n in range(len(spans) - 1, -1, -1) if spans[n][0] < spans[n][1])
        return deep + alike.width(self._file[spans[above][0]]) - alike.width(self._wanted[above])

    def _is_stale(self, at: int, number: int) -> bool:
        if self._level is not Level.STALE or not self._context[at]:
            return False
        if self._file_keys[number] in self._new:  # the edit brings it: applied already, as a whole
            return False
        self._steps -= 20  # it takes as long as so many others
        return alike.is_near(self._wanted[at], self._file[number])

    def _may_be_stale(self) -> int:
        return max(1, int(len(self._firm) * STALE_SHARE))

    def _is_sure(self, spans: tuple[Span, ...], stale: tuple[int, ...]) -> bool:
        """Whether enough lines that say something are as in the file."""
        right = [n for n in self._firm if spans[n][0] not in stale]
        telling = {
            self._keys[n] for n in right if len(re.findall(r"\w", self._wanted[n])) >= MIN_WORDS
        }
        return len(telling) >= MIN_SURE or any(self._file_keys.count(key) == 1 for key in telling)

    def _place(self, spans: tuple[Span, ...], stale: tuple[int, ...]) -> Place | None:
        pairs = [
            (alike.indent(self._wanted[at]), alike.indent(self._file[spans[at][0]]))
            for at in self._firm
            if spans[at][0] < spans[at][1]
        ]
        indents = Indents.of(pairs)
        if indents is None or (self._level < Level.TABS and not indents.same):
            return None
        if self._level is Level.TABS and not indents.in_columns:
            return None
        if self._level is Level.STALE and not (stale and self._is_sure(spans, stale)):
            return None
        return Place(spans, indents, self._level, stale)
