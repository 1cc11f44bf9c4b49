"""What files say during one ask, and which of them may be changed at all."""

import os
from collections.abc import Callable
from pathlib import Path

from completion.document import Document, language_of, read_text
from completion.next_edit.text import Source
from tandem import secrets
from tandem.errors import UsageError

TextOf = Callable[[Path], Document | None]


class Texts:
    """What files say during one ask."""

    def __init__(self, document: Document, text_of: TextOf) -> None:
        self._known: dict[Path, Source | None] = {}
        self._text_of = text_of
        self._known[document.path] = (
            Source(document.text, document.language) if may_be_changed(document.path) else None
        )

    def of(self, path: Path) -> Source | None:
        """None of a file that is not to be touched."""
        if path not in self._known:
            self._known[path] = self._read(path) if may_be_changed(path) else None
        return self._known[path]

    def _read(self, path: Path) -> Source | None:
        document = self._text_of(path)
        if document is not None:
            return Source(document.text, document.language)
        if not os.access(path, os.W_OK):
            return None
        try:
            return Source(read_text(path)[0], language_of(path))
        except UsageError:
            return None


def may_be_changed(path: Path) -> bool:
    """Not a secret, and not a file on disk that is read-only."""
    if secrets.is_secret_file(path):
        return False
    return not path.is_absolute() or not path.exists() or os.access(path, os.W_OK)
