"""One suggestion on display: what the user's edits make of it.

An insertion where it stands is compared with what is left of it. Whether a key or a command of
the editor made that insertion, an edit does not say: more than one character at once that ends
where a word or a line does is taken for a command, and whoever knows better says so (`tell`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from completion.changes import Change
from completion.kept import Piece

How = Literal["whole", "line", "word"]
HOWS: tuple[How, ...] = ("whole", "line", "word")
_PAIRS = {"()", "[]", "{}", '""', "''", "``"}


@dataclass
class Chunk:
    """A part of the suggestion that got into the document. `told`: the editor itself said how.

    Without a piece the editor said that it was accepted, and no edit has shown it.
    """

    how: How | Literal["typed", "other"]
    characters: int
    piece: Piece | None = None
    told: bool = False


@dataclass
class Suggestion:
    """`rest` of the text is yet to come, at `place`. `also`: ids of those that went on with it.

    `outcome`, `why` and `ended` are those of its end, None before; what was accepted of it by
    then counts as accepted all the same.
    """

    id: str
    path: str
    language: str
    place: int
    rest: str
    shown_at: float
    also: list[str] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    displayed: bool = False
    outcome: Literal["rejected", "ignored"] = "ignored"
    why: str = ""
    ended: float | None = None
    _told: list[tuple[How, int | None]] = field(default_factory=list)

    def end(self, outcome: Literal["rejected", "ignored"], why: str, now: float) -> None:
        self.outcome, self.why, self.ended = outcome, why, now
        for how, characters in self._told:
            self.chunks.append(Chunk(how, characters or len(self.rest), told=True))
        self._told.clear()

    def continues(self, place: int, text: str) -> bool:
        """Whether a text for a place is this suggestion over again, shorter or longer."""
        same = text.startswith(self.rest) or self.rest.startswith(text)
        return bool(self.rest) and self.place == place and same

    @property
    def accepted(self) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.how in HOWS]

    @property
    def how(self) -> str:
        """The largest unit in which any of it was accepted; "" if nothing was."""
        used = {chunk.how for chunk in self.chunks}
        return next((how for how in HOWS if how in used), "")

    @property
    def typed(self) -> int:
        """Characters of it that were typed and stand."""
        typed = (chunk.piece for chunk in self.chunks if chunk.how == "typed")
        return sum(len(piece.now) for piece in typed if piece)

    def pieces(self) -> Iterator[Piece]:
        for chunk in self.chunks:
            if chunk.piece is not None:
                yield chunk.piece

    def tell(self, how: How, characters: int | None) -> None:
        """The editor says that so much (None: all that was left) was accepted: by the edit that
        was seen last, or by the one that is coming."""
        seen = [chunk for chunk in self.chunks if not chunk.told]
        count = 0
        while seen and count < (characters or 1):
            chunk = seen.pop()
            chunk.how, chunk.told = how, True
            count += chunk.characters
        if count:
            return
        if self.ended is None:
            self._told.append((how, characters))
        elif not self.accepted:
            self.chunks.append(Chunk(how, characters or len(self.rest), told=True))

    def take(self, change: Change, now: float) -> bool:
        """An edit of the document, which its pieces have followed. False if it has nothing to do
        with the suggestion."""
        if change.end < self.place:
            self.place += change.shift
            return False
        if change.start > self.place:
            return False
        if change.end > self.place or "\n" in change.removed:
            self.end("rejected", "other text", now)
            return True
        # What was deleted right before the cursor is to be typed again before the rest. It would
        # be a new piece then, so the old ones are not to find it.
        self.rest = change.removed + self.rest
        for piece in self.pieces():
            piece.lost = piece.lost or not piece.now
        self.place = change.start
        if change.inserted:
            self._insert(change.inserted, now)
        return True

    def _insert(self, text: str, now: float) -> None:
        how, used = self._told.pop(0)[0] if self._told else None, text
        told = how is not None
        if how is None:
            how, used = _by_edit(text, self.rest)
        self.chunks.append(Chunk(how, len(used), Piece.at(self.place, used), told))
        self.place += len(used)
        if how == "other" or (told and not self.rest.startswith(used)):
            self.end("rejected", "other text", now)
            return
        self.rest = self.rest[len(used) :]
        if not self.rest:
            self.end("ignored", "", now)


def _by_edit(text: str, rest: str) -> tuple[How | Literal["typed", "other"], str]:
    """How an insertion came about, and the part of it that is the suggestion's."""
    if text in _PAIRS and rest.startswith(text[0]):  # one key, and what the editor adds to it
        return "typed", text if rest.startswith(text) else text[0]
    if text == rest or (text.startswith(rest) and len(rest) > 1):
        return ("whole" if len(rest) > 1 else "typed"), rest
    if not rest.startswith(text):
        return "other", text
    # A break with the indentation that the editor puts behind it is one key.
    if len(text) == 1 or not text.strip():
        return "typed", text
    if text.endswith("\n") or rest[len(text)] == "\n":
        return "line", text
    middle = _in_word(text[-1]) and _in_word(rest[len(text)])
    return ("typed" if middle else "word"), text


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
