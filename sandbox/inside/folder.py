"""The repository as it was: puts a candidate's files in, and afterwards everything back.

Nothing is left to time stamps alone: .pyc files are never written, and those found are removed.
"""

import os
import shutil
import stat

MOST_BYTES = 128 << 20  # contents that are remembered, in all
SKIPPED = {".git"}


class Folder:
    """Knows every file's content and place. `root` is absolute."""

    def __init__(self, root: str, most_bytes: int = MOST_BYTES) -> None:
        self.root = root
        self.known: dict[str, tuple] = {}  # path → kind, mode, size, mtime
        self.contents: dict[str, bytes | str] = {}  # a file's bytes or a link's target
        self._drop_bytecode()
        left = most_bytes
        for path, state in self._walk():
            self.known[path] = state
            full = os.path.join(root, path)
            if state[0] == "link":
                self.contents[path] = os.readlink(full)
            elif state[0] == "file" and state[2] <= left:
                with open(full, "rb") as file:
                    self.contents[path] = file.read()
                left -= state[2]

    def write(self, files: dict[str, str | None]) -> None:
        """Change these files (None: remove). ValueError for a path that leaves the folder."""
        for path, text in files.items():
            full = self._inside(path)
            if text is None:
                os.unlink(full)
                continue
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))

    def restore(self) -> list[str]:
        """Put everything back as it was; the paths that could not be."""
        lost: list[str] = []
        now = dict(self._walk())
        for path in sorted(now.keys() - self.known.keys(), reverse=True):
            self._remove(path)
        # Folders before what is in them, so sorted.
        for path in sorted(path for path, state in self.known.items() if now.get(path) != state):
            try:
                self._put_back(path, self.known[path])
            except (OSError, KeyError):
                lost.append(path)
        return lost

    def _put_back(self, path: str, state: tuple) -> None:
        kind, mode, _, changed = state
        full = os.path.join(self.root, path)
        if os.path.lexists(full) and _state(os.lstat(full))[0] != kind:
            self._remove(path)
        if kind == "folder":
            os.makedirs(full, exist_ok=True)
            os.chmod(full, mode)
        elif kind == "link":
            if os.path.lexists(full):
                os.unlink(full)
            os.symlink(str(self.contents[path]), full)
        else:
            content = self.contents[path]
            assert isinstance(content, bytes)
            if os.path.exists(full):
                os.chmod(full, mode | stat.S_IWUSR)
            with open(full, "wb") as file:
                file.write(content)
            os.chmod(full, mode)
            os.utime(full, ns=(changed, changed))

    def _remove(self, path: str) -> None:
        full = os.path.join(self.root, path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full, ignore_errors=True)
        elif os.path.lexists(full):
            os.unlink(full)

    def _inside(self, path: str) -> str:
        full = os.path.normpath(os.path.join(self.root, path))
        folder = os.path.realpath(os.path.dirname(full))
        if os.path.isabs(path) or not (folder + "/").startswith(os.path.realpath(self.root) + "/"):
            raise ValueError(f"{path} is outside of the repository")
        if os.path.islink(full):
            raise ValueError(f"{path} is a symbolic link")
        return full

    def _walk(self):
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                entries = list(os.scandir(os.path.join(self.root, folder)))
            except OSError:  # taken away by a test, or not readable
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if path in SKIPPED:
                    continue
                state = _state(entry.stat(follow_symlinks=False))
                yield path, state
                if state[0] == "folder":
                    waiting.append(path)

    def _drop_bytecode(self) -> None:
        for folder, _, _ in os.walk(self.root):
            if os.path.basename(folder) == "__pycache__":
                shutil.rmtree(folder, ignore_errors=True)


def _state(entry: os.stat_result) -> tuple:
    mode = stat.S_IMODE(entry.st_mode)
    if stat.S_ISDIR(entry.st_mode):
        return "folder", mode, 0, 0  # a folder's time changes with what is in it
    if stat.S_ISREG(entry.st_mode):
        return "file", mode, entry.st_size, entry.st_mtime_ns
    if stat.S_ISLNK(entry.st_mode):
        return "link", 0, entry.st_size, 0
    return "other", mode, 0, 0
