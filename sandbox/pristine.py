"""The repository as it belongs in a container, and putting it back after a command.

It is part of the runner, so it needs nothing but the standard library.
"""

import ctypes
import io
import os
import stat
import struct
import tarfile
from typing import NamedTuple

from sandbox.frames import write_all

GENERATED = "/opt/venv/generated.tar"
IN_OPEN, IN_Q_OVERFLOW = 0x20, 0x4000
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name


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
            mode = member.mode & 0o777 | (0o700 if member.isdir() else 0o400)
            found[path] = Entry(kinds[member.type], mode, mtime, data)
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


class Pristine:
    """A folder that is made again what it should be, as often as asked.

    A file is compared byte by byte if it was opened since, and if lstat says anything new of it:
    what is written into a mapping of a file on a tmpfs need not change any of its times, but to
    map a file, one must open it, and by another name one must link or move it, which lstat shows.
    """

    def __init__(self, root: str, tree: dict[str, Entry]) -> None:
        self.root, self.tree = root, tree
        self.seen: dict[str, tuple[int, ...]] = {}
        # Written just now: a change within the clock's same tick would not show.
        self.fresh: set[str] = set()
        self.watch = Watch()

    def restore(self) -> None:
        """Raises OSError or RecursionError for what a command made that cannot be removed."""
        opened = self.watch.opened()
        kept, folders = set(), [""]
        while folders:
            folder = folders.pop()
            with os.scandir(os.path.join(self.root, folder)) as entries:
                items = list(entries)
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                if not self._is_right(path, item.stat(follow_symlinks=False), opened):
                    remove(item.path)
                    continue
                kept.add(path)
                if item.is_dir(follow_symlinks=False):
                    folders.append(path)
        self.fresh = self.tree.keys() - kept
        for path, entry in self.tree.items():  # parents come first
            if path in self.fresh:
                place = os.path.join(self.root, path)
                make(place, entry)
                self.seen[path] = seen(os.lstat(place))
                if entry.kind == stat.S_IFDIR:
                    self.watch.add(place, path)
        self.watch.opened()  # by us

    def _is_right(self, path: str, found: os.stat_result, opened: set[str] | None) -> bool:
        """Whether exactly what belongs at a path is there."""
        entry = self.tree.get(path)
        place = os.path.join(self.root, path)
        if entry is None or stat.S_IFMT(found.st_mode) != entry.kind:
            return False
        if entry.kind == stat.S_IFDIR:  # another folder would not be watched
            return seen(found) == self.seen[path] and not os.listxattr(place)
        changed = seen(found) != self.seen[path] or path in self.fresh
        if not changed and opened is not None and path not in opened:
            return True
        if entry.kind == stat.S_IFLNK:
            return os.fsencode(os.readlink(place)) == entry.data
        if stat.S_IMODE(found.st_mode) != entry.mode or os.listxattr(place):
            return False
        if found.st_nlink != 1 or found.st_size != len(entry.data):
            return False
        descriptor = os.open(place, os.O_RDONLY)
        same = os.read(descriptor, found.st_size + 1) == entry.data
        os.close(descriptor)
        if same and found.st_mtime_ns != entry.mtime_ns:
            os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))
            found = os.lstat(place)
        self.seen[path] = seen(found)
        return same


def seen(found: os.stat_result) -> tuple[int, ...]:
    """What tells a file, or a folder with any files in it, from another or a changed one."""
    if stat.S_ISDIR(found.st_mode):
        return found.st_ino, found.st_mode
    return found.st_ino, found.st_mode, found.st_nlink, found.st_size, found.st_ctime_ns


class Watch:
    """Which files of some folders were opened (inotify)."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None)
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.folders: dict[int, str] = {}
        self.blind = self.descriptor < 0

    def add(self, place: str, path: str) -> None:
        """Watch the folder `place`, whose files are told as below `path`."""
        if not self.blind:
            number = self.libc.inotify_add_watch(self.descriptor, os.fsencode(place), IN_OPEN)
            self.blind = number < 0  # the kernel's limit
            self.folders[number] = path

    def opened(self) -> set[str] | None:
        """Paths since the last time; None if it is not known."""
        found, lost = set(), self.blind
        while not self.blind:
            try:
                events = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                break
            while events:
                number, mask, _, length = EVENT.unpack_from(events)
                name = events[EVENT.size : EVENT.size + length].rstrip(b"\0")
                events = events[EVENT.size + length :]
                lost = lost or bool(mask & IN_Q_OVERFLOW)
                found.add(f"{self.folders.get(number, '')}/{os.fsdecode(name)}")
        return None if lost else found
