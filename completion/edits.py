"""The last edits of all open documents, as small hunks.

A burst of typing becomes hunks when it is over, so that what a prompt holds of it stays the same
until the user pauses. No timer: a burst is looked at when the next begins, or when asked for.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

PAUSE_S = 1.5
KEPT = 24
# More changed lines than this at once are a paste, a format or a checkout: no hint of what is next.
LARGEST_HUNK = 12
LARGEST_BURST = 400
# Hunks this near to each other are one.
_GAP = 2

Text = Callable[[], str]


@dataclass(frozen=True)
class Hunk:
    """Lines that took others' place in a file; `row` is where, from 0, in the new text."""

    path: str
    row: int
    removed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(
            [*("-" + line for line in self.removed), *("+" + line for line in self.added)]
        )


@dataclass
class _Burst:
    base: list[str]
    at: float
    open: bool


class EditLog:
    """Not thread-safe: the thread that gets the edits owns it. Times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._bursts: dict[str, _Burst] = {}
        self._hunks: deque[Hunk] = deque(maxlen=KEPT)

    def before_change(self, path: str, text: Text, now: float) -> None:
        """A document is about to change; `text` gives it as it still is, if that is wanted."""
        burst = self._bursts.get(path)
        if burst is None:
            self._bursts[path] = _Burst(text().split("\n"), now, True)
            return
        if now - burst.at > PAUSE_S:
            self._close(path, burst, text)
        burst.open, burst.at = True, now

    def recent(self, path: str, text: Text, now: float) -> list[Hunk]:
        """The hunks of finished bursts, the newest first. `text` is that of the document at
        `path`, which is asked for now: bursts elsewhere are over."""
        burst = self._bursts.get(path)
        if burst is not None and burst.open and now - burst.at > PAUSE_S:
            self._close(path, burst, text)
        return list(reversed(self._hunks))

    def leave(self, path: str, text: Text) -> None:
        """The user went to another document, or saved this one."""
        burst = self._bursts.get(path)
        if burst is not None and burst.open:
            self._close(path, burst, text)

    def forget(self, path: str) -> None:
        """A document was closed. What was done in it stays known."""
        self._bursts.pop(path, None)

    def _close(self, path: str, burst: _Burst, text: Text) -> None:
        lines = text().split("\n")
        for hunk in hunks(path, burst.base, lines):
            # Going on at the same place says the same thing better.
            if self._hunks and _continues(self._hunks[-1], hunk):
                last = self._hunks.pop()
                hunk = Hunk(path, hunk.row, last.removed, hunk.added)
            if hunk.removed != hunk.added:
                self._hunks.append(hunk)
        burst.base, burst.open = lines, False


def hunks(path: str, old: list[str], new: list[str]) -> list[Hunk]:
    """What changed between two texts, in lines; none of a change that is large or only blank."""
    top = _same(zip(old, new, strict=False))
    rest = min(len(old), len(new)) - top
    end = min(_same(zip(reversed(old), reversed(new), strict=False)), rest)
    before, after = old[top : len(old) - end], new[top : len(new) - end]
    if max(len(before), len(after)) > LARGEST_BURST:
        return []
    found: list[list[int]] = []
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if found and a - found[-1][1] <= _GAP:
            found[-1][1], found[-1][3] = b, d
        else:
            found.append([a, b, c, d])
    made = [
        Hunk(path, top + c, tuple(before[a:b]), tuple(after[c:d]))
        for a, b, c, d in found
        if max(b - a, d - c) <= LARGEST_HUNK
    ]
    return [hunk for hunk in made if "".join(hunk.removed).split() != "".join(hunk.added).split()]


def _same(pairs: Iterable[tuple[str, str]]) -> int:
    """How many pairs of lines are equal before the first that differs."""
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count


def _continues(last: Hunk, new: Hunk) -> bool:
    """The newer hunk replaces just what the older one added."""
    return last.path == new.path and last.row == new.row and last.added == new.removed
