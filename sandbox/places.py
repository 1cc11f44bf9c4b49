"""Where lines that were meant for a file stand in it, if a model did not copy them quite right.

The lines are walked along the file's from each place where they may begin. How much may differ
grows level by level, and the first level that finds any place decides:

    exact        nothing
    trailing     spaces at the ends of lines
    indentation  all lines moved by one number of columns, or tabs in place of spaces
    spacing      spaces within lines, but not within strings
    blank        blank lines more or less
    elided       a line of `...` stands for lines that are not shown
    stale        a few lines that are only context are nearly, but not quite, the file's

Nothing here knows line ends: lines come without them. Places count from 0.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import IntEnum

from sandbox.indents import Indents

MAX_BLANK = 3  # so many blank lines in a row may be more or less
MAX_ELIDED = 400
MAX_ENDS = 20  # more than so many ends of an elided part are as good as any
NEAR = 0.7  # of the characters of a stale line must be as in the file
STALE_SHARE = 1 / 3  # of the lines may be stale, and one always
MIN_SURE = 2  # so many others must be right, each of
MIN_WORDS = 3  # letters or digits
_STRING = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_SPACE = re.compile(r"\s+")
_MARK = r"(?:\.\.\.|…)"
_ELIDED = re.compile(rf"\s*{_MARK}\s*|\s*(?:#|//|--|/\*|<!--|;|%)\s*{_MARK}.*")
# A line that names a thing is another line when the name is another.
_NAMES = re.compile(
    r"\b(?:def|class|function|func|fn|struct|enum|trait|impl|interface|type|mod|module)\s+(\w+)"
)


class Level(IntEnum):
    """How far lines may differ from the file's."""

    EXACT = 0
    TRAILING = 1
    INDENTATION = 2
    SPACING = 3
    BLANK = 4
    ELIDED = 5
    STALE = 6


@dataclass(frozen=True)
class Place:
    """Where the lines stand: `spans` has for each the file's [first, end), which may be empty.

    `stale` are the file's lines that are kept although ours are not quite the same.
    """

    spans: tuple[tuple[int, int], ...]
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
    wanted: Sequence[str], context: Sequence[bool], file: Sequence[str], level: Level
) -> list[Place]:
    """The places at just this level, by their first line. `context`: the line is not to change."""
    return _Finder(wanted, context, file, level).places()


def is_elided(line: str) -> bool:
    return bool(_ELIDED.fullmatch(line))


def spaced(line: str) -> str:
    """A line with the spaces that mean nothing taken out: not between words, not in strings."""
    parts = _STRING.split(line.strip())
    return "".join(
        part if number % 2 else _SPACE.sub(_space, part) for number, part in enumerate(parts)
    )


def _space(gap: re.Match[str]) -> str:
    before, after = gap.string[: gap.start()][-1:], gap.string[gap.end() :][:1]
    return " " if _is_word(before) and _is_word(after) else ""


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


_KEYS: dict[Level, Callable[[str], str]] = {
    Level.EXACT: lambda line: line,
    Level.TRAILING: str.rstrip,
    Level.INDENTATION: str.strip,
}


