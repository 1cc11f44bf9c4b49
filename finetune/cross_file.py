"""Holes at uses of names that other files of a repository define: where context must help.

What is used there is found without the index, so that retrieval can be measured against it: in
Python by the imports (`uses`), in other languages by names that one file alone defines.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune import files
from finetune.cases import Case
from finetune.files import SourceFile
from finetune.holes import LONGEST, kind_if_honoured
from finetune.modules import Modules, Target
from finetune.unique_names import UniqueNames
from finetune.uses import Use, Uses, uses_in
from tandem.errors import UsageError

# Where the rest of a line is cut off: right before the name, anywhere before it in its line, or
# behind the bracket of its call, where the name is known and its arguments are wanted.
SHARES = {"name": 0.5, "line": 0.3, "call": 0.2}
FIRST, ELSEWHERE = "first use", "used elsewhere"
NAMES, MEMBERS = "names", "members"
_WORD = re.compile(r"\w")
_NAME = re.compile(r"\w+")
# Reasons that keep a file from being learned from, not from being imported.
_STILL_CODE = {"", "too small", "too large"}


@dataclass(frozen=True)
class CrossCase:
    """A hole whose middle, or the call it stands in, uses what `target` defines.

    `first`: the name stands nowhere else in the file but in an import.
    """

    case: Case
    target: Target
    first: bool

    @property
    def groups(self) -> tuple[str, ...]:
        language = self.case.language
        return (
            language,
            f"{language}, {MEMBERS if self.target.container else NAMES}",
            FIRST if self.first else ELSEWHERE,
            self.case.cut,
        )


def cross_file_holes(
    root: Path,
    count: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[CrossCase]:
    """Up to `count` holes in the files below a folder, drawn anew for another seed.

    One a file until all had one, and one a file and definition. Raises UsageError if the folder
    cannot be read or no file uses what another defines.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is no folder.", "Name a repository's folder.")
    skips = Counter[str]()
    try:
        entries = list(files.in_folder(root, skips))
    except OSError as error:
        raise UsageError(f"{root} cannot be read: {error.strerror}.") from error
    importable = [one.path for one in entries if files.unwanted(one) in _STILL_CODE]
    modules = Modules(root, importable)
    by_language: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files.sources(iter(entries), skips):
        by_language[file.language].append(file)
    python = by_language.pop("python", [])
    look: list[tuple[SourceFile, Callable[[SourceFile], Uses]]] = [
        (file, lambda file: uses_in(file.text, file.path, modules)) for file in python
    ]
    for others in by_language.values():
        unique = UniqueNames(others)
        look += [(file, unique.uses_in) for file in others]
    rng = random.Random(seed)
    name = root.resolve().name
    turns = [_drawn(name, file, uses, rng) for file, uses in rng.sample(look, len(look))]
    found: list[CrossCase] = []
    while turns and len(found) < count:
        left = []
        for turn in turns:
            on_progress(len(found), count)
            one = next(turn, None)
            if one is not None and len(found) < count:
                found.append(one)
                left.append(turn)
        turns = left
    on_progress(count, count)
    if not found:
        raise UsageError(f"No file in {root} uses a name that another one defines.")
    return found


def _drawn(
    source: str, file: SourceFile, look: Callable[[SourceFile], Uses], rng: random.Random
) -> Iterator[CrossCase]:
    known = look(file)
    seen: set[Target] = set()
    for use in rng.sample(known.uses, len(known.uses)):
        cut = rng.choices(list(SHARES), list(SHARES.values()))[0]
        if use.target in seen:
            continue
        case = _case(source, file, use, cut, rng)
        if case is not None:
            seen.add(use.target)
            end = len(case.prefix) + len(case.middle)
            first = _only_here(file.text, use, end, known.import_rows)
            yield CrossCase(case, use.target, first)


def _case(source: str, file: SourceFile, use: Use, cut: str, rng: random.Random) -> Case | None:
    """The rest of the line missing from where `cut` says; None where no line ends."""
    text = file.text
    line_start = text.rfind("\n", 0, use.start) + 1
    line_end = text.find("\n", use.start)
    line = text[line_start : line_end if line_end >= 0 else None]
    code = line_start + len(line) - len(line.lstrip())
    end = line_start + len(line.rstrip())
    start = use.start
    if cut == "line" and code < start:
        start = rng.randrange(code, start)
    elif cut == "call" and use.opening is not None and _WORD.search(text[use.opening : end]):
        start = use.opening
    else:
        cut = "name"
    middle = text[start:end]
    if not 1 < len(middle) <= LONGEST["line"] or not files.answerable(middle):
        return None
    kind = kind_if_honoured(text, start, end, file.language)
    if kind is None:
        return None
    return Case(source, file.path, file.language, text[:start], middle, text[end:], cut, kind)


def _only_here(text: str, use: Use, end: int, import_rows: frozenset[int]) -> bool:
    """Whether the name stands only in imports and in what the cursor has yet to write."""
    spelled = _NAME.match(text, use.start)  # an import may have named it anew
    assert spelled
    for found in re.finditer(rf"\b{re.escape(spelled[0])}\b", text):
        at = found.start()
        if not use.start <= at < end and text.count("\n", 0, at) not in import_rows:
            return False
    return True
