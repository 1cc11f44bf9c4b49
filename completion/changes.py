"""One edit of a document, in characters, and the edits that lead from one text to another."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

from completion.shared import shared_length

# More changed lines than this are one change: comparing them would cost more than it tells.
LARGEST = 2000
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Change:
    """`inserted` took the place of `removed`, which stood at `start`, in a text with "\\n" ends."""

    start: int
    removed: str
    inserted: str

    @property
    def end(self) -> int:
        """Where the removed text ended."""
        return self.start + len(self.removed)

    @property
    def shift(self) -> int:
        """By how much what follows moves."""
        return len(self.inserted) - len(self.removed)

    def apply(self, text: str) -> str:
        assert text[self.start : self.end] == self.removed, "the change is of another text"
        return text[: self.start] + self.inserted + text[self.end :]


def between(old: str, new: str, start: int = 0) -> list[Change]:
    """Small changes that make `old`, which stands at `start`, into `new`, to be applied in turn.

    What both begin or end with is in none of them.
    """
    change = _trimmed(old, new, start)
    if change is None:
        return []
    lines = change.removed.count("\n"), change.inserted.count("\n")
    if not all(lines) or max(lines) > LARGEST:
        return [change]
    # From the last to the first, so that each stands where the old text had it.
    return list(_by_lines(change))[::-1]


def _trimmed(old: str, new: str, start: int) -> Change | None:
    if old == new:
        return None
    top = shared_length(old, new)
    old, new = old[top:], new[top:]
    end = shared_length(old[::-1], new[::-1])
    return Change(start + top, old[: len(old) - end], new[: len(new) - end])


def _by_lines(change: Change) -> Iterator[Change]:
    old, new = _LINE.findall(change.removed), _LINE.findall(change.inserted)
    starts = list(accumulate(map(len, old), initial=change.start))
    for tag, a, b, c, d in SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            continue
        runs = [(a, b, c, d)]
        if b - a == d - c:  # each line became another
            runs = [(a + n, a + n + 1, c + n, c + n + 1) for n in range(b - a)]
        for first, last, top, bottom in runs:
            before, after = "".join(old[first:last]), "".join(new[top:bottom])
            one = _trimmed(before, after, starts[first])
            if one is not None:
                yield one
