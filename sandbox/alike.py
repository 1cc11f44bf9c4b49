"""When two lines are alike although they are not the same, and what a text resembles most."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

NEAR = 0.7  # of the characters of lines that are nearly the same
OFTEN = 200  # times; where a line stands more often does not tell where a text belongs
LONGEST = 1_000  # characters; longer lines are the same or not
_STRING = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_SPACE = re.compile(r"\s+")
_LOOSE = re.compile(r"(?<![\w\s])\s+|(?<!\s)\s+(?![\w\s])")  # a whole gap, next to no word
_MARK = r"(?:\.\.\.|…)"
_ELIDED = re.compile(rf"\s*{_MARK}\s*|\s*(?:#|//|--|/\*|<!--|;|%)\s*{_MARK}.*")
# A line that names a thing is another line when the name is another.
_NAMES = re.compile(
    r"\b(?:def|class|function|func|fn|struct|enum|trait|impl|interface|type|mod|module)\s+(\w+)"
)


def is_elided(line: str) -> bool:
    """Whether a line may stand for others: `...`, alone or in a comment."""
    return bool(_ELIDED.fullmatch(line))


@lru_cache(maxsize=65_536)
def spaced(line: str) -> str:
    """A line with the spaces that mean nothing taken out: not between words, not in strings.

    Cached: each level, and the next edit of a file, asks for its lines again.
    """
    parts = _STRING.split(line.strip())
    return "".join(
        part if number % 2 else _SPACE.sub(" ", _LOOSE.sub("", part))
        for number, part in enumerate(parts)
    )


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def indent(line: str) -> str:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def width(line: str) -> int:
    """Columns that a line is indented by."""
    return len(indent(line).expandtabs(8))


def matcher(old: Sequence[str], new: Sequence[str]) -> SequenceMatcher[str]:
    """What of old lines is new, and what stays: for all who ask the same."""
    return SequenceMatcher(None, old, new, autojunk=False)


def context(old: Sequence[str], new: Sequence[str]) -> list[bool]:
    """Which of the old lines stay."""
    stays = [False] * len(old)
    for at, _, size in matcher(old, new).get_matching_blocks():
        stays[at : at + size] = [True] * size
    return stays


def is_near(ours: str, theirs: str) -> bool:
    """Whether two lines are nearly the same, and name the same things."""
    if max(len(ours), len(theirs)) > LONGEST or _NAMES.findall(ours) != _NAMES.findall(theirs):
        return False
    compared = SequenceMatcher(None, spaced(ours), spaced(theirs), autojunk=False)
    return compared.quick_ratio() >= NEAR and compared.ratio() >= NEAR


def standing(part: Sequence[str], whole: Sequence[str]) -> list[int]:
    """Where a run of lines stands in others."""
    part, size = list(part), len(part)
    return [
        n
        for n in range(len(whole) - size + 1)
        if whole[n] == part[0] and whole[n : n + size] == part
    ]


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
        numbers = where.get(key, ())
        for number in numbers if weight and len(numbers) <= OFTEN else ():
            votes[number - at] += weight
    if not votes:
        return _resembling(wanted, file)
    most = max(votes.values())
    return min((n for n in votes if votes[n] == most), key=lambda n: (abs(n - line + 1), n))


def _resembling(wanted: Sequence[str], file: Sequence[str]) -> int | None:
    """The same by the one line of ours that resembles a line of the file most."""
    best, found = NEAR, None
    for at, ours in [
        (at, spaced(text[:LONGEST])) for at, text in enumerate(wanted) if text.strip()
    ][:3]:
        compared = SequenceMatcher(None, "", ours, autojunk=False)
        for number, theirs in enumerate(spaced(line[:LONGEST]) for line in file):
            compared.set_seq1(theirs)
            close = compared.real_quick_ratio() > best and compared.quick_ratio() > best
            if close and (ratio := compared.ratio()) > best:
                best, found = ratio, number - at
    return found
