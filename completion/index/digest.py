"""What the index keeps of one file: read, checked, outlined, cut into chunks.

Runs in worker processes: results are plain tuples, in the order of the columns they go to.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from completion import sourcefile
from completion.index import rows, words
from completion.index.scan import LARGEST
from completion.outline import Outline, outline
from tandem import secrets

PARSE_S = 5.0  # longer than any file of 1 MB takes that a grammar can read
# Here only what no reader could use is left out: so many bytes a line on average, or without one
# line end in a block.
DENSEST, BLOCK = 200, 5000
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

    For symbols and imports see `rows`, for chunks `words.Chunks`.
    """

    path: str
    language: str
    size: int = 0
    mtime: int = 0
    lines: int = 0
    hash: int = 0
    skipped: str = ""
    same: bool = False
    symbols: list[rows.SymbolRow] = field(default_factory=list)
    imports: list[rows.ImportRow] = field(default_factory=list)
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
    fit = _fit(data)
    if isinstance(fit, str):
        found.skipped = fit
    else:
        describe(found, fit)
    return found


def describe(found: Digest, data: bytes) -> None:
    """Fill in what a text defines, imports and says; it is UTF-8, its lines end with "\n"."""
    outlined, chunks = _outlined(found.language, data)
    text = data.decode("utf-8")
    hidden = secrets.find(text) if chunks.telling or secrets.may_hold(text) else []
    if hidden:
        outlined, chunks = _outlined(found.language, data, _masked(text, hidden))
    found.symbols = [rows.of_symbol(symbol) for symbol in outlined.symbols]
    found.imports = [rows.of_import(one) for one in outlined.imports]
    found.chunks = chunks.rows
    found.lines = data.count(b"\n") + (not data.endswith(b"\n"))


def _outlined(
    language: str, data: bytes, public: bytes | None = None
) -> tuple[Outline, words.Chunks]:
    outlined = outline(data if public is None else public, language, PARSE_S)
    starts = (s.first for s in outlined.symbols if not s.local and s.last > s.first)
    return outlined, words.chunks(data, starts, public)


def words_again(file: Path, chunks: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, str]]:
    """(id, words) of those of a file's chunks (id, first, last, hash) whose text still stands."""
    try:
        data = normal(file.read_bytes())
    except OSError:  # gone
        return
    starts = words.line_starts(data)
    text = data.decode("utf-8", "replace")
    public = _masked(text, secrets.find(text))
    for chunk_id, first, last, known in chunks:
        if last + 1 < len(starts):
            begin, end = starts[first], starts[last + 1]
            if words.hash_of(data[begin:end]) == known:
                yield chunk_id, words.words_of(public[begin:end])


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


def _fit(data: bytes) -> bytes | str:
    """A file's text, if it is one to index, else why not."""
    if len(data) > LARGEST:
        return "too large"
    if b"\0" in data:
        return "binary"
    data = normal(data)
    try:
        head = data.decode("utf-8")[: sourcefile.HEAD]
    except UnicodeDecodeError:
        return "not UTF-8"
    if sourcefile.is_generated(head):
        return "generated"
    return "minified" if _is_minified(data) else data


def _is_minified(data: bytes) -> bool:
    if len(data) > DENSEST * (data.count(b"\n") + 1):
        return True
    blocks = range(0, len(data) - BLOCK, BLOCK)
    return any(data.find(b"\n", at, at + BLOCK) < 0 for at in blocks)


def _masked(text: str, hidden: list[secrets.Secret]) -> bytes:
    """In UTF-8, with spaces where a secret stands: all else stays where it was."""
    pieces, last = [], 0
    for one in hidden:
        secret = text[one.start : one.end].split("\n")
        spaces = "\n".join(" " * len(line.encode("utf-8")) for line in secret)
        pieces += [text[last : one.start], spaces]
        last = one.end
    return "".join([*pieces, text[last:]]).encode("utf-8", "replace")
