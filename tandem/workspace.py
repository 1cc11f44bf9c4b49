"""Which folder a file belongs to when no editor says so."""

from pathlib import Path

from tandem.config import REPO_FILE

_MARKS = (".git", ".hg", REPO_FILE)


def root_of(file: Path) -> Path | None:
    """The nearest folder above that is a repository or has Tandem settings."""
    for folder in file.parents:
        if any((folder / mark).exists() for mark in _MARKS):
            return folder
    return None
