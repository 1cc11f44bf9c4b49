"""Open documents: the text an editor holds, its edits, and positions as offsets.

pygls keeps documents too. Ours exist because its own break lines where LSP does not (form feed,
U+2028) and clamp positions elsewhere than LSP says, and because they split the whole text again
at each use: 60 ms a key in a file of 5 MB on a 2-core machine. Here an edit replaces only the
lines it touches, and a key costs 4 ms there.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from lsprotocol import types
from pygls.uris import to_fs_path, urlparse

from completion import keys
from completion.changes import Change, between
from completion.document import Document, language_of
from completion.keys import Keys

# Documents that an editor shows and nobody types in, or that are its own: versions of a file in
# git, panels, consoles, code out of archives. Others, as unsaved ones, are like files.
READ_ONLY_SCHEMES = frozenset(
    {"git", "gitlens", "fugitive", "diffview", "review", "output", "debug", "term"}
    | {"vscode-terminal", "vscode-userdata", "vscode-local-history", "vscode-scm"}
    | {"jdt", "csharp", "deno", "zipfile", "http", "https"}
)
CELL_SCHEME = "vscode-notebook-cell"
log = logging.getLogger(__name__)

_BREAK = re.compile(r"(\r\n|\r|\n)")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD_BEFORE = re.compile(r"\w*\Z")


@dataclass(frozen=True)
class Cursor:
    """A place in a document, with the document as it was at that moment.

    `offset` counts characters of `document.text`, whose lines end in "\\n". `position` is the
    same place as the editor counts, after clamping. `newline` is what the document itself uses
    there, and `word` the part of a name that stands right before the cursor.
    """

    document: Document
    offset: int
    position: types.Position
    newline: str
    word: str

    def insertion(self, text: str) -> str:
        """A suggestion with the document's own line ending."""
        return text.replace("\n", self.newline)


class OpenDocument:
    """One document between didOpen and didClose.

    `in_step`: false after an edit was dropped, until a whole text comes: ours may be another one
    than the editor's.
    """

    def __init__(self, item: types.TextDocumentItem, encoding: str) -> None:
        self.uri = item.uri
        self.path = path_of(item.uri)
        self.scheme = scheme_of(item.uri)
        self.in_step = True
        self.language = item.language_id or language_of(self.path)
        self.version = item.version
        self.keys = Keys()
        self._encoding = encoding
        self._state = 0  # see keys.fingerprint; relative to the text at opening
        self._lines, self._ends = _split(item.text)

    @property
    def text(self) -> str:
        """The text as the editor has it, line endings included."""
        return "".join(line + end for line, end in zip(self._lines, [*self._ends, ""], strict=True))

    @property
    def plain(self) -> str:
        """The text with "\n" line ends."""
        return "\n".join(self._lines)

    @property
    def read_only(self) -> bool:
        return self.scheme in READ_ONLY_SCHEMES

    @property
    def is_file(self) -> bool:
        """Whether the text is that of the file at `path`; a cell is a part, a version another."""
        return not self.read_only and self.scheme != CELL_SCHEME

    def change(
        self,
        version: int,
        changes: Sequence[types.TextDocumentContentChangeEvent],
        told: bool = False,
    ) -> list[Change]:
        """Carry out the edits that lead to a version, unless they come too late; `told` has them
        returned, each in the plain text after the last.

        Versions only grow, so one that does not was sent twice or out of order, and its ranges
        are those of another text than ours. A whole text says all there is to know; only an older
        one is no news while ours is in step.
        """
        whole = any(not isinstance(one, types.TextDocumentContentChangePartial) for one in changes)
        late = version < self.version if whole else version <= self.version
        if late and (self.in_step or not whole):
            self.in_step = self.in_step and whole
            log.warning("%s: version %d after %d is dropped", self.path, version, self.version)
            return []
        made: list[Change] = []
        now = time.monotonic()
        for change in changes:
            if told:
                made += self.told(change)
            self.apply(change, now)
        self.in_step = self.in_step or whole
        self.version = version
        return made

    def apply(self, change: types.TextDocumentContentChangeEvent, now: float) -> None:
        """Carry out one edit, or take a whole new text. `now` is by `time.monotonic`."""
        if not isinstance(change, types.TextDocumentContentChangePartial):
            self._set(change.text, now)
            return
        first, last = sorted((self._locate(change.range.start), self._locate(change.range.end)))
        self._splice(first, last, _storable(change.text), now)

    def told(self, change: types.TextDocumentContentChangeEvent) -> list[Change]:
        """What an edit, which is yet to be carried out, does to the plain text."""
        if not isinstance(change, types.TextDocumentContentChangePartial):
            return between(self.plain, _plain(change.text))
        first, last = sorted((self._locate(change.range.start), self._locate(change.range.end)))
        (top, start), (bottom, end) = first, last
        lines = self._lines[top : bottom + 1]
        lines[-1] = lines[-1][:end]
        lines[0] = lines[0][start:]
        offset = sum(map(len, self._lines[:top])) + top + start
        removed, inserted = "\n".join(lines), _plain(change.text)
        # An insertion is told as it is: where an editor puts it says more than where it might be.
        if not removed:
            return [Change(offset, "", inserted)] if inserted else []
        return between(removed, inserted, offset)

    def at(self, position: types.Position) -> Cursor:
        """The cursor at a position; what lies outside the text is clamped as LSP says."""
        line, column = self._locate(position)
        before = self._lines[line][:column]
        return Cursor(
            document=Document(self.path, self.language, self.plain, self.version),
            offset=sum(map(len, self._lines[:line])) + line + column,
            position=types.Position(line, units(before, self._encoding)),
            newline=self._newline(line),
            word=_WORD_BEFORE.findall(before)[0],
        )

    def _set(self, text: str, now: float) -> None:
        """What a whole new text changes is one edit too."""
        lines, ends = _split(text)
        top, old_end, new_end = keys.difference(self._lines, lines)
        self._state += self._altered(top, old_end, lines[top:new_end])
        # Lines come and go with a line break: with the lines around them all is in one text.
        above = max(top - 1, 0)
        removed = "\n".join(self._lines[above : old_end + 1])
        inserted = "\n".join(lines[above : new_end + 1])
        self._lines, self._ends = lines, ends
        self.keys.changed(keys.narrowed((above, 0), removed, inserted), self._state, now)

    def _splice(self, first: tuple[int, int], last: tuple[int, int], text: str, now: float) -> None:
        (top, start), (bottom, end) = first, last
        removed = "\n".join(self._lines[top : bottom + 1])
        removed = removed[start : len(removed) - len(self._lines[bottom]) + end]
        head = self._lines[top][:start]
        if top and not start and self._ends[top - 1] == "\r":
            # A "\n" arriving here makes one line break with the "\r" before it.
            top -= 1
            head = self._lines[top] + "\r"
        closing = self._ends[bottom] if bottom < len(self._ends) else ""
        parts = _BREAK.split(head + text + self._lines[bottom][end:] + closing)
        lines, ends = parts[::2], parts[1::2]
        if closing:
            lines.pop()
        self._state += self._altered(top, bottom + 1, lines)
        self._lines[top : bottom + 1] = lines
        self._ends[top : bottom + 1] = ends
        change = keys.narrowed(first, removed, _BREAK.sub("\n", text))
        self.keys.changed(change, self._state, now)

    def _altered(self, top: int, stop: int, lines: list[str]) -> int:
        """What the fingerprint gains when these lines take the place of those from `top` on."""
        above, below = self._lines[max(top - 1, 0) : top], self._lines[stop : stop + 1]
        before = keys.fingerprint(above, self._lines[top:stop], below)
        return keys.fingerprint(above, lines, below) - before

    def _locate(self, position: types.Position) -> tuple[int, int]:
        """Line and column in characters."""
        if position.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        line = self._lines[position.line]
        return position.line, characters(line, position.character, self._encoding)

    def _newline(self, line: int) -> str:
        """The nearest line break above, else the one below, else "\\n"."""
        if not self._ends:
            return "\n"
        return self._ends[max(line - 1, 0)]


