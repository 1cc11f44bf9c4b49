"""Which files of a workspace the index reads: source that a person wrote, nothing ignored.

No link is followed, so that loops end, and no file is opened. What is left out is counted by
its reason.
"""

import os
import stat
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from completion import sourcefile
from completion.document import language_of
from completion.index import ignore
from completion.languages import PLAINTEXT
from tandem import secrets

LARGEST = 1_000_000  # bytes
ODD_NAME = "unprintable name"
# Folders that tools fill: what other code is there comes in through what a file imports.
FILLED = frozenset(
    {
        *(".git", ".hg", ".svn", ".bzr", "node_modules", "bower_components", "__pycache__"),
        *(".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".cache"),
        *("site-packages", "dist-packages", ".gradle", ".idea", ".vscode-test", ".next"),
    }
)
# Source that we have no grammar for: it is found by its words.
_OTHER_SOURCE = frozenset(
    {
        *(".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".go", ".rs", ".java"),
        *(".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".cu", ".cuh", ".cs", ".rb"),
        *(".php", ".sh", ".bash", ".lua", ".kt", ".kts", ".swift", ".scala", ".dart", ".zig"),
        *(".ex", ".exs", ".erl", ".hs", ".ml", ".mli", ".clj", ".jl", ".r", ".m", ".mm", ".pl"),
        *(".pm", ".fs", ".vb", ".groovy", ".nim", ".sql", ".proto", ".graphql", ".vue", ".svelte"),
        *(".pyx", ".pxd", ".tf", ".cmake"),
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """A file not read yet. `path` is relative to the root, posix; `mtime` in nanoseconds."""

    path: str
    language: str
    size: int
    mtime: int


def files(root: Path, skips: Counter[str]) -> list[Found]:
    """All of a workspace, in the order of their paths. Raises OSError if the root is unreadable."""
    os.scandir(root).close()
    found: list[Found] = []
    folders: list[tuple[str, tuple[ignore.Rules, ...]]] = [("", ignore.above(root))]
    while folders:
        inside, rules = folders.pop()
        entries = _entries(root / inside, skips)
        if not inside or any(entry.name in ignore.NAMES for entry in entries):
            own = ignore.rules(root / inside, len(inside))
            rules = (*rules, own) if own else rules
        for entry in entries:
            path = inside + entry.name
            reason = _reason(entry, path, rules)
            if reason:
                skips[reason] += 1
            elif entry.is_dir(follow_symlinks=False):
                folders.append((f"{path}/", rules))
            elif one := _file(entry, path, skips):
                found.append(one)
    found.sort(key=lambda one: one.path)
    return found


def file(root: Path, path: str) -> Found | str:
    """One file by its path from the root, by the same rules; else why it is left out."""
    if not _is_plain(path):
        return ODD_NAME
    rules = ignore.above(root)
    parts = PurePosixPath(path).parts
    for depth, name in enumerate(parts):
        inside = "".join(f"{part}/" for part in parts[:depth])
        if own := ignore.rules(root / inside, len(inside)):
            rules = (*rules, own)
        last = depth == len(parts) - 1
        if ignore.is_out(inside + name + ("" if last else "/"), rules):
            return "ignored"
        if not last and name in FILLED:
            return "filled by a tool"
    reason = name_reason(parts[-1])
    if reason:
        return reason
    status = os.lstat(root / path)
    if not stat.S_ISREG(status.st_mode):
        return "link" if stat.S_ISLNK(status.st_mode) else "no regular file"
    if status.st_size > LARGEST:
        return "too large"
    return Found(path, language(parts[-1]) or "", status.st_size, status.st_mtime_ns)


def name_reason(name: str) -> str:
    """Why a file's name alone leaves it out; "" if it does not."""
    if not _is_plain(name):
        return ODD_NAME
    if language(name) is None:
        return "no source"
    if secrets.is_secret_name(name):
        return "secret file"
    return "generated" if sourcefile.is_generated_name(name) else ""


def language(name: str) -> str | None:
    """By a file's name; None if it is no source."""
    return _language(name, os.path.splitext(name)[1].lower())  # noqa: PTH122 (much faster)


def _language(name: str, ending: str) -> str | None:
    found = _of_ending(ending) if ending else language_of(Path(name))
    return None if found == PLAINTEXT.name and ending not in _OTHER_SOURCE else found


@lru_cache(maxsize=512)
def _of_ending(ending: str) -> str:
    return language_of(Path(f"x{ending}"))


def _entries(folder: Path, skips: Counter[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # no right to; too deep; gone
        skips["unreadable"] += 1
        return []


def _reason(entry: os.DirEntry[str], path: str, rules: tuple[ignore.Rules, ...]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        if entry.name in FILLED:
            return "filled by a tool"
        if not _is_plain(entry.name):
            return ODD_NAME
        if rules and ignore.is_out(f"{path}/", rules):
            return "ignored"
        is_environment = (Path(entry.path) / "pyvenv.cfg").exists()
        return "filled by a tool" if is_environment else ""
    if not entry.is_file(follow_symlinks=False):  # a pipe would block its reader for ever
        return "no regular file"
    return name_reason(entry.name) or ("ignored" if rules and ignore.is_out(path, rules) else "")


def _file(entry: os.DirEntry[str], path: str, skips: Counter[str]) -> Found | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        skips["unreadable"] += 1
        return None
    if status.st_size > LARGEST:
        skips["too large"] += 1
        return None
    return Found(path, language(entry.name) or "", status.st_size, status.st_mtime_ns)


def _is_plain(name: str) -> bool:
    """Whether a name is printable text: a line break or a broken character would pass for
    another path in a prompt, a trace or a list."""
    return name.isprintable()
