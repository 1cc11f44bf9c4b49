"""From the indentation that a model wrote to that of the file: a constant shift, tabs for spaces."""

from collections.abc import Sequence
from dataclasses import dataclass, field

TABS = (4, 2, 8, 3)  # columns of a tab, the likeliest first


@dataclass(frozen=True)
class Indents:
    """How the lines of a hunk are indented in the file.

    `known` has the file's indentation for each of the hunk's; for others the shift, in columns,
    decides. `first` is that of the first line, where the model left out just this one.
    """

    known: dict[str, str] = field(default_factory=dict)
    shift: int = 0
    tab: int = TABS[0]
    first: str | None = None

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> "Indents | None":
        """From the indentations of lines, ours and the file's; None if no one shift explains them."""
        found = cls._all(pairs)
        if found is None and len(pairs) > 1 and pairs[0][0] == "":
            rest = cls._all(pairs[1:])
            if rest is not None and rest.same:
                return cls(rest.known, first=pairs[0][1])
        return found

    @classmethod
    def _all(cls, pairs: Sequence[tuple[str, str]]) -> "Indents | None":
        known = dict(pairs)
        if any(known[ours] != theirs for ours, theirs in pairs):
            return None
        if all(ours == theirs for ours, theirs in known.items()):
            return cls(known)
        shifts = {}
        for tab in TABS:
            found = {_width(theirs, tab) - _width(ours, tab) for ours, theirs in known.items()}
            if len(found) == 1:
                shifts[tab] = found.pop()
        if not shifts:
            return None
        # Tabs for as many spaces are likelier than that and a shift.
        tab = min(shifts, key=lambda tab: (shifts[tab] != 0, TABS.index(tab)))
        return cls(known, shifts[tab], tab)

    @property
    def same(self) -> bool:
        """Whether the file's indentation is just ours."""
        return self.first is None and all(ours == theirs for ours, theirs in self.known.items())

    def line(self, text: str, is_first: bool = False) -> str | None:
        """A new line as the file would indent it; None where it would have to stand left of all."""
        body = text.lstrip()
        if not body:
            return text if self.same else ""
        ours = text[: len(text) - len(body)]
        if is_first and self.first is not None and ours == "":
            return self.first + body
        if ours in self.known:
            return self.known[ours] + body
        if self.same:
            return text
        width = _width(ours, self.tab) + self.shift
        if width < 0:
            return None
        if any("\t" in theirs for theirs in self.known.values()):
            return "\t" * (width // self.tab) + " " * (width % self.tab) + body
        if self.shift == 0 and "\t" not in "".join(self.known):
            return text
        return " " * width + body


def _width(text: str, tab: int) -> int:
    return sum(tab if character == "\t" else 1 for character in text)
