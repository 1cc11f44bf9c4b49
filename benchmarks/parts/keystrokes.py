"""Real code typed again, key by key, the same keys for everybody from one seed.

Stretches of lines are taken out of a file and typed back, two functions of a file in turn: some
keys are wrong and taken back, some words are typed twice, and the cursor jumps to the other
function and back. Each key gives the text and the cursor as an editor would have them then.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from completion.cut import Count
from completion.document import Document, language_of, name_in_repository
from completion.hole import hole_kind
from completion.languages import language_row
from completion.prompt import Prompt, fit
from completion.templates import Snippet, Template

LONGEST_STRETCH = 4  # lines
WRONG_KEY = 0.04
RETYPED_WORD = 0.02
JUMP = 0.02
_SIZES = range(1500, 100_000)  # bytes of a file worth typing in


@dataclass(frozen=True)
class Key:
    """The document after one key. `action` is type, delete or jump."""

    file: Path
    text: str
    offset: int
    action: str


@dataclass
class _Place:
    """A stretch being typed: what stands already and what is to come."""

    start: int  # where it stands in the text without any stretch
    coming: str
    typed: str = ""


def files_in(folders: Sequence[Path], seed: int, count: int) -> list[Path]:
    """Source files in a language that has a row of its own, the same from one seed."""
    found = sorted(
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and language_row(language_of(file)).has_statements
        and file.stat().st_size in _SIZES
    )
    usable = [file for file in found if _stretches(_read(file))]
    return random.Random(seed).sample(usable, min(count, len(usable)))


def keystrokes(files: Sequence[Path], seed: int, count: int) -> list[Key]:
    """`count` keys, each file getting its share in a row, as work on a file is."""
    share = -(-count // max(1, len(files)))
    keys: list[Key] = []
    for number, file in enumerate(files):
        endless = _endless(file, random.Random(f"{seed} {number}"))
        keys += itertools.islice(endless, min(share, count - len(keys)))
    return keys


def _endless(file: Path, rng: random.Random) -> Iterator[Key]:
    text = _read(file)
    while True:
        yield from Typist(file, text, rng).keys()


class Typist:
    """Types two stretches of a file."""

    def __init__(self, file: Path, text: str, rng: random.Random) -> None:
        self._file = file
        self._rng = rng
        stretches = _stretches(text)
        picked = sorted(rng.sample(stretches, min(2, len(stretches))))
        self._places, self._rest, removed, last = [], "", 0, 0
        for start, end in picked:
            if start < last:  # one stretch in another: type only the first
                continue
            self._rest += text[last:start]
            self._places.append(_Place(start - removed, text[start:end]))
            removed, last = removed + end - start, end
        self._rest += text[last:]

    def keys(self) -> Iterator[Key]:
        """Until everything stands as it stood in the file."""
        rng, at = self._rng, 0
        while any(place.coming for place in self._places):
            place = self._places[at]
            other = (at + 1) % len(self._places)
            wants_other = self._places[other].coming and rng.random() < JUMP
            if not place.coming or (wants_other and other != at):
                at = other
                yield self._key(at, "jump")
                continue
            if place.coming[0].isalnum() and rng.random() < WRONG_KEY:
                yield from self._slip(at)
            elif place.typed[-1:].isalnum() and rng.random() < RETYPED_WORD:
                yield from self._retype(at)
            self._type(place)
            yield self._key(at, "type")

    def _type(self, place: _Place) -> None:
        """One key; Enter brings the next line's indentation, as editors do."""
        length = 1
        if place.coming[0] == "\n":
            length += len(place.coming[1:]) - len(place.coming[1:].lstrip(" \t"))
        place.typed += place.coming[:length]
        place.coming = place.coming[length:]

    def _slip(self, at: int) -> Iterator[Key]:
        """Up to three wrong keys, then as many backspaces."""
        place, right = self._places[at], self._places[at].typed
        for _ in range(self._rng.randint(1, 3)):
            place.typed += self._rng.choice("etaoinsrhld_")
            yield self._key(at, "type")
        while place.typed != right:
            place.typed = place.typed[:-1]
            yield self._key(at, "delete")

    def _retype(self, at: int) -> Iterator[Key]:
        """Delete the last characters and let them be typed again."""
        place = self._places[at]
        for _ in range(self._rng.randint(2, 8)):
            if not place.typed[-1:].strip():
                break
            place.coming = place.typed[-1] + place.coming
            place.typed = place.typed[:-1]
            yield self._key(at, "delete")

    def _key(self, at: int, action: str) -> Key:
        text, last, offset = "", 0, 0
        for number, place in enumerate(self._places):
            text += self._rest[last : place.start] + place.typed
            last = place.start
            if number == at:
                offset = len(text)
        return Key(self._file, text + self._rest[last:], offset, action)


@dataclass(frozen=True)
class Prompter:
    """The prompt of a key, made as `completion.session` makes it."""

    template: Template
    count: Count
    budget: int
    for_snippets: int = 0

    def prompt(self, key: Key, heals: bool, snippets: Sequence[Snippet] = ()) -> Prompt | None:
        """None where nothing would be asked: the cursor stands in a secret."""
        document = Document(key.file, language_of(key.file), key.text)
        hole = hole_kind(key.text, key.offset, document.language)
        fitted = fit(
            key.text,
            key.offset,
            document.language,
            self.template,
            self.budget,
            self.count,
            heals,
            hole.kind,
            name_in_repository(document),
            snippets,
            self.for_snippets,
        )
        return fitted.prompt if fitted else None


def _stretches(text: str) -> list[tuple[int, int]]:
    """Runs of full, indented lines, from the first one's text to the last one's end."""
    found, lines, at = [], text.split("\n"), 0
    for number, line in enumerate(lines):
        run = 0
        while number + run < len(lines) and run < LONGEST_STRETCH:
            if not lines[number + run].strip() or lines[number + run][0] not in " \t":
                break
            run += 1
        if run > 1:
            indent = len(line) - len(line.lstrip())
            end = at + sum(len(s) + 1 for s in lines[number : number + run]) - 1
            found.append((at + indent, end))
        at += len(line) + 1
    return found


def _read(file: Path) -> str:
    return file.read_text("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