class _Finder:
    """The walk of some lines along a file at one level."""

    def __init__(
        self, wanted: Sequence[str], context: Sequence[bool], file: Sequence[str], level: Level
    ) -> None:
        key = _KEYS.get(level, spaced)
        self._wanted, self._context, self._file, self._level = wanted, context, file, level
        self._keys = [key(line) for line in wanted]
        self._file_keys = [key(line) for line in file]
        self._blank = [not line.strip() for line in wanted]
        self._file_blank = [not line.strip() for line in file]
        elided = level is Level.ELIDED
        self._elided = [elided and is_elided(line) for line in wanted]
        self._firm = [n for n in range(len(wanted)) if not (self._blank[n] or self._elided[n])]

    def places(self) -> list[Place]:
        if self._level is Level.ELIDED and not any(self._elided):
            return []
        if self._level > Level.TRAILING and not self._firm:
            return []
        found: dict[tuple[tuple[int, int], ...], Place] = {}
        for start in self._starts():
            for spans, stale in self._walk(0, start, (), ()):
                place = self._place(spans, stale)
                if place is not None:
                    found.setdefault(place.spans, place)
        return sorted(found.values(), key=lambda place: place.spans)

    def _starts(self) -> list[int]:
        """The file's lines at which the walk may begin."""
        if self._level < Level.BLANK:
            return [n for n, key in enumerate(self._file_keys) if key == self._keys[0]]
        first = self._firm[0]
        if self._level is Level.STALE:
            begins = self._voted(first)
        else:
            begins = [n for n, key in enumerate(self._file_keys) if key == self._keys[first]]
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
            for number in where.get(self._keys[at], ())
            for drift in range(-2, 3)
        }
        return sorted(n for n in votes if 0 <= n < len(self._file) and not self._file_blank[n])

    def _walk(
        self, at: int, number: int, spans: tuple[tuple[int, int], ...], stale: tuple[int, ...]
    ) -> Iterator[tuple[tuple[tuple[int, int], ...], tuple[int, ...]]]:
        """Our line `at` against the file's line `number`, and so on to the end."""
        skipped = 0
        while at < len(self._wanted):
            if self._elided[at]:
                yield from self._over(at, number, spans, stale)
                return
            more = number < len(self._file)
            if more and self._same(at, number):
                spans += ((number, number + 1),)
                at, number, skipped = at + 1, number + 1, 0
            elif self._level >= Level.BLANK and self._blank[at] and skipped < MAX_BLANK:
                spans += ((number, number),)
                at, skipped = at + 1, skipped + 1
            elif (
                more
                and self._level >= Level.BLANK
                and self._file_blank[number]
                and any(first < end for first, end in spans)
                and skipped < MAX_BLANK
            ):
                number, skipped = number + 1, skipped + 1
            elif more and self._is_near(at, number) and len(stale) < self._may_be_stale():
                spans += ((number, number + 1),)
                stale += (number,)
                at, number, skipped = at + 1, number + 1, 0
            else:
                return
        yield spans, stale

    def _over(
        self, at: int, number: int, spans: tuple[tuple[int, int], ...], stale: tuple[int, ...]
    ) -> Iterator[tuple[tuple[tuple[int, int], ...], tuple[int, ...]]]:
        """Past a line of `...`: to each line below at which ours may go on, within its block."""
        firm = next((n for n in self._firm if n > at), None)
        if firm is None or not any(first < end for first, end in spans):
            yield from self._walk(at + 1, number, (*spans, (number, number)), stale)
            return
        # Lines that are not shown are inside of what is shown: as deep as the line of dots says,
        # or as the line below it.
        deep = _width(self._wanted[at]) or _width(self._wanted[firm])
        before = next(n for n in range(len(spans) - 1, -1, -1) if spans[n][0] < spans[n][1])
        deep += _width(self._file[spans[before][0]]) - _width(self._wanted[before])
        ends = 0
        for end in range(number, min(len(self._file), number + MAX_ELIDED)):
            if self._same(firm, end) and ends < MAX_ENDS:
                ends += 1
                yield from self._walk(at + 1, end, (*spans, (number, end)), stale)
            if not self._file_blank[end] and _width(self._file[end]) < deep:
                return

    def _same(self, at: int, number: int) -> bool:
        return self._keys[at] == self._file_keys[number]

    def _is_near(self, at: int, number: int) -> bool:
        if self._level is not Level.STALE or not self._context[at] or self._blank[at]:
            return False
        ours, theirs = self._keys[at], self._file_keys[number]
        if _NAMES.findall(self._wanted[at]) != _NAMES.findall(self._file[number]):
            return False
        matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
        return matcher.quick_ratio() >= NEAR and matcher.ratio() >= NEAR

    def _may_be_stale(self) -> int:
        return max(1, int(len(self._firm) * STALE_SHARE))

    def _is_sure(self, spans: tuple[tuple[int, int], ...], stale: tuple[int, ...]) -> bool:
        """Whether enough lines that say something are as in the file."""
        right = [n for n in self._firm if spans[n][0] not in stale]
        return sum(len(re.findall(r"\w", self._wanted[n])) >= MIN_WORDS for n in right) >= MIN_SURE

    def _place(self, spans: tuple[tuple[int, int], ...], stale: tuple[int, ...]) -> Place | None:
        pairs = [
            (indent(self._wanted[at]), indent(self._file[spans[at][0]]))
            for at in self._firm
            if spans[at][0] < spans[at][1]
        ]
        indents = Indents.of(pairs)
        if indents is None or (self._level < Level.INDENTATION and not indents.same):
            return None
        if self._level is Level.STALE and not (stale and self._is_sure(spans, stale)):
            return None
        return Place(spans, indents, self._level, stale)


def _width(line: str) -> int:
    return len(indent(line).expandtabs(8))


def nearest(wanted: Sequence[str], file: Sequence[str], line: int) -> int | None:
    """The file's line at which ours would begin if most of them are to stand right; None: nowhere.

    `line`, from 1, decides between equals; 0 says nothing.
    """
    where: dict[str, list[int]] = {}
    for number, text in enumerate(file):
        where.setdefault(spaced(text), []).append(number)
    votes: Counter[int] = Counter()
    for at, text in enumerate(wanted):
        key = spaced(text)
        # A bracket alone says little of where it belongs.
        weight = 0 if not key else 4 if any(map(_is_word, key)) else 1
        for number in where.get(key, ()) if weight else ():
            votes[number - at] += weight
    if not votes:
        return _resembling(wanted, file)
    most = max(votes.values())
    return min((n for n in votes if votes[n] == most), key=lambda n: (abs(n - line + 1), n))


def _resembling(wanted: Sequence[str], file: Sequence[str]) -> int | None:
    """The same by the one line of ours that resembles a line of the file most."""
    best, found = NEAR, None
    for at, ours in [(at, spaced(text)) for at, text in enumerate(wanted) if text.strip()][:3]:
        matcher = SequenceMatcher(None, "", ours, autojunk=False)
        for number, theirs in enumerate(map(spaced, file)):
            matcher.set_seq1(theirs)
            close = matcher.real_quick_ratio() > best and matcher.quick_ratio() > best
            if close and (ratio := matcher.ratio()) > best:
                best, found = ratio, number - at
    return found
