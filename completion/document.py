"""A document as the completion layer sees it: text, language, where it lives."""

from dataclasses import dataclass
from pathlib import Path

from completion.languages import PLAINTEXT, ROWS
from tandem.errors import UsageError


@dataclass(frozen=True)
class Document:
    """A text at one moment. `path` may not exist on disk: the document may be unsaved."""

    path: Path
    language: str
    text: str
    version: int = 0


def language_of(path: Path) -> str:
    """The language id by file ending; `plaintext` when we know nothing about it."""
    ending = path.suffix.lower()
    return next((row.name for row in ROWS.values() if ending in row.endings), PLAINTEXT.name)


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
