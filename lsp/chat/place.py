"""The part of a document that a chat command is about: whole lines, with what stands around them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types

from completion import outline
from completion.document import Document, name_in_repository
from completion.outline import Symbol
from completion.syntax import encoded, parse_bytes
from lsp.chat.asked import Asked
from lsp.documents import OpenDocument, units
from tandem.errors import UsageError

_NAMED = outline.FUNCTIONS | {"class", "struct", "interface", "enum", "trait", "type", "macro"}


@dataclass(frozen=True)
class Place:
    """Rows `first` to `last` of a document, from 0, as it was when the command came.

    `symbol` is the innermost function or class around the first row. `lines` have no ends.
    """

    uri: str
    document: Document
    lines: tuple[str, ...]
    first: int
    last: int
    symbol: Symbol | None
    newline: str
    encoding: str

    @property
    def name(self) -> str:
        return name_in_repository(self.document) or self.document.path.name

    @property
    def text(self) -> str:
        return "\n".join(self.lines[self.first : self.last + 1])

    @property
    def offset(self) -> int:
        """Of the place's first character in the document's text."""
        return sum(len(line) + 1 for line in self.lines[: self.first])

    def around(self, characters: int) -> tuple[str, str]:
        """Whole lines before and after, the nearest ones, each side of at most half of that."""
        return (
            "\n".join(reversed(_fitting(reversed(self.lines[: self.first]), characters // 2))),
            "\n".join(_fitting(iter(self.lines[self.last + 1 :]), characters // 2)),
        )

    def of_symbol(self) -> "Place":
        """The whole definition around. Raises UsageError if there is none."""
        if self.symbol is None:
            raise UsageError("There is no function or class here.", "Put the cursor into one.")
        return Place(
            self.uri,
            self.document,
            self.lines,
            self.symbol.first,
            min(self.symbol.last, len(self.lines) - 1),
            self.symbol,
            self.newline,
            self.encoding,
        )

    def replaced(
        self, text: str, first: int | None = None, last: int | None = None
    ) -> types.TextEdit:
        """The edit that puts a text in place of these rows; `last` below `first`: before `first`."""
        first = self.first if first is None else first
        last = self.last if last is None else last
        start = types.Position(first, 0)
        if last < first:
            return types.TextEdit(
                types.Range(start, start), f"{text}\n".replace("\n", self.newline)
            )
        end = types.Position(last, units(self.lines[last], self.encoding))
        return types.TextEdit(types.Range(start, end), text.replace("\n", self.newline))


def place_of(document: OpenDocument, asked: Asked, folder: Path | None, encoding: str) -> Place:
    """Where a command points. Raises UsageError for a document that cannot be read well."""
    if not document.in_step:
        raise UsageError("This document is out of step with the editor.", "Close and open it.")
    wide = asked.range or types.Range(types.Position(0, 0), types.Position(2**31 - 1, 0))
    start, end = document.at(wide.start), document.at(wide.end)
    text = start.document.text
    lines = tuple(text.split("\n"))
    first, last = start.position.line, end.position.line
    # A selection of whole lines ends at the start of the next one.
    if last > first and end.position.character == 0:
        last -= 1
    known = Document(document.path, document.language, text, document.version, folder)
    symbol = _around(known, lines, first)
    return Place(document.uri, known, lines, first, last, symbol, start.newline, encoding)


def _around(document: Document, lines: tuple[str, ...], row: int) -> Symbol | None:
    data = encoded(document.text)
    root = parse_bytes(data, document.language)
    if root is None:
        return None
    indent = len(lines[row]) - len(lines[row].lstrip())
    byte = len(encoded("\n".join([*lines[:row], lines[row][:indent]])))
    found = outline.enclosing(root, data, document.language, min(byte, max(len(data) - 1, 0)))
    return next((s for s in reversed(found) if s.kind in _NAMED), None)


def _fitting(lines: Iterable[str], characters: int) -> list[str]:
    found: list[str] = []
    for line in lines:
        characters -= len(line) + 1
        if characters < 0:
            break
        found.append(line)
    return found
