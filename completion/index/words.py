"""The chunks of a file and the words that they are found by.

A chunk is a run of whole lines, 12 to 30 where the text has a place to break: before a
definition, else after an empty line. Its words are those of its identifiers, in lower case and
split at case and underscores, with the whole identifier where it has several parts.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

SHORTEST, LONGEST = 12, 30  # lines of a chunk
_SHORTEST_WORD, _LONGEST_WORD = 3, 40
_PART = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z\x80-\xff]+")
# All that is in no identifier becomes a space: splitting then is faster than any pattern.
_SPACES = bytes(
    byte if byte >= 128 or chr(byte).isalnum() or byte == ord("_") else 32 for byte in range(256)
)
_MOST_KNOWN = 200_000


class _Known(dict[bytes, frozenset[bytes]]):
    """Words by identifier: a repository says the same ones again and again."""

    def __missing__(self, identifier: bytes) -> frozenset[bytes]:
        if len(self) > _MOST_KNOWN:
            self.clear()
        parts = [] if identifier[:1].isdigit() else _PART.findall(identifier)
        whole = identifier.strip(b"_") if parts else b""
        words = frozenset(
            word.lower() for word in (*parts, whole) if _SHORTEST_WORD <= len(word) <= _LONGEST_WORD
        )
        self[identifier] = words
        return words


_known = _Known()


def words_of(data: bytes) -> set[bytes]:
    """The words of a text in UTF-8."""
    return _words(data.translate(_SPACES))


def terms_of(text: str) -> list[str]:
    """The same of a text, sorted: what to ask the index for."""
    return sorted(
        word.decode("utf-8", "replace") for word in words_of(text.encode("utf-8", "replace"))
    )


def _words(spaced: bytes) -> set[bytes]:
    words: set[bytes] = set()
    return words.union(*map(_known.__getitem__, set(spaced.split())))


def chunks(
    data: bytes, public: bytes, definitions: Iterable[int]
) -> list[tuple[int, int, int, int, str]]:
    """(first row, last row, hash of its lines, number of words, the words) for each chunk.

    `public` is `data` without its secrets, its lines the same; words are of that. `definitions`
    are the rows where one begins.
    """
    starts = line_starts(data)
    spaced = public.translate(_SPACES)
    found: list[tuple[int, int, int, int, str]] = []
    for first, last in _runs(data, starts, set(definitions)):
        begin, end = starts[first], starts[last + 1]
        words = _words(spaced[begin:end])
        if words:
            text = b" ".join(sorted(words)).decode("utf-8", "replace")
            found.append((first, last, hash_of(data[begin:end]), len(words), text))
    return found


def line_starts(data: bytes) -> list[int]:
    """Where each row begins, and the end of the text as one more."""
    starts, at = [0], data.find(b"\n")
    while at >= 0:
        starts.append(at + 1)
        at = data.find(b"\n", at + 1)
    if starts[-1] != len(data):
        starts.append(len(data))
    return starts


def hash_of(data: bytes) -> int:
    """64 bits, as SQLite's signed integers."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)


def _runs(data: bytes, starts: Sequence[int], definitions: set[int]) -> list[tuple[int, int]]:
    rows = len(starts) - 1
    runs: list[tuple[int, int]] = []
    first = 0
    while rows - first > LONGEST:
        window = range(first + LONGEST, first + SHORTEST - 1, -1)
        end = next((row for row in window if row in definitions), 0) or next(
            (row for row in window if not data[starts[row - 1] : starts[row]].strip()),
            first + LONGEST,
        )
        runs.append((first, end - 1))
        first = end
    if first < rows:
        runs.append((first, rows - 1))
    return runs
