"""Near-duplicate texts: MinHash over shingles of tokens, found by locality-sensitive hashing.

A. Broder, "On the resemblance and containment of documents", 1997: the share of equal minima
under random permutations estimates the Jaccard similarity of two sets. Sets that agree in all
rows of one band are compared (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4).
The permutations are multiply-shift hashes (Dietzfelbinger et al., 1997). Everything is
deterministic, but for chance collisions of the 64-bit hashes of lines.
"""

import hashlib
import re
import zlib
from collections.abc import Hashable, Iterable
from functools import lru_cache

import numpy as np

PERMUTATIONS = 120
BANDS = 20  # of 6 rows: a pair of similarity s is compared with probability 1 - (1 - s^6)^20
SHINGLE = 5  # tokens
NEAR = 0.7  # Jaccard similarity from which on two texts count as the same
# Lines shorter than this are no one's own: `return None`, `except ValueError:`.
LONG_LINE = 25
SHARED_LINES = 0.2

_TOKEN = re.compile(r"\w+|[^\w\s]")
_RANDOM = np.random.default_rng(1997)
_FACTORS = _RANDOM.integers(1, 2**63, PERMUTATIONS, np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _RANDOM.integers(0, 2**63, PERMUTATIONS, np.uint64)
_BASE = np.uint64(0x9E3779B97F4A7C15)


@lru_cache(maxsize=2)  # asked for twice in a row: is it held out, was it seen
def signature(text: str) -> np.ndarray:
    """The minima of a text's hashed shingles under each permutation [PERMUTATIONS] uint32."""
    tokens = [zlib.crc32(token.encode("utf-8", "replace")) for token in _TOKEN.findall(text)]
    hashes = np.array(tokens or [0], np.uint64)
    length = min(SHINGLE, len(hashes))
    count = len(hashes) - length + 1
    shingles = np.zeros(count, np.uint64)
    for place in range(length):
        shingles = shingles * _BASE + hashes[place : place + count]
    shingles = np.unique(shingles ^ (shingles >> np.uint64(29)))
    minima = np.full(PERMUTATIONS, 2**32 - 1, np.uint32)
    for at in range(0, len(shingles), 4096):  # so that a large text needs little memory
        piece = shingles[at : at + 4096, None] * _FACTORS + _OFFSETS
        np.minimum(minima, (piece >> np.uint64(32)).astype(np.uint32).min(0), out=minima)
    return minima


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """The estimated Jaccard similarity of two signatures; its standard error is at most 0.046."""
    return float(np.mean(one == other))


class Index:
    """Texts by key; finds the first added one that a text is a near-duplicate of."""

    def __init__(self, near: float = NEAR) -> None:
        self._near = near
        self._exact: dict[bytes, Hashable] = {}
        self._signatures: list[tuple[Hashable, np.ndarray]] = []
        self._bands: dict[tuple[int, bytes], list[int]] = {}

    def __len__(self) -> int:
        return len(self._signatures)

    def find(self, text: str) -> Hashable | None:
        """The key of an equal text, else of a near one; None if the text is new."""
        return self._find(_digest(text), text)[0]

    def add(self, key: Hashable, text: str, always: bool = False) -> Hashable | None:
        """Add a text that is new; else return the key of the one it repeats.

        `always`: also a near-duplicate, so that what is near to that one alone is found later.
        """
        digest = _digest(text)
        found, minima = self._find(digest, text)
        if minima is not None and (found is None or always):
            self._exact[digest] = key
            for band in _bands(minima):
                self._bands.setdefault(band, []).append(len(self._signatures))
            self._signatures.append((key, minima))
        return found

    def _find(self, digest: bytes, text: str) -> tuple[Hashable | None, np.ndarray | None]:
        if digest in self._exact:
            return self._exact[digest], None
        minima = signature(text)
        rows = {row for band in _bands(minima) for row in self._bands.get(band, ())}
        for row in sorted(rows):
            key, other = self._signatures[row]
            if similarity(minima, other) >= self._near:
                return key, minima
        return None, minima


class Lines:
    """The long lines of many texts, kept as hashes."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, text: str) -> None:
        self._hashes.update(map(hash, long_lines(text)))

    def share(self, text: str) -> float:
        """The share of a text's long lines that are among these; 0 if it has none."""
        lines = long_lines(text)
        return sum(hash(line) in self._hashes for line in lines) / len(lines) if lines else 0.0


class HeldOut:
    """Texts that no training text may repeat."""

    def __init__(self, texts: Iterable[tuple[Hashable, str]]) -> None:
        self._index = Index()
        self._lines = Lines()
        for key, text in texts:
            self._index.add(key, text, always=True)
            self._lines.add(text)

    def leak(self, text: str) -> str:
        """Why a text may not be trained on; "" if it may."""
        if self._lines.share(text) > SHARED_LINES:
            return "shares lines with held-out"
        return "near-duplicate of held-out" if self._index.find(text) is not None else ""


def long_lines(text: str) -> list[str]:
    """The lines long enough to be told from those of anyone else, without their indentation."""
    return [line for raw in text.split("\n") if len(line := raw.strip()) >= LONG_LINE]


def _digest(text: str) -> bytes:
    """Equal for texts that differ in blank lines and the space around lines only."""
    lines = (line.strip() for line in text.split("\n"))
    return hashlib.sha256("\n".join(filter(None, lines)).encode("utf-8", "replace")).digest()


def _bands(minima: np.ndarray) -> list[tuple[int, bytes]]:
    return [(number, rows.tobytes()) for number, rows in enumerate(minima.reshape(BANDS, -1))]
