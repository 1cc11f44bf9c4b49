"""The edits that a change implies, kept from ask to ask until they are done.

A plan is made once. Its places are those of the texts as they were then; what has been done since,
by accepting or by hand, is seen from the texts as they are now, without looking anything up again.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from completion.document import Document
from completion.next_edit.text import Diff, Source, difference

Fill = Callable[[Document, int], Awaitable[str]]
# What a model says for one argument: more is no argument.
LONGEST_VALUE = 80
_WORD_END, _WORD_START = re.compile(r"[\w$]\Z"), re.compile(r"[\w$]")


@dataclass(frozen=True)
class Place:
    """`old` at a byte of the text as it was becomes `new`. With a `hole`, its offset in characters
    of `new`, a value is missing there; `fallback` is one that is in scope, "" if none. It is done
    as soon as anything `within` these bytes has changed."""

    start: int
    old: str
    new: str
    hole: int | None = None
    fallback: str = ""
    within: tuple[int, int] | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.old.encode())


@dataclass(frozen=True)
class NextEdit:
    """Replace a range of a file. Rows and columns count characters, from 0; lines end in "\\n".

    `hole`: a value is to be put into `new` at this offset before it is used, see `filled`.
    """

    path: Path
    start: tuple[int, int]
    end: tuple[int, int]
    old: str
    new: str
    reason: str
    mechanical: bool = True
    hole: int | None = None
    fallback: str = ""
    offset: int = 0  # of the start, in characters
    before: str = ""  # what its line says before the start

    @property
    def id(self) -> str:
        text = f"{self.path}\0{self.start}\0{self.old}\0{self.new}"
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


@dataclass
class Plan:
    """What one change implies. `bases`: the texts that the places are of, by path. `pair`: the old
    and the new name, where the change is a new name."""

    reason: str
    bases: dict[Path, Source]
    places: dict[Path, list[Place]] = field(default_factory=dict)
    pair: tuple[str, str] | None = None

    def remaining(
        self, texts: Callable[[Path], Source | None], path: Path, byte: int
    ) -> list[NextEdit]:
        """What is not done yet: below the cursor, then from the top, then in other files."""
        found: list[NextEdit] = []
        for file in sorted(self.places, key=lambda one: (one != path, one.as_posix())):
            source = texts(file)
            diff = difference(self.bases[file].data, source.data) if source else None
            if source is None or diff is None:
                continue
            here = [(at, one) for one in self.places[file] if (at := _at(one, diff, source))]
            here.sort(key=lambda one: (file == path and one[0][0] < byte, one[0][0]))
            found += [_edit(file, at, one, source, self.reason) for at, one in here]
        return found


def _at(place: Place, diff: Diff, source: Source) -> tuple[int, int] | None:
    at = diff.now(place.start, place.end)
    if place.within is not None and diff.now(*place.within) is None:
        return None
    # What only adds to the old text leaves it as it is when it is done.
    if at and _keeps(place) and diff.touches(*at):
        return None
    return at if at and source.spelled(*at) == place.old else None


def _keeps(place: Place) -> bool:
    """Whether the old text is still there, as words of its own, after the edit."""
    parts = place.new.partition(place.old) if place.old else ("", "", "")
    return bool(parts[1]) and not (_WORD_END.search(parts[0]) or _WORD_START.match(parts[2]))


def _edit(path: Path, at: tuple[int, int], place: Place, source: Source, reason: str) -> NextEdit:
    return NextEdit(
        path,
        source.position(at[0]),
        source.position(at[1]),
        place.old,
        place.new,
        reason,
        place.hole is None,
        place.hole,
        place.fallback,
        len(source.data[: at[0]].decode()),
        source.spelled(source.data.rfind(b"\n", 0, at[0]) + 1, at[0]),
    )


async def filled(edit: NextEdit, document: Document, fill: Fill | None) -> NextEdit | None:
    """The edit with its value: the model's if it says one, else the variable in scope; None if
    there is neither. `document` is that of the edit's file, with "\\n" line ends."""
    if edit.hole is None:
        return edit
    value = ""
    if fill is not None:
        head, tail = edit.new[: edit.hole], edit.new[edit.hole :]
        after = document.text[edit.offset + len(edit.old) :]
        text = document.text[: edit.offset] + head + tail + after
        value = one_value(await fill(replace(document, text=text), edit.offset + len(head)))
    value = value or edit.fallback
    if not value:
        return None
    new = edit.new[: edit.hole] + value + edit.new[edit.hole :]
    return replace(edit, new=new, hole=None)


def one_value(answer: str) -> str:
    """The first argument of what a model wrote between brackets; "" if that is no value."""
    depth, quote = 0, ""
    for at, letter in enumerate(answer):
        if quote:
            quote = "" if letter == quote and answer[at - 1] != "\\" else quote
        elif letter in "\"'`":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}" and depth:
            depth -= 1
        elif letter in ",)]}\n;" and not depth:
            answer = answer[:at]
            break
    whole = not depth and not quote and len(answer) <= LONGEST_VALUE
    return answer.strip() if whole and "\n" not in answer.strip() else ""
