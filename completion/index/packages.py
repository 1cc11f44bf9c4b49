"""The signatures of installed packages, read when they are first asked for."""

from pathlib import Path

from completion.index import environment, schema
from completion.index.digest import Digest, describe, normal
from completion.index.scan import LARGEST
from completion.index.tables import File, Tables
from completion.index.writer import Writer


class Packages:
    """Of one workspace's environment, in a database of their own in memory; ids are below 0.

    The caller holds a lock.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: tuple[Path, ...] | None = None
        self._files: dict[str, tuple[File, int] | None] = {}  # by module, with the file's mtime
        self._paths: dict[int, Path] = {}
        self.tables = Tables(schema.open_in_memory())
        self._writer = Writer(self.tables.db)

    def close(self) -> None:
        self.tables.db.close()

    def file(self, module: str) -> File | None:
        """None if it is not installed, or no source that can be read."""
        if self._folders is None:
            self._folders = environment.search_path(self._root)
        place = environment.module_file(module, self._folders)
        if place is None:
            return None
        path, name = place
        try:
            mtime = path.stat().st_mtime_ns
            known = self._files.get(module)
            if known is None or known[1] != mtime:
                self._files[module] = known = (self._read(path, name), mtime)
        except OSError:  # uninstalled this moment
            return None
        return known[0]

    def data(self, file: File) -> bytes | None:
        """Its text, with "\\n" line ends."""
        try:
            return normal(self._paths[file.id].read_bytes())
        except (KeyError, OSError):  # uninstalled since
            return None

    def _read(self, path: Path, name: str) -> File:
        data = normal(path.read_bytes())
        found = Digest(name, "python", size=len(data))
        if len(data) <= LARGEST:
            describe(found, data)
        folder, _, last = name.rpartition("/")
        db = self.tables.db
        with self._writer.transaction():
            self._writer.remove(name)
            file_id = -1 - len(self._paths)
            self._paths[file_id] = path
            db.execute("INSERT OR IGNORE INTO folders(path) VALUES(?)", (folder,))
            db.execute(
                "INSERT INTO files SELECT ?, id, ?, 'python', 0, 0, 0, 0, '', 0"
                " FROM folders WHERE path = ?",
                (file_id, last, folder),
            )
            self._writer.put(found)
        file = self.tables.file(name)
        assert file is not None
        return file
