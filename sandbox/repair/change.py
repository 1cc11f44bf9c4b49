"""What a candidate patch is, and the two kinds of change that templates propose."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.repair.source import Block


@dataclass(frozen=True)
class Place:
    """Lines of a file as it was, from 1, both of them changed or next to what is put in."""

    path: str
    first: int
    last: int


@dataclass(frozen=True)
class Candidate:
    """One replacement in one file.

    `start` and `end` are character offsets into the source, `text` goes between them. `template`
    names who proposed it. `prior` is how likely it is to be the fix, by the line's suspicion and
    the template's record alone; only its order means something.
    """

    path: str
    start: int
    end: int
    text: str
    template: str
    prior: float

    def applied(self, source: str) -> str:
        """The whole file with the change in it."""
        return source[: self.start] + self.text + source[self.end :]

    def changed(self, sources: Mapping[str, str]) -> dict[str, str | None]:
        """The new texts by path."""
        return {self.path: self.applied(sources[self.path])}

    def places(self, sources: Mapping[str, str]) -> tuple[Place, ...]:
        """Where it changes what was there."""
        source = sources[self.path]
        first = source.count("\n", 0, self.start) + 1
        return (Place(self.path, first, source.count("\n", 0, self.end) + 1),)


@dataclass(frozen=True)
class Rewrite:
    """New texts of several files, as an agent proposes them; None for a file that is to go."""

    files: tuple[tuple[str, str | None], ...]
    template: str = "agent"
    prior: float = 1.0

    def changed(self, sources: Mapping[str, str]) -> dict[str, str | None]:
        return {path: text for path, text in self.files if sources.get(path) != text}

    def places(self, sources: Mapping[str, str]) -> tuple[Place, ...]:
        """Of each file in order; one place for a file that is new or goes."""
        found: list[Place] = []
        for path, text in sorted(self.changed(sources).items()):
            old = sources.get(path, "").splitlines()
            matcher = SequenceMatcher(None, old, (text or "").splitlines(), autojunk=False)
            found += [
                Place(path, start + 1, max(start + 1, end))
                for tag, start, end, _, _ in matcher.get_opcodes()
                if tag != "equal"
            ] or [Place(path, 1, 1)]
        return tuple(found)


Proposal = Candidate | Rewrite


@dataclass(frozen=True)
class Replace:
    """Other text within one statement, or within a compound statement's header.

    `weight`: how likely it is beside the template's other proposals for the same statement.
    """

    start: int
    end: int
    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Splice:
    """Other statements in the place of `block.statements[first:last]`.

    `texts` are whole statements as they would stand in column 0; `first == last` inserts, next to
    the statement above if `below`, else next to the one below.
    """

    block: "Block"
    first: int
    last: int
    texts: tuple[str, ...]
    weight: float = 1.0
    below: bool = False


Change = Replace | Splice
