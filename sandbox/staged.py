"""What is staged in a repository, as a diff of texts that we make ourselves.

`git diff` would run filters and external programs that the repository may name (see `git`), so
the blobs of the index and of HEAD are read and compared here.
"""

from pathlib import Path

from sandbox import git
from sandbox.patch import Patch, PatchError
from tandem.errors import UsageError

LARGEST = 512 * 1024  # bytes of one side of a file
_PLAIN = frozenset({"100644", "100755"})


def diff(repository: Path) -> str:
    """Of the index against HEAD; a line for each file that is no text. Raises UsageError if
    nothing is staged, or there is no git repository."""
    repository = repository.resolve()
    if not git.is_here() or not git.belongs(repository):
        raise UsageError(f"{repository} is no git repository.", "Run git init there.")
    before = _head(repository)
    after = _index(repository)
    changed = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    if not changed:
        raise UsageError("Nothing is staged.", "Run git add first.")
    return "".join(_one(repository, path, before.get(path), after.get(path)) for path in changed)


_Entry = tuple[str, str]  # mode and blob


def _one(repository: Path, path: str, before: _Entry | None, after: _Entry | None) -> str:
    old, new = (_text(repository, entry) for entry in (before, after))
    what = "removed" if after is None else "added" if before is None else "changed"
    if old is None or new is None:
        return f"# {path}: {what}; it is no plain text, or too large\n"
    try:
        told = Patch({path: new if after else None}).diff({path: old} if before else {})
    except PatchError as error:
        return f"# {path!r}: {what}; {error.message}\n"
    return told or f"# {path}: permissions changed\n"


def _text(repository: Path, entry: _Entry | None) -> str | None:
    """ "" for no file, None for what is no text of plain size."""
    if entry is None:
        return ""
    mode, blob = entry
    if mode not in _PLAIN:
        return None
    if int(git.run(repository, "cat-file", "-s", blob)) > LARGEST:
        return None
    data = git.run(repository, "cat-file", "blob", blob)
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _head(repository: Path) -> dict[str, _Entry]:
    commit = git.commit_of(repository)
    if not commit:
        return {}
    found = {}
    for row in git.run(repository, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")[:-1]:
        facts, name = row.split(b"\t", 1)
        mode, _, blob = facts.decode().split()
        found[name.decode("utf-8", "surrogateescape")] = mode, blob
    return found


def _index(repository: Path) -> dict[str, _Entry]:
    found = {}
    for row in git.run(repository, "ls-files", "-z", "--stage").split(b"\0")[:-1]:
        facts, name = row.split(b"\t", 1)
        mode, blob, stage = facts.decode().split()
        if stage != "0":
            raise UsageError("There are conflicts of a merge.", "Resolve them first.")
        found[name.decode("utf-8", "surrogateescape")] = mode, blob
    return found
