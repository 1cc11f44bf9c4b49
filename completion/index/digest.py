"""What the index keeps of one file: read, checked, outlined, cut into chunks.

Runs in worker processes: results are plain tuples, in the order of the columns they go to.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from completion import sourcefile
from completion.index import words
from completion.index.scan import LARGEST
from completion.outline import outline
from tandem import secrets

PARSE_S = 5.0  # longer than any file of 1 MB takes that a grammar can read
# Longer lines than a person writes; here only what no reader could use is left out.
LONGEST_LINE, DENSEST = 5000, 200
# A file changed this long ago may change again without another modification time.
_UNSETTLED_NS = 50_000_000
_READS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read. `hash`: of the text that the index has of it, if it has one."""

    path: str
    language: str
    hash: int | None = None


@dataclass(slots=True)
class Digest:
    """`skipped` says why there is nothing of the file's text, "" if there is. `same`: the text
    is what the index has already. `mtime` is 0 where the file may have changed meanwhile.

    symbols: (kind, name, container, signature, doc, first, last, local); imports: (module, name,
    alias, row); chunks: (first, last, hash, number of words, words).
    """

    path: str
    language: str
    size: int = 0
    mtime: int = 0
    lines: int = 0
    hash: int = 0
    skipped: str = ""
    same: bool = False
    symbols: list[tuple[str, str, str, str, str, int, int, bool]] = field(default_factory=list)
    imports: list[tuple[str, str, str, int]] = field(default_factory=list)
    chunks: list[tuple[int, int, int, int, str]] = field(default_factory=list)


def digest(root: Path, job: Job) -> Digest:
    """One file of a workspace; a file that is gone has "unreadable" in `skipped`."""
    found = Digest(job.path, job.language)
    try:
        data = _read(root / job.path, found)
    except OSError:  # gone, or no right to read it
        found.skipped = "unreadable"
        return found
    found.hash = words.hash_of(data)
    if found.hash == job.hash:
        found.same = True
        return found
    found.skipped = _unfit(data)
    if not found.skipped:
        describe(found, normal(data))
    return found


def describe(found: Digest, data: bytes) -> None:
    """Fill in what a text defines, imports and says; its lines end with "\\n"."""
    public = _without_secrets(data)
    outlined = outline(public, found.language, PARSE_S)
    found.symbols = [
        (s.kind, s.name, s.container, s.signature, s.doc, s.first, s.last, s.local)
        for s in outlined.symbols
    ]
    found.imports = [(i.module, i.name, i.alias, i.row) for i in outlined.imports]
    starts = (s.first for s in outlined.symbols if not s.local and s.last > s.first)
    found.chunks = words.chunks(data, public, starts)
    found.lines = data.count(b"\n") + (not data.endswith(b"\n"))


def words_again(file: Path, chunks: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, str]]:
    """(id, words) of those of a file's chunks (id, first, last, hash) whose text still stands."""
    try:
        data = normal(file.read_bytes())
    except OSError:  # gone
        return
    starts = words.line_starts(data)
    public = _without_secrets(data)
    public_starts = words.line_starts(public)
    for chunk_id, first, last, text in chunks:
        if last + 1 < len(starts) and words.hash_of(data[starts[first] : starts[last + 1]]) == text:
            of = public[public_starts[first] : public_starts[last + 1]]
            yield chunk_id, b" ".join(sorted(words.words_of(of))).decode("utf-8", "replace")


def normal(data: bytes) -> bytes:
    """A file's bytes as the editor's lines have them: no mark of their order, "\\n" line ends."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _read(file: Path, found: Digest) -> bytes:
    """The bytes of one moment, if the file holds still for it."""
    data = b""
    for _ in range(_READS):
        with open(file, "rb", opener=_open) as stream:
            before = os.fstat(stream.fileno())
            data = stream.read(LARGEST + 1)
            after = os.fstat(stream.fileno())
        found.size = len(data)
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, len(data)):
            settled = time.time_ns() - after.st_mtime_ns > _UNSETTLED_NS
            found.mtime = after.st_mtime_ns if settled else 0
            break
    return data


def _open(path: str, flags: int) -> int:
    # What was a file a moment ago may be a link or a pipe by now.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _unfit(data: bytes) -> str:
    """Why a file's content leaves it out; "" if it does not."""
    if len(data) > LARGEST:
        return "too large"
    if b"\0" in data:
        return "binary"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    if sourcefile.is_generated(text):
        return "generated"
    return "minified" if sourcefile.is_minified(text, LONGEST_LINE, DENSEST) else ""


def _without_secrets(data: bytes) -> bytes:
    """The same text, rows in place, with spaces where a secret stands."""
    text = data.decode("utf-8", "replace")
    found = secrets.find(text)
    if not found:
        return data
    pieces, last = [], 0
    for one in found:
        hidden = "".join("\n" if char == "\n" else " " for char in text[one.start : one.end])
        pieces += [text[last : one.start], hidden]
        last = one.end
    return "".join([*pieces, text[last:]]).encode("utf-8")
