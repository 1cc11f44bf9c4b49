"""Unsaved buffers: an index in memory that stands before the disk's."""

from completion.index import scan, schema
from completion.index.digest import Digest, describe, normal
from completion.index.scan import Found
from completion.index.tables import File, Tables
from completion.index.words import hash_of
from completion.index.writer import Writer

_FIRST_ID = 1 << 40  # no file on disk ever gets it


def is_own(row_id: int) -> bool:
    """Whether a row is of this database, not of the disk's."""
    return row_id >= _FIRST_ID << schema.FILE_SHIFT


class Overlay:
    """Of one workspace. The caller holds a lock."""

    def __init__(self) -> None:
        self.changes = 0
        self._texts: dict[str, bytes] = {}
        self._stale: set[str] = set()
        self.tables = Tables(schema.open_in_memory())
        self._writer = Writer(self.tables.db)
        self.tables.db.execute(
            "INSERT INTO sqlite_sequence(name, seq) VALUES('files', ?)", (_FIRST_ID,)
        )

    def close(self) -> None:
        self.tables.db.close()

    def has(self, path: str) -> bool:
        return path in self._texts

    def set(self, path: str, text: str | None) -> None:
        """Cheap: the text is digested when a lookup needs it."""
        if text is None:
            if self._texts.pop(path, None) is not None:
                self.changes += 1
                self._stale.discard(path)
                with self._writer.transaction():
                    self._writer.remove(path)
        elif path.isprintable() and not scan.name_reason(path.rpartition("/")[2]):
            data = text.encode("utf-8", "replace")
            if self._texts.get(path) != data:
                self.changes += 1
                self._texts[path] = data
                self._stale.add(path)

    def fresh(self, exclude: str = "") -> Tables:
        """With all buffers as they are now, but for `exclude`."""
        for path in sorted(self._stale - {exclude}):
            self._digest(path)
        return self.tables

    def file(self, path: str) -> File | None:
        """None if it is not open."""
        if path in self._stale:
            self._digest(path)
        return self.tables.file(path) if path in self._texts else None

    def data(self, path: str) -> bytes | None:
        """Its text, with "\\n" line ends."""
        return normal(self._texts[path]) if path in self._texts else None

    def _digest(self, path: str) -> None:
        self._stale.discard(path)
        data = normal(self._texts[path])
        language = scan.language(path.rpartition("/")[2]) or ""
        found = Digest(path, language, size=len(data), hash=hash_of(data))
        if len(data) <= scan.LARGEST:
            describe(found, data)
        with self._writer.transaction():
            self._writer.add([Found(path, language, 0, 0)])
            self._writer.put(found)
