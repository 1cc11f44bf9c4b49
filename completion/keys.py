"""How a document was typed: what the last change was, and the user's rhythm.

One `Keys` for each open document, told of every change by who keeps the text. An editor says what
was replaced by what, never why; the reasons are read from the shape of a change, from the states
that the text has had, and from what was offered. Times are of one clock, in seconds.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles
from typing import Literal

from completion.shared import shared_length

Kind = Literal[
    "",  # nothing has changed yet
    "typed",  # a character, with what the editor closes by itself
    "enter",  # a line break, with the indentation that the editor adds
    "deleted",
    "word",  # a name at once, as a list of names inserts it
    "accepted",  # what was offered, or the start of it
    "pasted",
    "undone",  # or redone: a text that stood there before
]
Place = tuple[int, int]  # line and column, from 0, in characters

PAUSE_S = 1.5
RHYTHM_KEYS = 50
LEAST_GAPS = 8  # fewer say nothing about a person
# A key that repeats while it is held, or a program that types, is no rhythm.
_FASTEST_S = 0.02
_STATES = 64
_LONGEST_OFFER = 8000

_FEW = 4  # characters that may come at once and still be typed: some editors send keys together
_NAME = re.compile(r"\.?\w+(?:\(\)?)?\Z")
_WORD_REMOVED = re.compile(r"\s*(?:\w+|[^\w\s]+)?\s*\Z")


@dataclass(frozen=True)
class Change:
    """One change, narrowed to what really differs. `start` is where it begins."""

    start: Place
    removed: str
    inserted: str


@dataclass(frozen=True)
class Rhythm:
    """Milliseconds from key to key, pauses left out."""

    median_ms: float
    upper_ms: float  # the upper quartile


class Keys:
    """Not thread-safe: the thread that gets the changes owns it."""

    def __init__(self) -> None:
        self.kind: Kind = ""
        self.place: Place = (0, 0)  # behind the last change
        self.last = ""  # the last character that came, "" after a deletion
        self.retyping = False  # what was deleted at `place` is typed anew, or about to be
        self._at: float | None = None
        self._gaps: deque[tuple[float, bool]] = deque(maxlen=RHYTHM_KEYS)
        self._states: deque[int] = deque([0], maxlen=_STATES)
        self._inserted: deque[tuple[Place, str]] = deque(maxlen=_STATES)
        self._offers: tuple[str, ...] = ()

    def changed(self, change: Change, state: int, now: float) -> None:
        """`state` tells texts apart: equal for equal texts of this document, 0 at its opening."""
        if not change.removed and not change.inserted:
            return
        before, self.kind = self.kind, self._kind(change, state)
        self._gap(before, change.inserted, now)
        self.retyping = self._retypes(change)
        self.place = end_of(change.start, change.inserted)
        self.last = change.inserted[-1:]
        self._at = now
        self._states.append(state)
        if len(change.inserted) > 1:
            self._inserted.append((change.start, change.inserted[:_LONGEST_OFFER]))

    def offered(self, texts: Sequence[str]) -> None:
        """What the user sees now and may take, in the order of the list."""
        self._offers = tuple(text[:_LONGEST_OFFER] for text in texts)

    def since_ms(self, now: float) -> float:
        """Since the last change; infinite before the first."""
        return float("inf") if self._at is None else max(0.0, now - self._at) * 1000

    def rhythm(self) -> Rhythm | None:
        """None until enough was typed."""
        gaps = [gap * 1000 for gap, _ in self._gaps if gap <= PAUSE_S]
        if len(gaps) < LEAST_GAPS:
            return None
        _, median, upper = quantiles(gaps, n=4, method="inclusive")
        return Rhythm(median, upper)

    def gaps_ms(self, stop: bool) -> list[float]:
        """The last gaps, pauses too: those that came where one stops (behind anything but a word's
        character), or those within words; all, where there are few of the kind."""
        alike = [gap * 1000 for gap, at_stop in self._gaps if at_stop == stop]
        return alike if len(alike) >= LEAST_GAPS else [gap * 1000 for gap, _ in self._gaps]

    @property
    def at_stop(self) -> bool:
        """The last thing typed is one behind which people look up."""
        return self.kind in ("enter", "accepted", "word") or not is_word(self.last)

    def _kind(self, change: Change, state: int) -> Kind:
        inserted = change.inserted
        takes = self._takes_offer(inserted)
        if not inserted:
            return self._kind_of_removal(change, state)
        keyed: Kind = "enter" if "\n" in inserted else "typed"
        if _is_key(inserted):
            return keyed
        if takes:
            return "accepted"
        if state in self._states:
            return "undone"
        if len(inserted.strip()) <= _FEW:
            return keyed
        return "word" if _NAME.match(inserted) else "pasted"

    def _kind_of_removal(self, change: Change, state: int) -> Kind:
        if state not in self._states or _is_key(change.removed):
            return "deleted"
        # Before a word was typed the text was what it is when a key deletes the word; but what
        # came as one goes as one by undo only.
        by_word = _WORD_REMOVED.match(change.removed) and "\n" not in change.removed
        as_one = (change.start, change.removed) in self._inserted
        return "deleted" if by_word and not as_one else "undone"

    def _takes_offer(self, inserted: str) -> bool:
        """Whether an offer begins with it. What is left of those that do stays offered."""
        begun = [offer for offer in self._offers if inserted and offer.startswith(inserted)]
        self._offers = tuple(offer[len(inserted) :] for offer in begun if offer != inserted)
        return bool(begun)

    def _gap(self, before: Kind, inserted: str, now: float) -> None:
        keys = ("typed", "enter")
        if self._at is None or before not in keys or self.kind not in keys:
            return
        together = 1 if _is_key(inserted) else len(inserted.strip())
        gap = (now - self._at) / together
        if gap >= _FASTEST_S:
            self._gaps.append((gap, not is_word(self.last)))

    def _retypes(self, change: Change) -> bool:
        if self.kind not in ("deleted", "typed", "word"):
            return False
        if change.removed:
            return True
        return self.retyping and change.start == self.place and is_word(change.inserted[-1])


def narrowed(start: Place, removed: str, inserted: str) -> Change:
    """The change without what is the same at both ends; what comes first is kept first."""
    head = shared_length(removed, inserted)
    old, new = removed[head:], inserted[head:]
    tail = shared_length(old[::-1], new[::-1])
    if tail:
        old, new = old[:-tail], new[:-tail]
    return Change(end_of(start, removed[:head]), old, new)


def difference(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, int]:
    """(top, end of old, end of new): lines from `top` to there differ, all others are the same."""
    least = min(len(old), len(new))
    top = 0
    while top < least and old[top] == new[top]:
        top += 1
    end = 0
    while end < least - top and old[-1 - end] == new[-1 - end]:
        end += 1
    return top, len(old) - end, len(new) - end


def fingerprint(above: Sequence[str], lines: Sequence[str], below: Sequence[str]) -> int:
    """Of lines and how they stand between the line above and the line below, if there are any.

    A change alters the sum over all lines by what it alters here, and the sums tell texts apart.
    """
    around = [*(above or ["\n"]), *lines, *(below or ["\n"])]
    # As strings: the hashes of tuples are so nearly sums that swapped lines often have the same.
    return sum(hash(f"{one}\n{other}") for one, other in pairwise(around))


def end_of(start: Place, text: str) -> Place:
    """Where a text that begins at `start` ends."""
    newlines = text.count("\n")
    if not newlines:
        return start[0], start[1] + len(text)
    return start[0] + newlines, len(text) - text.rfind("\n") - 1


def is_word(ch: str) -> bool:
    """A character of a name."""
    return ch.isalnum() or ch == "_"


def _is_key(text: str) -> bool:
    """What one key makes: a character with its closing one, or a line break with indentation."""
    return len(text) == 1 or (len(text.strip()) <= _FEW and not any(map(is_word, text)))
