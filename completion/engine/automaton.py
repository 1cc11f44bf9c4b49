"""Suffix automaton over tokens, built online: where did what just happened happen before?

Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text". A state stands
for all texts that end at the same places; its link leads to the longest suffix that also ends
elsewhere. Appending a token costs constant time, amortised, and at most two states.
"""

from collections.abc import Iterable

# A state remembers the end of a recent occurrence. It is refreshed along this many links only:
# in periodic text the whole path is as long as the text. Any occurrence makes a valid draft.
_REFRESHED_LINKS = 8


class SuffixAutomaton:
    """All substrings of `tokens`, which grows by `append`. State 0 is the empty text."""

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self.tokens: list[int] = []
        self._next: list[dict[int, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        self._end = [0]
        self._last = 0
        for token in tokens:
            self.append(token)

    def append(self, token: int) -> None:
        following, link, end = self._next, self._link, self._end
        self._refresh()
        self.tokens.append(token)
        new = len(following)
        following.append({})
        link.append(0)
        self._length.append(len(self.tokens))
        end.append(len(self.tokens))
        at = self._last
        while at >= 0 and token not in following[at]:
            following[at][token] = new
            at = link[at]
        if at >= 0:
            known = following[at][token]
            if self._length[known] > self._length[at] + 1:
                known = self._split(at, token)
            link[new] = known
        self._last = new

    def repeat(self) -> tuple[int, int]:
        """The longest suffix that occurs earlier too: its length, and where that occurrence ends.

        (0, end) where nothing repeats. An occurrence may overlap the suffix itself.
        """
        state = self._link[self._last]
        if state <= 0:
            return 0, len(self.tokens)
        return self._length[state], self._end[state]

    def step(self, state: int, length: int, token: int) -> tuple[int, int]:
        """Matching statistics: from the longest suffix of another text that occurs here, as
        (state, its length), to that of the text with one token more."""
        while state and token not in self._next[state]:
            state = self._link[state]
            length = self._length[state]
        if token not in self._next[state]:
            return 0, 0
        return self._next[state][token], length + 1

    def _split(self, at: int, token: int) -> int:
        """Part a state: the texts that also end here get one of their own."""
        following, link = self._next, self._link
        known = following[at][token]
        clone = len(following)
        following.append(dict(following[known]))
        link.append(link[known])
        self._length.append(self._length[at] + 1)
        self._end.append(self._end[known])
        link[known] = clone
        while at >= 0 and following[at].get(token) == known:
            following[at][token] = clone
            at = link[at]
        return clone

    def _refresh(self) -> None:
        """What repeats at the end has its last occurrence there, once more follows."""
        state = self._link[self._last]
        for _ in range(_REFRESHED_LINKS):
            if state <= 0:
                break
            self._end[state] = len(self.tokens)
            state = self._link[state]
