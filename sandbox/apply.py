"""Write a patch into the user's work tree after a yes, all of it or nothing, and take it back.

Before anything is written, the work tree is kept as `refs/tandem/backup/ID`: a commit of the files
as they stand, untracked ones too, on top of a commit of the index, on top of HEAD. The index, HEAD
and the stash stay as they are. The commit's message says what the patch changes, so that `undo`
knows it, even when the process was killed in between. Secret and ignored files are not kept; no
patch may touch them.
"""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import allowed, beneath, git, worktree
from sandbox.patch import Patch
from sandbox.worktree import Item, Limits
from tandem.errors import TandemError, UsageError

FORMAT = 1
REFS = "refs/tandem/backup/"
LARGEST = 16 * 1024 * 1024  # bytes of one file that a patch may change
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_BESIDE = re.compile(r"\.tandem-[0-9a-f]{16}")


@dataclass(frozen=True)
class Applied:
    """What was written. `ref` has the work tree as it was before; `undo(id)` brings it back."""

    id: str
    ref: str
    files: tuple[str, ...]


def apply(
    repository: Path,
    patch: Patch,
    old: Mapping[str, str],
    id: str = "",
    granted: Collection[str] = (),
) -> Applied:
    """Write a patch that was made against the texts in `old`. A person let `granted` paths out.

    Raises TandemError, and leaves every file as it is, if the patch may not leave a sandbox (see
    `allowed`), if a file is not what it was made against, or if there is no backup to be had.
    """
    id = id or f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    repository = _known(repository, id)
    refused = allowed.refusals(patch, old, tests_judge=False, granted=granted)
    if refused:
        raise TandemError(f"The patch is refused: {refused[0]}.")
    new = {path: text for path, text in sorted(patch.files.items()) if old.get(path) != text}
    before = {path: _bytes(old.get(path)) for path in new}
    after = {path: _bytes(text) for path, text in new.items()}
    modes = _check(repository, before)
    ref = _back_up(repository, id, before, after)
    _write(repository, before, after, modes)
    return Applied(id, ref, tuple(new))


def undo(repository: Path, id: str) -> tuple[str, ...]:
    """Give the files of an applied patch their old content; the paths of those that had changed.

    Raises TandemError, and changes nothing, if one of them was changed since.
    """
    repository = _known(repository, id)
    commit = git.commit_of(repository, REFS + id)
    if not commit:
        raise UsageError(f"There is no backup {id}.", f"See: git for-each-ref {REFS}")
    said = _said(repository, commit)
    kept = _kept(repository, commit, set(said))
    now: dict[str, bytes | None] = {}
    modes: dict[str, int] = {}
    for path, (was, became) in said.items():
        data, modes[path] = _now(repository, path)
        if _digest(data) not in (was, became):
            raise TandemError(
                f"{allowed.shown(path)} was changed since.", f"Compare: git diff {REFS}{id}"
            )
        if _digest(data) != was:
            now[path] = data
            if data is None and path in kept:
                modes[path] = kept[path][1]
    wanted = {path: kept[path][0] if path in kept else None for path in now}
    for path, data in wanted.items():
        if _digest(data) != said[path][0]:
            raise TandemError(f"The backup {id} does not have {allowed.shown(path)} as it was.")
    _write(repository, now, wanted, modes)
    _sweep(repository, set(said))
    return tuple(sorted(now))


def backups(repository: Path) -> list[str]:
    """The ids of all backups, the oldest first."""
    told = git.run(
        repository, "for-each-ref", "--sort=creatordate", "--format=%(refname)", REFS
    ).decode()
    return [name.removeprefix(REFS) for name in told.splitlines()]


def _known(repository: Path, id: str) -> Path:
    if not _ID.fullmatch(id):
        raise UsageError(f"{id!r} is no id of a backup.", "Take letters, digits and dashes.")
    repository = repository.resolve()
    if not git.is_here() or not repository.is_dir() or not git.belongs(repository):
        raise UsageError(
            f"{repository} is no git repository: there would be no way back.",
            "Run git init there and commit, or apply the diff yourself.",
        )
    return repository


def _check(repository: Path, before: Mapping[str, bytes | None]) -> dict[str, int]:
    """The permissions of the files. Raises TandemError if one is not what it is said to be."""
    modes = {}
    for path, data in before.items():
        found, modes[path] = _now(repository, path)
        if found != data:
            what = "is there by now" if data is None else "has changed"
            what = "is gone" if found is None else what
            raise TandemError(
                f"{allowed.shown(path)} {what} since the patch was made: nothing was written.",
                "Run tandem fix again.",
            )
    return modes


def _now(repository: Path, path: str) -> tuple[bytes | None, int]:
    try:
        return beneath.read(repository, path, LARGEST)
    except FileNotFoundError:
        return None, 0o644
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise TandemError(
            f"{allowed.shown(path)} cannot be read as a plain file: {why}.", "Nothing was written."
        ) from error


def _write(
    repository: Path,
    before: Mapping[str, bytes | None],
    after: Mapping[str, bytes | None],
    modes: Mapping[str, int],
) -> None:
    """Let each file have its new content, None for no file; all of them, or none."""
    beside: dict[str, str] = {}
    done: list[str] = []
    try:
        for path, data in after.items():
            if data is not None:
                beside[path] = beneath.put_beside(repository, path, data, modes[path])
        _check(repository, before)
        for path, data in after.items():
            done.append(path)
            if data is None:
                beneath.remove(repository, path)
            else:
                beneath.move_over(repository, path, beside[path])
                del beside[path]
    except BaseException as error:
        for path in done:
            _put_back(repository, path, before[path], modes[path])
        for path, name in beside.items():
            beneath.remove(repository, "/".join([*path.split("/")[:-1], name]))
        if isinstance(error, OSError):
            raise TandemError(
                f"The patch cannot be written: {error.strerror}.", "Nothing was changed."
            ) from error
        raise


