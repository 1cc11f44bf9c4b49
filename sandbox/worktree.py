"""A private copy of a repository without later history: what a sandbox may see of it.

The copy has the files that git tracks and those that it neither tracks nor ignores, as they stand
in the work tree, or else a commit's tree. Of the repository's own git folder it has nothing: no
refs, reflog, packs, remotes, hooks, alternates or settings. Instead it is a repository of one
commit, so that a test suite that asks git for something finds an answer, but no later fix.

The repository may be hostile: nothing of it runs, and no link is followed (see `git`, `beneath`).
"""

import contextlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from completion.index import ignore
from completion.index.scan import FILLED
from sandbox import beneath, git
from tandem import secrets
from tandem.errors import TandemError, UsageError

AT_ONCE = 500  # files that are read from git's objects with one command
DEEPEST = 8  # repositories inside of repositories
POINTER = b"version https://git-lfs.github.com/spec/"
LINK, SUBMODULE = "120000", "160000"
# Of every file in the container: equal copies make equal archives.
TIME = 1_700_000_000


@dataclass(frozen=True)
class Limits:
    """How large a copy may be; it lives in the container's memory."""

    files: int = 50_000
    bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True)
class Snapshot:
    """A copy in the private folder `root`, and what it was made from.

    `base` is the repository's commit ("" without one), `commit` the copy's own. `files` are paths
    relative to the root, sorted, links among them. `left_out` has what did not come along with
    the reason, `pointers` the files whose content git-lfs has elsewhere.
    """

    root: Path
    base: str
    commit: str
    files: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    pointers: tuple[str, ...] = ()

    def text(self, path: str) -> str:
        """A file's text, line ends as they are. Raises ValueError if it is none in UTF-8."""
        data, _ = beneath.read(self.root, path, Limits().bytes)
        return data.decode("utf-8")


@dataclass(frozen=True)
class Item:
    """A file to copy: its bytes, or where it leads if it is a link."""

    path: str
    data: bytes
    is_link: bool = False
    is_program: bool = False


def snapshot(
    repository: Path, into: Path, commit: str = "", limits: Limits | None = None
) -> Snapshot:
    """Copy a repository's files into a new folder: as they stand, or as `commit` has them.

    Raises UsageError if there is no such folder or commit, and TandemError if it is too large or
    cannot be read; then nothing is left of the copy.
    """
    limits = limits or Limits()
    if not repository.is_dir():
        raise UsageError(f"There is no folder {repository}.", "Name a repository's top folder.")
    repository = repository.resolve()
    known = git.is_here() and git.belongs(repository)
    base = git.commit_of(repository, commit or "HEAD") if known else ""
    if commit and not base:
        raise UsageError(f"{repository} has no commit {commit}.", "See: git log")
    with _told(into):
        into.mkdir(mode=0o700, parents=True)
    left_out: dict[str, str] = {}
    try:
        with _told(repository):
            items = (
                _stored(repository, base, limits, left_out)
                if commit
                else standing(
                    repository,
                    _all_listed(repository, "", left_out)
                    if known
                    else _walked(repository, left_out),
                    limits,
                    left_out,
                )
            )
            files, pointers = _write(items, into, limits, left_out)
            own = git.fresh(into) if git.is_here() else ""
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return Snapshot(into, base, own, files, tuple(sorted(left_out.items())), pointers)


