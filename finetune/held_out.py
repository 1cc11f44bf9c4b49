"""Code to evaluate on when nobody brings cases: a repository as it stands, and code of others.

The general set is a fixed draw of the standard library of the Python that runs: code that is not
the repository's own, on which an adapter must not get worse. A model may well have learned from
it; for a comparison with and without an adapter that does not matter.
"""

import random
import sysconfig
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from completion.languages import ROWS
from finetune import files
from finetune.cases import Case, cases_in
from tandem.errors import UsageError

_ENDINGS = tuple(ending for row in ROWS.values() if row.has_statements for ending in row.endings)
_GENERAL_FILES = ("*.py", "asyncio/*.py", "email/*.py", "json/*.py", "logging/*.py", "xml/*/*.py")
_GENERAL_BYTES = range(2000, files.LARGEST)
File = tuple[str, str, str]  # source, path, text


def repository_cases(root: Path, count: int, seed: int = 0) -> list[Case]:
    """Up to `count` holes in the source files below a folder, drawn anew for another seed.

    Raises UsageError if it is no folder, cannot be read, or has no source of a language of
    which we know the syntax.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is no folder.", "Name a repository's folder.")
    name, rng, skips = root.resolve().name, random.Random(seed), Counter[str]()
    try:
        entries = [one for one in files.in_folder(root, skips) if _wanted(one.path)]
    except OSError as error:
        raise UsageError(f"{root} cannot be read: {error.strerror}.") from error
    by_language: dict[str, list[File]] = {}
    # Files of fewer holes than one each are the rule; some have no place for any.
    drawn = rng.sample(entries, min(len(entries), 4 * count + 20))
    for file in files.sources(iter(drawn), skips):
        by_language.setdefault(file.language, []).append((name, file.path, file.text))
    found = [
        case
        for language, texts in by_language.items()
        for case in cases_in(texts, language, count, seed)
        if files.answerable(case.middle)
    ]
    if not found:
        raise UsageError(
            f"{root} has no source to measure on.", f"Wanted are files of: {' '.join(_ENDINGS)}"
        )
    return rng.sample(found, min(count, len(found)))


def general_cases(count: int, seed: int = 0) -> list[Case]:
    """`count` holes in the standard library: the same ones for the same seed and Python."""
    return list(cases_in(_standard_library(), "python", count, seed))


@cache
def _standard_library() -> Sequence[File]:
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(file for pattern in _GENERAL_FILES for file in folder.glob(pattern))
    entries = (
        files.Entry(file.relative_to(folder).as_posix(), file.stat().st_size, file.read_bytes)
        for file in paths
        if file.stat().st_size in _GENERAL_BYTES
    )
    found = files.sources(entries, Counter())
    return [("standard library", file.path, file.text) for file in found]


def _wanted(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _ENDINGS
