"""A document as the completion layer sees it: text, language, where it lives."""

import re
from dataclasses import dataclass
from pathlib import Path

from completion.languages import PLAINTEXT, ROWS
from tandem import secrets
from tandem.errors import UsageError
from tandem.workspace import root_of

# Characters of a path in a prompt: more would take the place of code.
LONGEST_NAME = 160
_BY_ENDING = {ending: row.name for row in ROWS.values() for ending in row.endings}
_BY_NAME = {name: row.name for row in ROWS.values() for name in row.files}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True)
class Document:
    """A text at one moment. `path` may not exist on disk: the document may be unsaved.

    `root` is the folder that the editor has opened, if the document lies in one.
    """

    path: Path
    language: str
    text: str
    version: int = 0
    root: Path | None = None


def name_in_repository(document: Document) -> str:
    """How a prompt names a document: by its path in the repository, so nothing above is told.

    Outside a repository by its path in the editor's folder, else by the file's name.
    """
    path = document.path
    root = root_of(path) if path.is_absolute() else None
    root = root or document.root
    inside = root is not None and path.is_relative_to(root)
    name = (path.relative_to(root) if root and inside else Path(path.name)).as_posix()
    # A file's name may hold any byte; what is no text is no use to a model.
    name = _CONTROLS.sub("?", name.encode("utf-8", "replace").decode())
    if len(name) > LONGEST_NAME:
        name = name[-LONGEST_NAME:].partition("/")[2] or name[-LONGEST_NAME:]
    return "" if secrets.find(name) else name


def language_of(path: Path) -> str:
    """The language id by file name or ending; `plaintext` when we know nothing about it."""
    return _BY_NAME.get(path.name) or _BY_ENDING.get(path.suffix.lower(), PLAINTEXT.name)


def read_text(path: Path) -> tuple[str, str]:
    """A file's text with "\\n" line ends, and the line end it had.

    Raises UsageError for a file that is missing, unreadable, binary or not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.", "Name a text file.") from error
    if b"\0" in data[:8192]:
        raise UsageError(f"{path} is a binary file.", "Name a text file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8: byte {error.start} cannot be read.", "Convert it to UTF-8."
        ) from error
    newline = "\r\n" if "\r\n" in text else "\r" if "\r" in text and "\n" not in text else "\n"
    return text.replace("\r\n", "\n").replace("\r", "\n"), newline
