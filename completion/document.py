"""A document as the completion layer sees it: text, language, where it lives."""

from dataclasses import dataclass
from pathlib import Path

LANGUAGES = {
    ".py": "python",
    ".pyi": "python",
}


@dataclass(frozen=True)
class Document:
    """A text at one moment. `path` may not exist on disk: the document may be unsaved."""

    path: Path
    language: str
    text: str
    version: int = 0


def language_of(path: Path) -> str:
    """The language id by file ending; `plaintext` when we know nothing about it."""
    return LANGUAGES.get(path.suffix.lower(), "plaintext")
