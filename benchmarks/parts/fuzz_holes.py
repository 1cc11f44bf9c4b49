"""Holes in real files, and the worst that a model may answer there. All of a seed.

The holes are cut anywhere that a cursor may stand, along no syntax tree: inside words, strings
and comments too.
"""

import random
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks import common
from completion.document import language_of
from finetune.holes import holes

# Languages that count as one.
GROUPS = {
    "javascriptreact": "javascript",
    "typescriptreact": "typescript",
    "cpp": "c",
}
LARGEST = 60_000  # bytes of a file: at most 1,500 lines
SMALLEST = 400
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Spot:
    """`text[start:end]` is cut out of a file."""

    path: Path
    language: str
    text: str
    start: int
    end: int

    @property
    def prefix(self) -> str:
        return self.text[: self.start]

    @property
    def middle(self) -> str:
        return self.text[self.start : self.end]

    @property
    def suffix(self) -> str:
        return self.text[self.end :]

    @property
    def group(self) -> str:
        return GROUPS.get(self.language, self.language)


def files_by_group(folders: Sequence[Path], wanted: Sequence[str]) -> dict[str, list[Path]]:
    """Text files of code of the wanted groups, in a fixed order."""
    found: dict[str, list[Path]] = {group: [] for group in wanted}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            group = GROUPS.get(language_of(path), language_of(path))
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            wanted_one = group in found and not hidden and path.is_file()
            if wanted_one and SMALLEST < path.stat().st_size < LARGEST:
                found[group].append(path)
    return {group: paths for group, paths in found.items() if paths}


def spots(paths: Sequence[Path], count: int, rng: random.Random) -> Iterator[Spot]:
    """So many holes, at most three a visit of a file."""
    made = 0
    while made < count:
        path, text = _read(paths, rng)
        for _ in range(3):
            place = rng.choice(_PLACES)(text, rng)
            if place is not None and made < count:
                made += 1
                yield Spot(path, language_of(path), text, *place)


def cuts(paths: Sequence[Path], count: int, rng: random.Random) -> Iterator[Spot]:
    """So many holes as a cursor meets them: the rest of a line, what a tree's node held."""
    made = 0
    while made < count:
        path, text = _read(paths, rng)
        for hole in holes(text, language_of(path), rng, min(2, count - made)):
            made += 1
            yield Spot(path, language_of(path), text, hole.start, hole.end)


def _read(paths: Sequence[Path], rng: random.Random) -> tuple[Path, str]:
    while True:
        path = rng.choice(paths)
        try:
            return path, read(path)
        except UnicodeDecodeError:
            continue


def read(path: Path) -> str:
    """Raises UnicodeDecodeError."""
    return path.read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


Place = tuple[int, int] | None


def _line(text: str, rng: random.Random) -> tuple[int, int]:
    """A random line's first and last character but its indentation."""
    at = rng.randrange(len(text))
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    end = end if end >= 0 else len(text)
    return end - len(text[start:end].lstrip()), end


def _rest_of_line(text: str, rng: random.Random) -> Place:
    start, end = _line(text, rng)
    return (rng.randrange(start, end), end) if start < end else None


def _span(text: str, rng: random.Random) -> Place:
    start, end = _line(text, rng)
    edges = [start + match.start() for match in _WORD.finditer(text[start:end])] + [end]
    low, high = sorted((rng.choice(edges), rng.choice(edges)))
    return (low, high) if low < high else None


def _lines(text: str, rng: random.Random) -> Place:
    start, end = _line(text, rng)
    for _ in range(rng.randrange(4)):
        newline = text.find("\n", end + 1)
        end = newline if newline >= 0 else len(text)
    return (start, end) if text[start:end].strip() else None


def _anywhere(text: str, rng: random.Random) -> Place:
    start = rng.randrange(len(text))
    return start, min(len(text), start + rng.randint(1, 60))


def _brackets(text: str, rng: random.Random) -> Place:
    """Between a bracket and the next closing one."""
    opening = re.compile(r"[(\[{]").search(text, rng.randrange(len(text)))
    closing = opening and re.compile(r"[)\]}]").search(text, opening.end(), opening.end() + 200)
    return (opening.end(), closing.start()) if opening and closing else None


