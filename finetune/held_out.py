"""Code to evaluate on when nobody brings cases: a repository as it stands, and code of others.

The general set is a fixed draw of the standard library of the Python that runs: code that is not
the repository's own, on which an adapter must not get worse. A model may well have learned from
it; for a comparison with and without an adapter that does not matter.
"""

import os
import random
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from completion.document import language_of
from completion.languages import ROWS
from finetune.cases import Case, cases_in
from tandem import secrets
from tandem.errors import UsageError

# Bytes: a shorter file has nothing around a hole, a longer one is data or generated.
_SHORTEST, _LONGEST = 200, 150_000
_LONGEST_LINE = 500
_FOREIGN = {"node_modules", "vendor", "_vendor", "third_party", "site-packages", "venv", "build"}
_GENERAL_FILES = ("*.py", "asyncio/*.py", "email/*.py", "json/*.py", "logging/*.py", "xml/*/*.py")
File = tuple[str, str, str]  # source, path, text


def repository_cases(root: Path, count: int, seed: int = 0) -> list[Case]:
    """Up to `count` holes in the source files below a folder, drawn anew for another seed.

    Raises UsageError if it is no folder or has no source of a language that we know.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is no folder.", "Name a repository's folder.")
    name, rng = root.resolve().name, random.Random(seed)
    paths = _files(root)
    by_language: dict[str, list[File]] = {}
    # A hole needs a file of its own, and some files have no place for one.
    for file in rng.sample(paths, min(len(paths), 4 * count + 20)):
        if text := _read(file):
            row = (name, file.relative_to(root).as_posix(), text)
            by_language.setdefault(language_of(file), []).append(row)
    found = [
        case
        for language, files in by_language.items()
        for case in cases_in(files, language, count, seed)
    ]
    if not found:
        endings = " ".join(ending for row in ROWS.values() for ending in row.endings)
        raise UsageError(f"{root} has no source to measure on.", f"Wanted are files of: {endings}")
    return rng.sample(found, min(count, len(found)))


def general_cases(count: int, seed: int = 0) -> list[Case]:
    """`count` holes in the standard library: the same ones for the same seed and Python."""
    return list(cases_in(_standard_library(), "python", count, seed))


@cache
def _standard_library() -> Sequence[File]:
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(file for pattern in _GENERAL_FILES for file in folder.glob(pattern))
    texts = ((file.relative_to(folder).as_posix(), _read(file)) for file in files)
    return [("standard library", path, text) for path, text in texts if len(text) > 2000]


def _files(root: Path) -> list[Path]:
    """Those whose ending we know, by path; no link is followed, no hidden or foreign folder read.

    Raises UsageError for a folder that cannot be read; ones inside it are passed over.
    """
    endings = {ending for row in ROWS.values() for ending in row.endings}
    try:
        os.scandir(root).close()
    except OSError as error:
        raise UsageError(f"{root} cannot be read: {error.strerror}.") from error
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name[0] != "." and name not in _FOREIGN]
        found += [Path(folder, name) for name in files if Path(name).suffix in endings]
    return sorted(file for file in found if file.is_file() and not file.is_symlink())


def _read(file: Path) -> str:
    """The text of a file that a person wrote; "" for any other, and for what cannot be read."""
    try:
        if not _SHORTEST < file.stat().st_size < _LONGEST or secrets.is_secret_file(file):
            return ""
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    head = text[:600].lower()
    if "generated" in head and ("do not edit" in head or "automatically" in head):
        return ""
    return "" if max(map(len, text.split("\n"))) > _LONGEST_LINE else text