def _put_back(repository: Path, path: str, data: bytes | None, mode: int) -> None:
    found, _ = _now(repository, path)
    if found == data:
        return
    if data is None:
        beneath.remove(repository, path)
    else:
        beneath.move_over(repository, path, beneath.put_beside(repository, path, data, mode))


def _back_up(
    repository: Path,
    id: str,
    before: Mapping[str, bytes | None],
    after: Mapping[str, bytes | None],
) -> str:
    """Keep the index and the work tree as commits; the ref that names them."""
    ref = REFS + id
    if git.commit_of(repository, ref):
        raise TandemError(f"There is a backup {id} already.", "Take another id.")
    index = git.run(repository, "ls-files", "-z", "--stage").split(b"\0")[:-1]
    rows = [row.split(b"\t", 1) for row in index]
    if any(facts.split()[2] != b"0" for facts, _ in rows):
        raise TandemError(f"{repository} has conflicts of a merge.", "Resolve them first.")
    left_out: dict[str, str] = {}
    names, inner = worktree.listed(repository, "", left_out)
    within = next((p for p in before if any(p.startswith(f"{one}/") for one in inner)), None)
    if within is not None:
        raise TandemError(f"{allowed.shown(within)} is in a submodule.", "Apply the diff there.")
    items = list(worktree.standing(repository, names, Limits(), left_out))
    there = {item.path for item in items}
    missing = [path for path, data in before.items() if data is not None and path not in there]
    if missing:
        raise TandemError(
            f"git ignores {allowed.shown(missing[0])}: there would be no way back.",
            "Apply the diff yourself.",
        )
    said = {path: [_digest(before[path]), _digest(after[path])] for path in before}
    stream = [_commit(ref, "The index before a patch of Tandem.", git.commit_of(repository))]
    stream += [_indexed(facts, name) for facts, name in rows]
    stream += [_commit(ref, json.dumps({"v": FORMAT, "files": said}))]
    stream += [_indexed(f, name) for f, name in rows if f.startswith(b"160000")]
    stream += [_inline(item) for item in items]
    git.run(repository, "fast-import", "--quiet", "--done", given=b"".join([*stream, b"done\n"]))
    return ref


def _commit(ref: str, message: str, above: str = "") -> bytes:
    text = message.encode("utf-8", "surrogateescape")
    head = f"commit {ref}\ncommitter Tandem <tandem@localhost> {int(time.time())} +0000\n"
    head += f"data {len(text)}\n"
    return head.encode() + text + (f"\nfrom {above}\n" if above else "\n").encode() + b"deleteall\n"


def _indexed(facts: bytes, name: bytes) -> bytes:
    """A row of `ls-files --stage`."""
    mode, blob, _ = facts.split()
    return _entry(mode, blob, name)


def _entry(mode: bytes, blob: bytes, name: bytes) -> bytes:
    return b"M %s %s %s\n" % (mode, blob, _quoted(name))


def _inline(item: Item) -> bytes:
    mode = b"120000" if item.is_link else b"100755" if item.is_program else b"100644"
    name = item.path.encode("utf-8", "surrogateescape")
    return _entry(mode, b"inline", name) + b"data %d\n%s\n" % (len(item.data), item.data)


def _quoted(name: bytes) -> bytes:
    for plain, escaped in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        name = name.replace(plain, escaped)
    return b'"%s"' % name


def _said(repository: Path, commit: str) -> dict[str, list[str]]:
    """What a backup's message says of the patch: for each path the digests before and after."""
    message = git.run(repository, "cat-file", "commit", commit).split(b"\n\n", 1)[-1]
    try:
        said: Any = json.loads(message)
        files = said["files"] if said["v"] == FORMAT else None
    except (ValueError, KeyError, TypeError, RecursionError):
        files = None
    if not isinstance(files, dict) or not all(
        isinstance(pair, list) and len(pair) == 2 and allowed.stays_inside(path)
        for path, pair in files.items()
    ):
        raise TandemError(f"{commit} is no backup of this version of Tandem.")
    return files


def _kept(repository: Path, commit: str, paths: set[str]) -> dict[str, tuple[bytes, int]]:
    """The files of a backup among these paths: their bytes and permissions."""
    found = {}
    rows = git.run(repository, "ls-tree", "-r", "-z", "--full-tree", commit)
    for row in rows.split(b"\0")[:-1]:
        facts, name = row.split(b"\t", 1)
        path = name.decode("utf-8", "surrogateescape")
        if path in paths:
            mode, _, blob = facts.decode().split()
            data = git.run(repository, "cat-file", "blob", blob)
            found[path] = (data, 0o755 if mode == "100755" else 0o644)
    return found


def _sweep(repository: Path, paths: set[str]) -> None:
    """Remove what a killed process left beside the files."""
    for folder in {repository / Path(path).parent for path in paths}:
        if folder.is_dir() and not folder.is_symlink():
            for file in folder.iterdir():
                if _BESIDE.fullmatch(file.name) and file.is_file():
                    file.unlink()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _digest(data: bytes | None) -> str:
    """Of a file's content; "" for no file."""
    return "" if data is None else hashlib.sha256(data).hexdigest()
