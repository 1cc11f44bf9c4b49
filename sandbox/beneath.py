"""Files beneath a folder, reached without following any link.

A repository may be hostile: what was a folder a moment ago may be a link to the user's home by
now. So each folder on the way is opened by itself, from the one above it, and a link is an error.
Paths are relative, with slashes; bytes that are not UTF-8 stand in them as surrogates.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without NONBLOCK a pipe that nobody writes to would be waited for.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def parts(path: str) -> list[str]:
    """The names that a path is of. Raises ValueError if it may lead elsewhere."""
    names = path.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise ValueError(f"{path!r} is no plain relative path")
    return names


@contextlib.contextmanager
def parent(root: Path, path: str, make: bool = False) -> Iterator[tuple[int, str]]:
    """A descriptor of the folder that a file is in, and the file's name in it.

    `make`: folders that are missing are made. Raises OSError if there is a link, or no folder, on
    the way, and ValueError for a path that is not plain.
    """
    *above, name = parts(path)
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in above:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o777, dir_fd=here)
            inner = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        yield here, name
    finally:
        os.close(here)


def status(root: Path, path: str) -> os.stat_result:
    """What is there, a link itself and not what it leads to."""
    with parent(root, path) as (folder, name):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)


def link(root: Path, path: str) -> str:
    """Where a link leads, as it is written."""
    with parent(root, path) as (folder, name):
        return os.readlink(name, dir_fd=folder)


def read(root: Path, path: str, most: int) -> tuple[bytes, int]:
    """A plain file's bytes and its permissions.

    Raises OSError if it is no plain file or cannot be read, and ValueError if it has more than
    `most` bytes.
    """
    with parent(root, path) as (folder, name):
        descriptor = os.open(name, _FILE, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no plain file")
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{path} has more than {most:,} bytes")
    return data, stat.S_IMODE(found.st_mode)


def put_beside(root: Path, path: str, data: bytes, permissions: int) -> str:
    """Write what is to stand at `path` to a new file in the same folder; its name there."""
    with parent(root, path, make=True) as (folder, _):
        # A name's 255 bytes may be used up already.
        beside = f".tandem-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(beside, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fchmod(descriptor, permissions)
                os.fsync(descriptor)
        except BaseException:
            os.unlink(beside, dir_fd=folder)
            raise
    return beside


def move_over(root: Path, path: str, beside: str) -> None:
    """Let a file that `put_beside` wrote take its place, at once and whole."""
    with parent(root, path) as (folder, name):
        os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def remove(root: Path, path: str) -> None:
    with parent(root, path) as (folder, name):
        os.unlink(name, dir_fd=folder)
        os.fsync(folder)
