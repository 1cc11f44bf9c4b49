"""The chunks of a file and the words that they are found by.

A chunk is a run of whole lines, 12 to 30 where the text has a place to break: before a
definition, else after an empty line. Its words are those of its identifiers, in lower case and
split at case and underscores, with the whole identifier where it has several parts.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tandem import secrets

SHORTEST, LONGEST = 12, 30  # lines of a chunk
_SHORTEST_WORD, _LONGEST_WORD = 3, 40
_PART = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z\x80-\xff]+")
# All that is in no identifier becomes a space: splitting then is faster than any pattern.
_SPACES = bytes(
    byte if byte >= 128 or chr(byte).isalnum() or byte == ord("_") else 32 for byte in range(256)
)
_MOST_KNOWN = 300_000
# Words that chunks say in any repository: keywords of our languages, and plain English.
_SAID_BY_ALL = frozenset(
    b"and any are args array assert async await bool break but byte bytes can case cast catch char"
    b" class cls const continue def default del dict elif else end enum error except export extends"
    b" extern false final finally float for from func function get global has have import include"
    b" init int interface isinstance kwargs lambda len let list long match namespace new nil none"
    b" nonlocal not null object one only optional out override package pass print private protected"
    b" public raise return returns self set should static str string struct super switch template"
    b" that the then this throw true try tuple type typedef typename typing union unsigned use used"
    b" using val value values var virtual void when where which while will with yield you".split()
)


# What an identifier is found by: a repository says the same ones again and again.
_known: dict[bytes, str] = {}
_telling: set[bytes] = set()  # identifiers that may be of a secret


def _said(identifiers: set[bytes]) -> str:
    new = identifiers.difference(_known)
    if new:
        if len(_known) > _MOST_KNOWN:
            _known.clear()
            new = identifiers
        if secrets.tells(b" ".join(new).decode("utf-8", "replace")):
            _telling.update(one for one in new if secrets.tells(one.decode("utf-8", "replace")))
        for identifier in new:
            _known[identifier] = " ".join(sorted(_split(identifier)))
    return " ".join(map(_known.__getitem__, identifiers))


def _split(identifier: bytes) -> set[str]:
    if identifier.isalpha() and identifier.islower():
        words = {identifier}
    elif identifier[:1].isdigit():
        return set()
    else:
        parts = _PART.findall(identifier)
        words = {part.lower() for part in (*parts, identifier.strip(b"_") if parts else b"")}
    return {
        word.decode("utf-8", "replace")
        for word in words
        if _SHORTEST_WORD <= len(word) <= _LONGEST_WORD and word not in _SAID_BY_ALL
    }


def terms_of(text: str) -> list[str]:
    """The words of a text, sorted: what to ask the index for."""
    identifiers = set(text.encode("utf-8", "replace").translate(_SPACES).split())
    return sorted(set().union(*map(_split, identifiers)))


@dataclass(frozen=True, slots=True)
class Chunks:
    """(first row, last row, hash of its lines, number of identifiers, words) for each chunk, a word
    maybe more than once. `telling`: an identifier may be of a secret."""

    rows: list[tuple[int, int, int, int, str]]
    telling: bool


def chunks(data: bytes, definitions: Iterable[int], public: bytes | None = None) -> Chunks:
    """Of a text in UTF-8. `definitions` are the rows where one begins. `public`: the same text,
    its lines as long, without its secrets; then words are of that."""
    starts = line_starts(data)
    spaced = (data if public is None else public).translate(_SPACES)
    found: list[tuple[int, int, int, int, str]] = []
    telling = False
    for first, last in _runs(data, starts, set(definitions)):
        begin, end = starts[first], starts[last + 1]
        identifiers = set(spaced[begin:end].split())
        words = _said(identifiers)
        telling = telling or not identifiers.isdisjoint(_telling)
        if words and not words.isspace():
            found.append((first, last, hash_of(data[begin:end]), len(identifiers), words))
    return Chunks(found, telling)


def words_of(data: bytes) -> str:
    """The words of a chunk, as `chunks` has them."""
    return _said(set(data.translate(_SPACES).split()))


def line_starts(data: bytes) -> list[int]:
    """Where each row begins, and the end of the text as one more; no row ends with "\\r"."""
    return list(accumulate(map(len, data.splitlines(keepends=True)), initial=0))


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
