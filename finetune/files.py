"""Which files of a tree are worth learning from, and their text as the model may see it.

Source files of known languages that a person wrote: nothing binary, generated, minified or
vendored, and no secret. A file that holds a secret stays, with the secret replaced as inference
replaces it; `answerable` keeps the replacement out of answers. Each file left out has a reason,
and reasons are counted.
"""

import codecs
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from completion import sourcefile
from completion.languages import ROWS
from tandem import secrets

# Of these we do not know the statements yet: only the rest of a line can be taught (see `holes`).
_LINES_ONLY = {
    "javascript": (".js", ".jsx", ".mjs", ".cjs"),
    "typescript": (".ts", ".tsx", ".mts", ".cts"),
    "go": (".go",),
    "rust": (".rs",),
    "java": (".java",),
    "c": (".c", ".h"),
}
LANGUAGE_OF = {
    ending: name
    for name, endings in (
        {row.name: row.endings for row in ROWS.values() if row.has_statements} | _LINES_ONLY
    ).items()
    for ending in endings
}

SMALLEST = 200  # characters: with less there is nothing around a hole
LARGEST = 150_000  # bytes: longer ones are tables and bundles
DIGITS = 0.15  # of all characters: a table of numbers

_VENDORED = {
    *("_vendor", "_vendored", "vendor", "vendored", "vendors", "third_party", "third-party"),
    *("thirdparty", "3rdparty", "node_modules", "bower_components", "site-packages"),
    *("dist-packages", ".venv", "venv", ".tox", ".nox", ".eggs", "__pycache__", ".git", ".hg"),
}
_DECLARATIONS = re.compile(r"\.d\.[a-z]+\Z")  # of types, mostly made by a compiler
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)
_TEXT_CODECS = re.compile(
    r"(?:utf-8|ascii|iso8859-\d+|cp125\d|cp866|koi8-[ru]|shift_jis|euc_(?:jp|kr)|gbk|gb2312|gb18030|big5)\Z"
)


@dataclass(frozen=True)
class SourceFile:
    """`text` has "\\n" line ends and no secret; `sha256` is that of the file's own bytes."""

    path: str
    language: str
    text: str
    sha256: str
    secrets: int = 0


@dataclass(frozen=True)
class Entry:
    """A file not read yet; `path` is relative to its root, with forward slashes."""

    path: str
    size: int
    read: Callable[[], bytes]


def in_folder(root: Path, skips: Counter[str]) -> Iterator[Entry]:
    """The files below a folder in order of their paths; no link is followed, no file opened.

    Raises OSError if `root` cannot be read; folders inside that cannot are counted.
    """
    os.scandir(root).close()
    for folder, names, files in os.walk(root, onerror=lambda _: skips.update(["unreadable"])):
        names.sort()
        here = Path(folder)
        for name in list(names):
            reason = _folder_reason(here / name)
            if reason:
                skips[reason] += 1
                names.remove(name)
        for name in sorted(files):
            file = here / name
            if file.is_symlink():
                skips["link"] += 1
            elif not file.is_file():  # a pipe would block its reader for ever
                skips["no regular file"] += 1
            else:
                path = file.relative_to(root).as_posix()
                yield Entry(path, file.stat().st_size, file.read_bytes)


def _folder_reason(folder: Path) -> str:
    if folder.is_symlink():
        return "link"
    if folder.name in _VENDORED:
        return "vendored"
    return "vendored" if (folder / "pyvenv.cfg").exists() else ""


def sources(entries: Iterator[Entry], skips: Counter[str]) -> Iterator[SourceFile]:
    """Those of the files that count, one after the other; `skips` counts the others' reasons."""
    for entry in entries:
        reason = unwanted(entry)
        if not reason:
            try:
                found = parse(entry.path, entry.read())
            except (OSError, ValueError):  # gone meanwhile; not in this clone
                found = "unreadable"
            if isinstance(found, SourceFile):
                yield found
                continue
            reason = found
        skips[reason] += 1


def unwanted(entry: Entry) -> str:
    """Why a file's name or size alone leaves it out; "" if they do not."""
    path = PurePosixPath(entry.path)
    if secrets.is_secret_file(path):
        return "secret file"
    if path.suffix.lower() not in LANGUAGE_OF:
        return "no source"
    if not _VENDORED.isdisjoint(path.parts[:-1]):
        return "vendored"
    if sourcefile.is_generated_name(path.name) or _DECLARATIONS.search(path.name.lower()):
        return "generated"
    if entry.size > LARGEST:
        return "too large"
    return "too small" if entry.size < SMALLEST else ""


def parse(path: str, data: bytes) -> SourceFile | str:
    """A file that counts, from its bytes; else the reason why it does not."""
    language = LANGUAGE_OF[PurePosixPath(path).suffix.lower()]
    if b"\0" in data:
        return "binary"
    text = decoded(data, language)
    if text is None:
        return "not UTF-8"
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    reason = _form(text)
    if reason:
        return reason
    found = len(secrets.find(text))
    if found:
        text = secrets.redact(text)
        if secrets.redact(text) != text:  # what was taken out left another behind
            return "secret"
    return SourceFile(path, language, text, hashlib.sha256(data).hexdigest(), found)


def _form(text: str) -> str:
    if len(text) < SMALLEST or not text.strip():
        return "too small"
    if sourcefile.is_minified(text):
        return "minified"
    if sourcefile.is_generated(text):
        return "generated"
    return "data" if sum(map(text.count, "0123456789")) > DIGITS * len(text) else ""


def decoded(data: bytes, language: str) -> str | None:
    """By the coding line of PEP 263 where the language is Python, else UTF-8; None if it fails."""
    codec = "utf-8-sig"
    if language == "python" and not data.startswith(codecs.BOM_UTF8):
        match = _CODING.search(b"\n".join(data.split(b"\n", 2)[:2]))
        try:
            name = codecs.lookup(match[1].decode()).name if match else ""
        except LookupError:
            return None
        if name and not _TEXT_CODECS.match(name):
            return None
        codec = name or codec
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


def answerable(middle: str) -> bool:
    """Whether a hole's text may be taught: not where a secret stood."""
    return secrets.REDACTED not in middle