def tar_of(snapshot: Snapshot, user: int = 0) -> bytes:
    """The copy as an uncompressed archive, with its `.git`, all of it owned by `user`.

    Permissions are 755 for folders and programs and 644 for other files; nothing else is said.
    """
    buffer = io.BytesIO()
    # GNU's format takes names that are not UTF-8 as they are.
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as archive:
        for path, entry in _entries(snapshot.root):
            info = tarfile.TarInfo(path)
            info.uid = info.gid = user
            info.mtime = TIME
            if entry.is_symlink():
                info.type, info.linkname = tarfile.SYMTYPE, beneath.link(snapshot.root, path)
                info.mode = 0o777
                archive.addfile(info)
            elif entry.is_dir(follow_symlinks=False):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            else:
                data, permissions = beneath.read(snapshot.root, path, Limits().bytes)
                info.mode, info.size = 0o755 if permissions & 0o100 else 0o644, len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _entries(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All beneath a folder, each folder before what is in it, by name."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(root / inside) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            yield inside + entry.name, entry
        waiting += [
            f"{inside}{entry.name}/"
            for entry in reversed(entries)
            if entry.is_dir(follow_symlinks=False)
        ]


def standing(
    repository: Path, names: Iterable[str], limits: Limits, left_out: dict[str, str]
) -> Iterator[Item]:
    """These files of a work tree as they are now, and why others of them are not among them."""
    for path in sorted(set(names)):
        try:
            found = beneath.status(repository, path)
            if stat.S_ISLNK(found.st_mode):
                yield Item(path, os.fsencode(beneath.link(repository, path)), is_link=True)
            elif not stat.S_ISREG(found.st_mode):
                left_out[path] = "no plain file"
            elif secrets.is_secret_name(path.rsplit("/", 1)[-1]):
                left_out[path] = "secret file"
            else:
                data, permissions = beneath.read(repository, path, limits.bytes)
                yield Item(path, data, is_program=bool(permissions & 0o100))
        except FileNotFoundError:
            left_out[path] = "not in the work tree"
        except NotADirectoryError:  # what a link on the way is to who does not follow it
            left_out[path] = "behind a link"
        except PermissionError:
            left_out[path] = "unreadable"
        except ValueError as error:
            if "more than" in str(error):
                raise too_large(limits) from error
            left_out[path] = "no plain path"


def listed(repository: Path, inside: str, left_out: dict[str, str]) -> tuple[list[str], list[str]]:
    """What git tracks, and what it neither tracks nor ignores, in a repository or one inside of it:
    paths of files, and of the repositories that are in there in turn."""
    folder = repository / inside
    names: list[str] = []
    inner: set[str] = set()
    for row in git.run(folder, "ls-files", "-z", "--stage").split(b"\0")[:-1]:
        facts, name = row.split(b"\t", 1)
        path = inside + os.fsdecode(name)
        if facts.startswith(SUBMODULE.encode()):
            inner.add(path)
        else:
            names.append(path)
    others = git.run(folder, "ls-files", "-z", "--others", "--exclude-standard")
    for name in map(os.fsdecode, others.split(b"\0")[:-1]):
        filled = next((part for part in name.split("/") if part in FILLED), None)
        if filled:
            left_out[f"{inside}{name.split(filled)[0]}{filled}"] = "filled by a tool"
        elif name.endswith("/"):  # another repository
            inner.add(inside + name.rstrip("/"))
        else:
            names.append(inside + name)
    return names, sorted(inner)


def _all_listed(
    repository: Path, inside: str, left_out: dict[str, str], depth: int = 0
) -> list[str]:
    """The same with submodules and other repositories inside, as far as they are there."""
    names, inner = listed(repository, inside, left_out)
    for path in inner:
        try:
            own = stat.S_ISDIR(beneath.status(repository, path).st_mode)
            own = own and git.belongs(repository / path)
        except (OSError, ValueError):
            own = False
        except UsageError:
            left_out[path] = "repository whose git folder is another's"
            continue
        if not own:
            left_out[path] = "submodule that is not checked out"
        elif depth == DEEPEST:
            left_out[path] = "submodule too deep"
        else:
            names += _all_listed(repository, f"{path}/", left_out, depth + 1)
    return names


def _walked(root: Path, left_out: dict[str, str]) -> Iterator[str]:
    """The files of a folder that git knows nothing of, by what `.gitignore` files say."""
    folders: list[tuple[str, tuple[ignore.Rules, ...]]] = [("", ignore.above(root))]
    while folders:
        inside, rules = folders.pop()
        own = ignore.rules(root / inside, len(inside))
        rules = (*rules, own) if own else rules
        try:
            entries = list(os.scandir(root / inside))
        except OSError:
            left_out[inside] = "unreadable"
            continue
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            path = inside + entry.name
            if entry.name in FILLED:
                left_out[path] = "filled by a tool"
            elif ignore.is_out(f"{path}/" if is_folder else path, rules):
                continue
            elif is_folder:
                folders.append((f"{path}/", rules))
            else:
                yield path


def _stored(
    repository: Path, commit: str, limits: Limits, left_out: dict[str, str]
) -> Iterator[Item]:
    """The files of a commit's tree, from git's objects."""
    rows = git.run(repository, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
    wanted: list[tuple[str, str, str]] = []
    total = 0
    for row in rows.split(b"\0")[:-1]:
        facts, name = row.split(b"\t", 1)
        path = os.fsdecode(name)
        mode, _, blob, size = facts.decode().split()
        if mode == SUBMODULE:
            left_out[path] = "submodule of a commit"
        elif secrets.is_secret_name(path.rsplit("/", 1)[-1]) and mode != LINK:
            left_out[path] = "secret file"
        elif not size.isdigit():
            left_out[path] = "not in this clone"
        else:
            total += int(size)
            wanted.append((path, mode, blob))
    if total > limits.bytes or len(wanted) > limits.files:
        raise too_large(limits)
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        asked = "".join(f"{blob}\n" for _, _, blob in some).encode()
        answer = io.BytesIO(git.run(repository, "cat-file", "--batch", given=asked))
        for path, mode, _ in some:
            data = answer.read(int(answer.readline().split()[2]))
            answer.read(1)
            yield Item(path, data, is_link=mode == LINK, is_program=mode == "100755")


def _write(
    items: Iterator[Item], into: Path, limits: Limits, left_out: dict[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the copy; its paths, and which of them are git-lfs pointers."""
    files, pointers, links = [], [], []
    total = 0
    for item in items:
        total += len(item.data)
        if total > limits.bytes or len(files) == limits.files:
            raise too_large(limits)
        if reason := _unfit(item.path):
            left_out[item.path] = reason
        elif item.is_link:
            links.append(item)
        else:
            place = into / item.path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as stream:
                stream.write(item.data)
            place.chmod(0o755 if item.is_program else 0o644)
            files.append(item.path)
            if item.data.startswith(POINTER):
                pointers.append(item.path)
    made = [item.path for item in links if _made(item, into, left_out)]
    # A link may lead out by way of another, which only shows when all are there.
    top = os.path.realpath(into)
    for path in made:
        if _is_outside(top, into / path):
            beneath.remove(into, path)
            left_out[path] = "link that leads out"
    files += [path for path in made if path not in left_out]
    return tuple(sorted(files)), tuple(pointers)


def _is_outside(top: str, place: Path) -> bool:
    return os.path.commonpath([top, os.path.realpath(place)]) != top


def _unfit(path: str) -> str:
    """Why a path may not be written, though a repository's objects have it."""
    try:
        names = beneath.parts(path)
    except ValueError:
        return "no plain path"
    return "git's own" if any(name.lower() == ".git" for name in names) else ""


def _made(item: Item, into: Path, left_out: dict[str, str]) -> bool:
    target = os.fsdecode(item.data)
    if _leads_out(item.path, target):
        left_out[item.path] = "link that leads out"
        return False
    with beneath.parent(into, item.path, make=True) as (folder, name):
        os.symlink(target, name, dir_fd=folder)
    return True


def _leads_out(path: str, target: str) -> bool:
    """Whether a link leads out of the tree, or into git's own folder, by what is written."""
    if target.startswith("/") or not target:
        return True
    here = path.split("/")[:-1]
    for name in target.split("/"):
        if name == "..":
            if not here:
                return True
            here.pop()
        elif name not in ("", "."):
            here.append(name)
    return ".git" in here


@contextlib.contextmanager
def _told(repository: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or repository
        raise TandemError(
            f"{where} cannot be copied: {error.strerror or error}.",
            "The private copy needs room in the folder for temporary files.",
        ) from error


def too_large(limits: Limits) -> TandemError:
    return TandemError(
        f"The repository is larger than {limits.bytes // 2**20} MB or {limits.files:,} files.",
        "Let .gitignore name what its tests do not need, or name a smaller folder.",
    )