def _nothing(text: str, rng: random.Random) -> Place:
    """A cursor at a line's end, with nothing cut out."""
    _, end = _line(text, rng)
    return end, end


_PLACES = (_rest_of_line, _rest_of_line, _span, _span, _lines, _anywhere, _brackets, _nothing)


@lru_cache(maxsize=1)
def special_tokens() -> list[str]:
    """Those of every template, read from its file."""
    file = common.REPOSITORY / "completion" / "templates.toml"
    rows = tomllib.loads(file.read_text("utf-8"))["template"]
    return sorted({word for row in rows for word in (*row["sentinels"], *row["specials"])})


def answer(spot: Spot, rng: random.Random, others: Sequence[str]) -> tuple[str, str, bool]:
    """What a bad model may say here: how it is made, the text, and whether the model ended it.

    `others` are middles of other holes.
    """
    names = rng.sample(list(_MAKERS), rng.choice((1, 1, 1, 2, 3)))
    text = spot.middle if rng.random() < 0.8 or not others else rng.choice(others)
    for name in names:
        text = _MAKERS[name](text, spot, rng)
    ended = rng.random() < 0.7
    if not ended and text:
        text = text[: rng.randint(1, len(text))]
    return " + ".join(names), text, ended


def _then_suffix(text: str, spot: Spot, rng: random.Random) -> str:
    return text + spot.suffix[: rng.choice((20, 200, 1000))]


def _then_part_of_suffix(text: str, spot: Spot, rng: random.Random) -> str:
    words = list(_WORD.finditer(spot.suffix[:200]))[: rng.randint(1, 8)]
    return text + spot.suffix[: words[-1].end() if words else 0]


def _then_lines_below(text: str, spot: Spot, rng: random.Random) -> str:
    below = [line for line in spot.suffix.split("\n")[1:12] if line.strip()]
    return "\n".join([text, *below[: rng.randint(1, 4)]])


def _extra_closers(text: str, spot: Spot, rng: random.Random) -> str:
    at = rng.choice((len(text), rng.randint(0, len(text))))
    return text[:at] + "".join(rng.choices(")]}\"'`", k=rng.randint(1, 3))) + text[at:]


def _extra_openers(text: str, spot: Spot, rng: random.Random) -> str:
    at = rng.choice((len(text), rng.randint(0, len(text))))
    opening = rng.choice(("(", "[", "{", '"', "'", "`", '"""', "foo(", "[1, (2", "/*", "//", "#"))
    return text[:at] + opening + text[at:]


def _special_token(text: str, spot: Spot, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice((*special_tokens(), "<|unheard_of|>")) + text[at:]


def _loop(text: str, spot: Spot, rng: random.Random) -> str:
    lines = text.split("\n")
    piece = rng.choice((lines[-1], text, " ".join(text.split()[-3:]) + ", "))
    return text + rng.choice(("", "\n", " ")).join([piece] * rng.randint(3, 30))


def _other_indentation(text: str, spot: Spot, rng: random.Random) -> str:
    space = rng.choice(("  ", "    ", "\t", "        ", " ", "\t  "))
    if rng.random() < 0.5:
        return space + text.replace("\n", "\n" + space)
    return re.sub(r"\n[ \t]+", lambda _: "\n" + rng.choice(("", space)), text)


def _lines_above(text: str, spot: Spot, rng: random.Random) -> str:
    above = spot.prefix.split("\n")[-1 - rng.randint(1, 8) :]
    return "\n".join(above).lstrip() + text


def _cut(text: str, spot: Spot, rng: random.Random) -> str:
    low, high = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    return rng.choice((text[:high], text[low:high], text[:low] + text[high:]))


def _untouched(text: str, spot: Spot, rng: random.Random) -> str:
    return text


_MAKERS = {
    "as it was": _untouched,
    "then the suffix": _then_suffix,
    "then part of the suffix": _then_part_of_suffix,
    "then lines below": _then_lines_below,
    "extra closers": _extra_closers,
    "extra openers": _extra_openers,
    "special token": _special_token,
    "loop": _loop,
    "other indentation": _other_indentation,
    "lines above": _lines_above,
    "cut": _cut,
}
