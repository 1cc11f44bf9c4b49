"""What a question is shown of the repository: the code that it names, and what that makes use of.

The same index and retrieval as for completions: pieces of other files that the selected code
uses, definitions of names that the question mentions, and chunks that say the same words.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from completion.chat_prompts import Part
from completion.counting import Counter
from completion.document import Document, language_of, read_text
from completion.index import Index, terms_of
from completion.retrieve import Retriever
from completion.retrieve.retriever import path_in
from completion.retrieve.skeleton import members_of, skeleton
from tandem.errors import UsageError
from tandem.secrets import is_secret_file

# Tokens for what one selection uses; and of what a question's words find.
PIECES = 1500
MOST_DEFINITIONS, MOST_CHUNKS, MOST_LINES = 6, 4, 40
# Sources that say what a name is; the others bring what a completion could be alike.
_CERTAIN = ("definitions", "members", "callees")
# Of a question's words those that say what it is about; so many of them a chunk must say.
_FILLERS = frozenset(
    [
        *("and", "are", "can", "code", "did", "does", "explain", "for", "from", "function", "has"),
        *("have", "how", "into", "its", "make", "not", "python", "return", "should", "tell"),
        *("that", "the", "there", "these", "this", "use", "used", "uses", "using", "want", "was"),
        *("what", "when", "where", "which", "who", "why", "will", "with", "work", "works", "would"),
        *("you", "your"),
    ]
)
_LEAST_SHARED, _SHARED = 2, 0.5
_NAME = re.compile(r"[A-Za-z_]\w{2,}")
_PLACE = re.compile(r"(?P<path>.+?)(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?$")


@dataclass(frozen=True)
class Selection:
    """Rows `first` to `last` of a document, from 0."""

    document: Document
    first: int
    last: int

    @property
    def text(self) -> str:
        """Its lines, each with its end, as far as it has one."""
        return "".join(lines_of(self.document.text)[self.first : self.last + 1])

    @property
    def whole(self) -> bool:
        return self.first == 0 and self.last >= self.document.text.count("\n") - 1

    def name(self, root: Path | None) -> str:
        """How a prompt calls it."""
        path = path_in(self.document.path, root) if root else self.document.path.name
        if self.whole:
            return path
        if self.last == self.first:
            return f"{path}, line {self.first + 1}"
        return f"{path}, lines {self.first + 1}–{self.last + 1}"


def lines_of(text: str) -> list[str]:
    """Each with its end; only "\\n" ends one."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + [last] * bool(last)


def selection_of(place: str) -> Selection:
    """What FILE, FILE:LINE or FILE:FIRST-LAST names, lines from 1. Raises UsageError."""
    match = _PLACE.fullmatch(place)
    path = Path(place)
    if match and match["first"] and not path.exists():
        path = Path(match["path"])
    else:
        match = None
    if is_secret_file(path):
        raise UsageError(f"{path} is a file of secrets.", "Its text is never given to a model.")
    text, _ = read_text(path)
    document = Document(path.resolve(), language_of(path), text)
    count = max(1, len(lines_of(text)))
    if match is None:
        return Selection(document, 0, count - 1)
    first = int(match["first"])
    last = int(match["last"] or first)
    if not 1 <= first <= last <= count:
        lines = f"{first}-{last}" if match["last"] else f"{first}"
        raise UsageError(
            f"{path} has no line {lines}.", f"It has lines 1 to {count}; write FILE:FIRST-LAST."
        )
    return Selection(document, first - 1, last - 1)


def gather(
    question: str, selections: Sequence[Selection], index: Index | None, count: Counter
) -> list[Part]:
    """The selected code first, then what retrieval finds, best first. Blocking: tens of ms."""
    root = index.root if index else None
    parts = [
        Part(one.name(root), one.text, one.document.language, "named by you") for one in selections
    ]
    if index is None or not index.exists:
        return parts
    found = [
        *_defined(question, index),
        *(part for one in selections for part in _used(one, index, count)),
        *_alike(question, selections, index),
    ]
    seen = {part.text.strip() for part in parts}
    for part in found:
        text = part.text.strip()
        # What stands in a selection is shown already, and so is a chunk around a definition.
        if not any(text in other or other in text for other in seen):
            seen.add(text)
            parts.append(part)
    return parts


def _defined(question: str, index: Index) -> Iterator[Part]:
    """Definitions of names that the question says: bodies of functions, classes by their members."""
    names = dict.fromkeys(_NAME.findall(question))
    written_as_code = [n for n in names if "_" in n or n != n.lower() or f"{n}(" in question]
    # A plain word is a name only where few definitions have it: "file" and "test" say nothing.
    for name in islice(names, 40):
        found = index.definitions(name, limit=4)
        if not found or (name not in written_as_code and len(found) > 1):
            continue
        for definition in found[: 2 if len(names) > 1 else 3]:
            symbol = definition.symbol
            if symbol.kind in ("class", "struct", "interface", "trait", "enum"):
                text = skeleton(index, definition, members_of(index, definition))
            else:
                last = min(symbol.last, symbol.first + MOST_LINES - 1)
                text = index.lines(definition.file, symbol.first, last) or ""
            if text.strip():
                where = f"{definition.file.path}, line {symbol.first + 1}"
                yield Part(where, text, definition.file.language, f"defines {name}", named=False)


def _used(selection: Selection, index: Index, count: Counter) -> Iterator[Part]:
    """Of what a completion at the selection's end would see, what the selection names."""
    lines = lines_of(selection.document.text)
    offset = len("".join(lines[: selection.last + 1]).rstrip("\n"))
    retriever = Retriever(index, count, gate=False, time_box_ms=math.inf)
    context = retriever.context(selection.document, offset, PIECES)
    said = set(_NAME.findall(selection.text))
    for piece in context.pieces:
        if piece.source not in _CERTAIN or said.isdisjoint(piece.symbol.split(".")):
            continue
        where = f"{piece.path}, line {piece.first + 1}"
        yield Part(where, piece.text, language_of(Path(piece.path)), piece.reason, named=False)


def _alike(question: str, selections: Sequence[Selection], index: Index) -> Iterator[Part]:
    """Chunks that say most of the question's words."""
    if selections:  # then retrieval has looked for the like already
        return
    about = set(terms_of(question)) - _FILLERS
    least = max(_LEAST_SHARED, _SHARED * len(about))
    for chunk in index.neighbours(sorted(about), MOST_CHUNKS):
        text = index.text_of(chunk) or ""
        shared = sorted(about.intersection(terms_of(text)))
        if len(shared) >= least:
            where = f"{chunk.file.path}, lines {chunk.first + 1}–{chunk.last + 1}"
            reason = f"says {', '.join(shared)}"
            yield Part(where, text, chunk.file.language, reason, named=False)
