"""What is staged in a repository, read without running anything that the repository names.

`git diff` may run external diffs and filters; git only lists and hands out blobs here, and the
difference is ours.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from sandbox import git
from tandem.errors import TandemError, UsageError
from tandem.secrets import is_secret_name

_SUBMODULE = "160000"
# Of a blob; a change of more is told by its size.
MOST_BYTES = 400_000


@dataclass(frozen=True)
class Change:
    """Of one path: its texts, None where it is not there. `note` in place of texts that are not
    shown: binary, too large, a submodule, a file of secrets. `was`: the path that it is moved from."""

    path: str
    before: str | None
    after: str | None
    note: str = ""
    was: str = ""

    @property
    def diff(self) -> str:
        """Unified, as git writes it, without hashes."""
        old = f"a/{self.was or self.path}" if self.before is not None else "/dev/null"
        new = f"b/{self.path}" if self.after is not None else "/dev/null"
        if self.note:
            return f"{self.path}: {self.note}"
        if self.was:
            return f"rename from {self.was}\nrename to {self.path}"
        before, after = (self.before or "").splitlines(), (self.after or "").splitlines()
        return "\n".join(difflib.unified_diff(before, after, old, new, lineterm=""))


@dataclass(frozen=True)
class _Entry:
    mode: str
    blob: str


def staged(folder: Path) -> list[Change]:
    """The changes between HEAD and the index of the repository at `folder`, by path.

    Raises UsageError if it is no repository or has unresolved conflicts.
    """
    if not git.belongs(folder):
        raise UsageError(f"{folder} is no git repository.", "Go to one, or run: git init")
    new = _index(folder)
    old = _head(folder)
    changed = sorted(path for path in {*new, *old} if new.get(path) != old.get(path))
    moved = _moved(old, new, changed)
    wanted = {
        entry.blob for path in changed for entry in _shown(path, old.get(path), new.get(path))
    }
    texts = _blobs(folder, sorted(wanted))
    gone = set(moved.values())
    return [
        _change(path, old.get(path), new.get(path), texts, moved.get(path, ""))
        for path in changed
        if path not in gone
    ]


def _index(folder: Path) -> dict[str, _Entry]:
    found = {}
    for row in git.run(folder, "ls-files", "--stage", "-z").split(b"\0")[:-1]:
        facts, _, path = row.partition(b"\t")
        mode, blob, stage = facts.decode().split()
        name = path.decode("utf-8", "replace")
        if stage != "0":
            raise UsageError(f"{name} has conflicts.", "Resolve them and stage the file.")
        found[name] = _Entry(mode, blob)
    return found


def _head(folder: Path) -> dict[str, _Entry]:
    """Empty before the first commit."""
    commit = git.commit_of(folder)
    if not commit:
        return {}
    found = {}
    for row in git.run(folder, "ls-tree", "-r", "-z", commit).split(b"\0")[:-1]:
        facts, _, path = row.partition(b"\t")
        mode, _, blob = facts.decode().split()
        found[path.decode("utf-8", "replace")] = _Entry(mode, blob)
    return found


def _moved(old: dict[str, _Entry], new: dict[str, _Entry], changed: list[str]) -> dict[str, str]:
    """Paths that have the very content of one that is gone, and which."""
    gone = {old[path].blob: path for path in changed if path not in new}
    found = {}
    for path in changed:
        if path not in old and new[path].blob in gone:
            found[path] = gone.pop(new[path].blob)
    return found


def _shown(path: str, *entries: _Entry | None) -> list[_Entry]:
    if is_secret_name(path.rpartition("/")[2]):
        return []
    return [entry for entry in entries if entry and entry.mode != _SUBMODULE]


def _change(
    path: str, old: _Entry | None, new: _Entry | None, texts: dict[str, bytes], was: str
) -> Change:
    verb = "added" if old is None and not was else "removed" if new is None else "changed"
    if is_secret_name(path.rpartition("/")[2]):
        return Change(path, None, None, f"file of secrets {verb}, not shown")
    if _SUBMODULE in (old and old.mode, new and new.mode):
        return Change(path, None, None, f"submodule {verb}")
    before = texts[old.blob] if old else None
    after = texts[new.blob] if new else None
    for data in (before, after):
        if data is not None and (len(data) > MOST_BYTES or b"\0" in data[:8192]):
            kind = "binary file" if b"\0" in data[:8192] else "large file"
            size = len(after if after is not None else data)
            return Change(path, None, None, f"{kind} {verb}, {size:,} bytes", was)
    if old and new and old.blob == new.blob:
        return Change(path, None, None, f"mode {old.mode} is now {new.mode}")
    return Change(path, _text(before), _text(after), "", was)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


def _blobs(folder: Path, names: list[str]) -> dict[str, bytes]:
    """Contents by hash; all with one process."""
    if not names:
        return {}
    data = git.run(folder, "cat-file", "--batch", given="\n".join(names).encode() + b"\n")
    found, at = {}, 0
    for name in names:
        end = data.index(b"\n", at)
        facts = data[at:end].split()
        if len(facts) != 3:
            raise TandemError(f"git has no object {name}.", "Try: git fsck")
        begin, size = end + 1, int(facts[2])
        found[name] = data[begin : begin + size]
        at = begin + size + 1
    return found
