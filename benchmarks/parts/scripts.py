"""What is typed in a replay: files of copied repositories without some stretches of their lines.

The stretches are missing on disk as well as in the editor, so that neither an index nor a memory
of the repository can have read them. Copies have no history and no build outputs.
"""

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.parts.prose import code_keys, keys_of, prose
from completion.document import language_of
from completion.languages import language_row
from completion.lexer import Lexer
from completion.sourcefile import is_generated, is_generated_name, is_minified
from tandem.errors import UsageError

SIZES = range(1500, 100_000)  # bytes of a file worth typing in
HEAD_LINES = 5  # a file's first lines are seldom what one is asked to write
LINES = (1, 8)  # of one stretch
MARGIN = 3  # lines between two stretches
LONGEST_LINE = 120
FEWEST_KEYS, MOST_KEYS = 8, 60  # of a stretch that is more than what is left to take
_LEFT_BEHIND = (".git", ".hg", "node_modules", "__pycache__", ".venv", ".tox", "target", "dist")


@dataclass(frozen=True)
class Script:
    """One file to type in. `text` is what it holds in the end, `spans` what is written of it,
    of which `prose` is put in at once."""

    file: Path
    root: Path
    text: str
    spans: tuple[tuple[int, int], ...]
    seed: str
    prose: tuple[tuple[int, int], ...] = ()

    @property
    def language(self) -> str:
        return language_of(self.file)

    @property
    def keys(self) -> int:
        """Keys that it takes without a suggestion and without a slip."""
        return sum(code_keys(self.text, start, end, self.prose) for start, end in self.spans)

    @property
    def put_in(self) -> int:
        """Keys that the prose in it would take."""
        return sum(keys_of(self.text[start:end]) for start, end in self.spans) - self.keys


def scripts(
    folders: Sequence[Path],
    target: Path,
    seed: int,
    files: int,
    keys: int,
    type_prose: bool = False,
) -> list[Script]:
    """`files` files, drawn from each folder in turn, with about `keys` keys to type in each.

    Each folder is copied into `target`. Raises UsageError if a folder has nothing to type.
    """
    found: list[Script] = []
    for number, (source, folder) in enumerate(_drawn(folders, seed, files), 1):
        text, language = _read(source), language_of(source)
        said = () if type_prose else tuple(prose(text, language))
        # What one file has too much, as stretches are whole lines, the next ones have less.
        share = max(1, keys * number - sum(script.keys for script in found))
        rng = random.Random(f"{seed} {source.name}")
        spans = tuple(stretches(text, rng, share, language, said))
        root = _copied(folder, target)
        file = root / source.relative_to(folder)
        kept, last = "", 0
        for start, end in spans:
            kept, last = kept + text[last:start], end
        file.write_text(kept + text[last:], "utf-8", newline="")
        found.append(Script(file, root, text, spans, f"{seed} {file.relative_to(target)}", said))
    return found


def stretches(
    text: str,
    rng: random.Random,
    keys: int,
    language: str = "python",
    said: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int]]:
    """Runs of lines in order, with about `keys` keys outside of what is `said` in it; fewer if the
    file has no more.

    Each goes from its first line's text to its last line's end, and closes the brackets and
    strings that it opens and no others: what is around it is code that stands.
    """
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    opened = _opened(lines, language)
    order = list(range(min(HEAD_LINES, len(lines) - 1), len(lines)))
    rng.shuffle(order)
    taken: set[int] = set()
    found, left = [], keys
    for first in order:
        last = first + rng.randint(*LINES)
        while last > first and (last > len(lines) or not lines[last - 1].strip()):
            last -= 1
        run = range(first, last)
        if not run or not lines[first].strip() or taken & {*run}:
            continue
        if opened[first] != opened[last] or any(len(lines[n]) > LONGEST_LINE for n in run):
            continue
        indent = len(lines[first]) - len(lines[first].lstrip())
        start, end = starts[first] + indent, starts[last] - 1
        end = start + len(text[start:end].rstrip())
        size = code_keys(text, start, end, said)
        if size < FEWEST_KEYS or size > max(MOST_KEYS, 2 * left):
            continue
        found.append((start, end))
        taken |= {*range(first - MARGIN, last + MARGIN)}
        left -= size
        if left <= 0:
            break
    return sorted(found)


def _opened(lines: Sequence[str], language: str) -> list[tuple[str, str]]:
    """The brackets and the string that are open at the start of each line, and at the end."""
    lexer = Lexer(language_row(language))
    found = []
    for line in lines:
        found.append(("".join(lexer.stack), lexer.quote))
        lexer.feed(f"{line}\n")
    return [*found, ("".join(lexer.stack), lexer.quote)]


def _drawn(folders: Sequence[Path], seed: int, count: int) -> list[tuple[Path, Path]]:
    """(file, its folder), from each folder in turn."""
    by_folder = []
    for folder in folders:
        files = [file for file in sorted(folder.rglob("*")) if _is_source(file, folder)]
        random.Random(seed).shuffle(files)
        files = list(islice(filter(_is_written, files), count))
        if not files:
            raise UsageError(f"{folder} has no source file to type in.", "Name a repository.")
        by_folder.append((folder, iter(files)))
    found: list[tuple[Path, Path]] = []
    while len(found) < count:
        before = len(found)
        for folder, files in by_folder:
            file = next(files, None)
            if file is not None and len(found) < count:
                found.append((file, folder))
        if len(found) == before:
            raise UsageError(f"Only {before} files can be typed in.", "Take fewer: --count.")
    return found


def _is_source(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    hidden = any(part.startswith(".") or part in _LEFT_BEHIND for part in parts)
    known = bool(language_row(language_of(file)).queries)
    return known and not hidden and file.is_file() and file.stat().st_size in SIZES


def _is_written(file: Path) -> bool:
    text = _read(file)
    made = is_generated_name(file.name) or is_generated(text) or is_minified(text)
    language = language_of(file)
    return not made and bool(stretches(text, random.Random(0), 1, language, prose(text, language)))


def _copied(folder: Path, target: Path) -> Path:
    root = target / folder.name
    if not root.exists():
        ignore = shutil.ignore_patterns(*_LEFT_BEHIND)
        shutil.copytree(folder, root, ignore=ignore, symlinks=True)
        (root / ".git").mkdir()  # what makes a folder a repository
    return root


def _read(file: Path) -> str:
    return file.read_text("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
