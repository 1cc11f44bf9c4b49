"""What a candidate patch is, and the two kinds of change that templates propose."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.repair.source import Block


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
