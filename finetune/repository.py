"""A git repository read from its objects only: trees, blobs, and which lines commits changed.

The work tree is never read, so links, ignored files and submodules in it do not matter, and a
bare repository will do. Nothing of the repository runs: its own configuration is not trusted
(hooks, file-system monitors, filters, external diffs, signature checks and transports are off).
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from finetune.files import LANGUAGE_OF, LARGEST, Entry
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:  # importing it looks for git
    from git import Git

# A commit of more source files is a move, a reformatting or an import of other code.
MAX_FILES = 50
MAX_COMMITS = 20_000

_CONFIG = (
    "core.fsmonitor=",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    f"diff.orderFile={os.devnull}",
    "core.quotePath=false",
    "log.showSignature=false",
    "diff.renameLimit=200",
)
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",  # a partial clone may name any program as its transport
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ATTR_NOSYSTEM": "1",
}
_LOG = (
    *("--no-merges", "--full-history", "--root", "--patch", "--unified=0", "--full-index"),
    *("--inter-hunk-context=0", "--find-renames", "--diff-filter=AMR", "--no-color"),
    *("--no-ext-diff", "--no-textconv", "--no-show-signature", "--submodule=short"),
    *("--ignore-submodules=all", "--src-prefix=a/", "--dst-prefix=b/", "--no-mailmap"),
    "--format=tformat:%x00%H %ct [%P] %an <%ae>",
)
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_BOT = re.compile(
    r"(?i)\[bot\]|\bbot\b|dependabot|renovate|github-actions|pre-commit-ci|greenkeeper|snyk|pyup"
)


@dataclass(frozen=True)
class Change:
    """A source file as one commit left it. `added` holds ranges of lines [first, end), from 0."""

    commit: str
    time: int
    path: str
    blob: str
    added: tuple[tuple[int, int], ...]


class Repository:
    """Raises UsageError for a folder that is none, or one that git does not trust."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}.", "Name a git repository.")
        self.folder = folder.resolve()
        self._git = _git(self.folder)
        try:
            self._git.rev_parse("--git-dir")
        except _git_error() as error:
            if "dubious ownership" in str(error):
                raise UsageError(
                    f"git does not trust {folder}: another user owns it.",
                    f"If you do, run: git config --global --add safe.directory {self.folder}",
                ) from error
            raise UsageError(
                f"{folder} is no git repository.", "Name a repository's top folder."
            ) from error

    @property
    def name(self) -> str:
        return self.folder.name.removesuffix(".git") or self.folder.parent.name

    def head(self) -> str:
        """The newest commit's hash, "" if there is none."""
        try:
            return self._git.rev_parse("--verify", "--quiet", "HEAD^{commit}")
        except _git_error():
            return ""

    def is_shallow(self) -> bool:
        return self._git.rev_parse("--is-shallow-repository") == "true"

    def main_line(self) -> list[str]:
        """The commits from HEAD along first parents, newest first."""
        with self._errors():
            return str(self._git.rev_list("--first-parent", "HEAD")).split()

    def time(self, commit: str) -> int:
        """When it was committed, in seconds since 1970."""
        with self._errors():
            return int(self._git.show("--no-patch", "--no-show-signature", "--format=%ct", commit))

    def files(self, commit: str, skips: Counter[str]) -> list[Entry]:
        """The files of a commit's tree by path, none of them read."""
        with self._errors():
            listed = cast(
                bytes,
                self._git.ls_tree("-r", "-z", "-l", "--full-tree", commit, stdout_as_string=False),
            )
        found = []
        for row in listed.split(b"\0")[:-1]:
            kind, name = row.split(b"\t", 1)
            mode, _, blob, size = kind.decode().split()
            if mode in ("120000", "160000"):
                skips["link" if mode == "120000" else "submodule"] += 1
            elif not size.isdigit():  # a partial clone has left it out
                skips["unreadable"] += 1
            else:
                path = name.decode("utf-8", "replace")
                found.append(Entry(path, int(size), lambda blob=blob: self.read(blob)))
        return found

    def read(self, blob: str) -> bytes:
        """A file's content. Raises ValueError if it is too large, or not in this clone."""
        _, _, size, stream = self._git.stream_object_data(blob)
        data = stream.read()
        if size > LARGEST:
            raise ValueError(f"{blob} is too large")
        return data

    def changes(self, revisions: str, skips: Counter[str]) -> Iterator[Change]:
        """What commits did to source files, newest first. `revisions` as `git log` has them.

        Left out and counted: merges, bots, the first commit (in a shallow clone that is a whole
        tree), and commits of more than `MAX_FILES` source files.
        """
        endings = [f":(icase)*{ending}" for ending in sorted(LANGUAGE_OF)]
        options: dict[str, Any] = {"as_process": True}
        with self._errors():
            process = self._git.log(f"-{MAX_COMMITS}", *_LOG, revisions, "--", *endings, **options)
            for header, changes in _commits(cast(Any, process).stdout):
                reason = _unfit(header, changes)
                if reason:
                    skips[reason] += 1
                else:
                    yield from changes
            cast(Any, process).wait()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _git_error() as error:
            raise TandemError(
                f"git cannot read {self.folder}: {_first_line(error)}", "Try: git fsck"
            ) from error


def _git(folder: Path) -> "Git":
    try:
        from git import Git
    except ImportError as error:  # it looks for the program when imported
        raise TandemError("There is no git on this machine.", "Install git.") from error
    git = Git(str(folder))
    git.set_persistent_git_options(c=list(_CONFIG), no_pager=True)
    # A folder inside a repository is not one; and the environment of a hook names another.
    git.update_environment(**_ENVIRONMENT, GIT_CEILING_DIRECTORIES=str(folder.parent))
    if "GIT_DIR" in os.environ:
        inner = folder / ".git"
        git.update_environment(GIT_DIR=str(inner if inner.exists() else folder))
    return git


def _git_error() -> type[Exception]:
    from git import GitCommandError

    return GitCommandError


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return next((line.strip(" '") for line in lines if "fatal" in line), lines[-1] if lines else "")


def _commits(stream: IO[bytes]) -> Iterator[tuple[str, list[Change]]]:
    """Each commit's header and changes, from the output of `git log --patch --unified=0`."""
    header, changes = "", []
    blob = path = ""
    body = 0  # lines of the hunk still to come
    for line in stream:
        if body and line[:1] in b"+- ":
            body -= 1
        elif line.startswith(b"\0"):
            if header:
                yield header, changes
            header, changes = line[1:].decode("utf-8", "replace").strip(), []
        elif line.startswith(b"index "):
            blob = line.split(b" ")[1].split(b"..")[1].strip().decode()
        elif line.startswith(b"+++ "):
            name = line[4:].rstrip(b"\n").removesuffix(b"\t")
            # A quoted name holds a control character: not worth the unquoting.
            path = name[2:].decode("utf-8", "replace") if name.startswith(b"b/") else ""
        elif hunk := _HUNK.match(line):
            removed, first, added = (int(group) if group else 1 for group in hunk.groups())
            body = removed + added
            if path and added:
                commit, time = header.split(" ", 2)[:2]
                lines = ((first - 1, first - 1 + added),)
                if changes and changes[-1].path == path:
                    lines = changes.pop().added + lines
                changes.append(Change(commit, int(time), path, blob, lines))
    if header:
        yield header, changes


def _unfit(header: str, changes: list[Change]) -> str:
    if "[]" in header.split(" ", 3)[2]:
        return "first commit"
    if _BOT.search(header.split("]", 1)[1]):
        return "commit of a bot"
    return "huge commit" if len(changes) > MAX_FILES else ""