class Documents:
    """All open documents, by URI. `closed` is told of each that is closed."""

    def __init__(self, closed: Callable[[OpenDocument], None] = lambda document: None) -> None:
        self._closed = closed
        self.encoding: str = types.PositionEncodingKind.Utf16.value
        self._open: dict[str, OpenDocument] = {}

    def open(self, item: types.TextDocumentItem) -> None:
        self._open[same(item.uri)] = OpenDocument(item, self.encoding)

    def change(
        self,
        identifier: types.VersionedTextDocumentIdentifier,
        changes: Sequence[types.TextDocumentContentChangeEvent],
        told: bool = False,
    ) -> list[Change]:
        """See `OpenDocument.change`; nothing changes in a document that is not open."""
        document = self._open.get(same(identifier.uri))
        return document.change(identifier.version, changes, told) if document is not None else []

    def close(self, uri: str) -> None:
        document = self._open.pop(same(uri), None)
        if document is not None:
            self._closed(document)

    def __iter__(self) -> Iterator[tuple[str, OpenDocument]]:
        """With the URI that each was opened by, unquoted."""
        return iter(list(self._open.items()))

    def get(self, uri: str) -> OpenDocument | None:
        return self._open.get(same(uri))


def same(uri: str) -> str:
    """Equal for URIs of one document: editors differ, even from message to message, in which
    characters they quote."""
    return unquote(uri)


def scheme_of(uri: str) -> str:
    return uri.partition(":")[0].lower()


def path_of(uri: str) -> Path:
    """Where a document lives, or would: an unsaved one has a name only."""
    try:
        path = to_fs_path(uri) or urlparse(uri)[2]
    except ValueError:
        path = uri.rpartition("/")[2]
    return Path(path or "untitled")


def _split(text: str) -> tuple[list[str], list[str]]:
    """Lines, and the line breaks between them."""
    parts = _BREAK.split(_storable(text))
    return parts[::2], parts[1::2]


def units(text: str, encoding: str) -> int:
    """The length of a text in the code units of utf-8, utf-16 or utf-32."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode())
    return len(text.encode("utf-16-le")) // 2


def characters(line: str, count: int, encoding: str) -> int:
    """How many characters of a line stand before `count` code units.

    Past the end means the end; in the middle of a character means before it.
    """
    if encoding == "utf-32" or line.isascii():
        return min(count, len(line))
    codec, width = ("utf-8", 1) if encoding == "utf-8" else ("utf-16-le", 2)
    return len(line.encode(codec)[: count * width].decode(codec, errors="ignore"))


def _plain(text: str) -> str:
    return "\n".join(_BREAK.split(_storable(text))[::2])


def _storable(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes. Lengths stay the same."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text)
    return text
