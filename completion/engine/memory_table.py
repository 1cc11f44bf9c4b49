"""Token n-grams of documents: what followed the last few tokens wherever they occur.

The places of all tokens are sorted by the tokens before them, the nearest first, packed into one
integer: places after the same few tokens lie side by side. A longer match is looked for among
those, as in a suffix array (Manber and Myers 1993) that is sorted only so deep.
"""

from collections.abc import Mapping, Sequence, Set

import numpy as np

# As much of a context is matched at most: what is longer says no more of the next token.
LONGEST = 16
# The longest match that is sorted for, whatever the vocabulary's size leaves room for.
_DEEPEST = 4


class Table:
    """N-grams of documents by name; nothing in it changes. 14 bytes a token, or 16 where the
    vocabulary has 65,535 words or more.

    Asserts that token ids are at least 0 and below `vocabulary`.
    """

    def __init__(self, documents: Mapping[str, np.ndarray], vocabulary: int) -> None:
        """`documents` are token ids [n] by name."""
        bits = max(16, (vocabulary + 1).bit_length())
        self.depth = min(_DEEPEST, 64 // bits)
        self._bits, self._outside = bits, (1 << bits) - 1
        self._vocabulary = vocabulary
        # A token that stands for no text parts the documents, so that no match crosses over.
        lengths = [len(tokens) + 1 for tokens in documents.values()]
        ends = np.cumsum([0, *lengths])
        self._at = {
            name: (int(start), int(start) + len(tokens))
            for start, (name, tokens) in zip(ends, documents.items(), strict=False)
        }
        self._tokens = np.full(ends[-1], self._outside, np.uint16 if bits == 16 else np.int32)
        for (start, end), tokens in zip(self._at.values(), documents.values(), strict=True):
            assert start == end or 0 <= tokens.min() <= tokens.max() < vocabulary
            self._tokens[start:end] = tokens
        keys = self._packed()
        places = np.flatnonzero(self._tokens != self._outside).astype(np.int32)
        order = np.argsort(keys[places], kind="stable")
        self._places = places[order]
        self._keys = keys[self._places]

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    @property
    def documents(self) -> dict[str, np.ndarray]:
        """Token ids [n] by name."""
        return {name: self._tokens[start:end] for name, (start, end) in self._at.items()}

    @property
    def nbytes(self) -> int:
        return self._tokens.nbytes + self._places.nbytes + self._keys.nbytes

    def without(self, names: Set[str]) -> "Table":
        """The table of the other documents. Tokens of these stay in memory until it is merged."""
        gone = np.zeros(len(self._tokens), bool)
        for name in names & self._at.keys():
            start, end = self._at[name]
            gone[start:end] = True
        kept = ~gone[self._places]
        left = object.__new__(Table)
        left.__dict__ |= self.__dict__
        left._at = {name: at for name, at in self._at.items() if name not in names}
        left._places, left._keys = self._places[kept], self._keys[kept]
        return left

    def merged(self, *others: "Table") -> "Table":
        """One table of all, without garbage. They have no document in common."""
        documents = self.documents
        for other in others:
            documents |= other.documents
        return Table(documents, self._vocabulary)

    @property
    def wasted(self) -> bool:
        """Whether it has more garbage than tokens."""
        return len(self._tokens) > 2 * len(self._places) + len(self._at)

    def spans(self, context: Sequence[int]) -> list[tuple[int, int]]:
        """For the last 1, 2, ... up to `depth` tokens of the context: from where to where in the
        order of the table they come before. Only as long as they do."""
        found: list[tuple[int, int]] = []
        key, low, high = 0, 0, len(self._keys)
        for length in range(1, min(self.depth, len(context)) + 1):
            shift = 64 - length * self._bits
            key |= context[-length] << shift
            keys = self._keys[low:high]
            first = int(keys.searchsorted(np.uint64(key)))
            after = int(keys.searchsorted(np.uint64(key + (1 << shift) - 1), "right"))
            low, high = low + first, low + after
            if low == high:
                break
            found.append((low, high))
        return found

    def places(self, span: tuple[int, int]) -> np.ndarray:
        """Where the tokens [n] of a span are."""
        return self._places[span[0] : span[1]]

    def narrowed(self, places: np.ndarray, context: Sequence[int], length: int) -> np.ndarray:
        """Those of the places [n] before which the context's token number `length` from its end
        stands where it should; the nearer ones do already."""
        return places[self._tokens[places - length] == context[-length]]

    def tokens_at(self, places: np.ndarray) -> np.ndarray:
        """Token ids [n]."""
        return self._tokens[places]

    def _packed(self) -> np.ndarray:
        """The `depth` tokens before each place, in one integer each [tokens]."""
        keys = np.zeros(len(self._tokens), np.uint64)
        for back in range(1, self.depth + 1):
            before = np.full(len(keys), self._outside, np.uint64)
            before[back:] = self._tokens[:-back]
            keys |= before << np.uint64(64 - back * self._bits)
        return keys
