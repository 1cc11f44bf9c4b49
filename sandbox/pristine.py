"""The repository as it belongs in a container, and putting it back after a command.

It is part of the runner, so it needs nothing but the standard library.
"""

import io
import os
import stat
import tarfile
from typing import NamedTuple

from sandbox.frames import write_all

GENERATED = "/opt/venv/generated.tar"


class Entry(NamedTuple):
    """What belongs at a path of the repository: a folder, a file, or a link to `data`."""

    kind: int  # S_IFDIR, S_IFREG, S_IFLNK
    mode: int
    mtime_ns: int
    data: bytes


def entries(tar: bytes) -> dict[str, Entry]:
    """The repository's files by relative path, parents first. Raises ValueError for a bad tar."""
    found: dict[str, Entry] = {}
    kinds = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.REGTYPE: stat.S_IFREG}
    kinds |= {tarfile.AREGTYPE: stat.S_IFREG, tarfile.SYMTYPE: stat.S_IFLNK}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            path = member.name.removeprefix("./").rstrip("/")
            if path in ("", "."):
                continue
            if member.type not in kinds or path.startswith("/") or ".." in path.split("/"):
                raise ValueError(f"{member.name!r} cannot be in a repository")
            stream = archive.extractfile(member) if member.isreg() else None
            data = stream.read() if stream else os.fsencode(member.linkname)
            parts = path.split("/")
            for parent in ("/".join(parts[:n]) for n in range(1, len(parts))):
                found.setdefault(parent, Entry(stat.S_IFDIR, 0o755, 0, b""))
            mtime = int(member.mtime) * 10**9
            found[path] = Entry(kinds[member.type], member.mode & 0o777, mtime, data)
    return found


def generated() -> dict[str, Entry]:
    """What building the repository wrote into it when its image was made."""
    try:
        with open(GENERATED, "rb") as file:
            return entries(file.read())
    except FileNotFoundError:
        return {}


def remove(path: str) -> None:
    """Delete a file, link or whole folder, whatever its mode."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    for name in os.listdir(path):
        remove(os.path.join(path, name))
    os.rmdir(path)


def make(path: str, entry: Entry) -> None:
    """Put an entry where nothing is."""
    if entry.kind == stat.S_IFDIR:
        os.mkdir(path)
    elif entry.kind == stat.S_IFLNK:
        os.symlink(entry.data, path)
        return
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        write_all(descriptor, entry.data)
        os.close(descriptor)
    os.chmod(path, entry.mode)
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))


def is_pristine(path: str, entry: Entry) -> bool:
    """Whether exactly this is at `path`.

    Files are compared byte by byte: what is written into a mapping of a file on a tmpfs need not
    change any of its times.
    """
    found = os.lstat(path)
    if stat.S_IFMT(found.st_mode) != entry.kind:
        return False
    if entry.kind == stat.S_IFLNK:
        return os.fsencode(os.readlink(path)) == entry.data
    if stat.S_IMODE(found.st_mode) != entry.mode or os.listxattr(path):
        return False
    if entry.kind == stat.S_IFREG:
        if found.st_nlink != 1 or found.st_size != len(entry.data):
            return False
        descriptor = os.open(path, os.O_RDONLY)
        same = os.read(descriptor, found.st_size + 1) == entry.data
        os.close(descriptor)
        if not same:
            return False
    if found.st_mtime_ns != entry.mtime_ns and entry.kind == stat.S_IFREG:
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    return True


def restore(root: str, tree: dict[str, Entry], depth: int = 10**6) -> None:
    """Make the folder `root` hold `tree` and nothing else, down to a depth."""
    kept, folders = set(), [""]
    while folders:
        folder = folders.pop()
        for name in os.listdir(os.path.join(root, folder)):
            path = f"{folder}/{name}" if folder else name
            entry = tree.get(path)
            if entry is None or not is_pristine(os.path.join(root, path), entry):
                remove(os.path.join(root, path))
                continue
            kept.add(path)
            if entry.kind == stat.S_IFDIR and path.count("/") + 1 < depth:
                folders.append(path)
    for path, entry in tree.items():
        if path not in kept:
            make(os.path.join(root, path), entry)
