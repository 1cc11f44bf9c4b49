"""Holes in held-out code, on which models are compared: the text around, and what was in it."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from completion.hole import Kind
from completion.templates import Snippet
from finetune.holes import SHARES, holes
from tandem import paths

FORMAT = 1


@dataclass(frozen=True)
class Case:
    """One hole. `cut` tells how it was chosen, `kind` what inference reads the place as.

    `path` is relative to its repository or package; `source` names that.
    """

    source: str
    path: str
    language: str
    prefix: str
    middle: str
    suffix: str
    cut: str
    kind: Kind
    snippets: tuple[Snippet, ...] = ()

    @property
    def lines(self) -> int:
        return self.middle.count("\n") + 1


def cases_in(
    files: Sequence[tuple[str, str, str]],
    language: str,
    count: int,
    seed: int,
    shares: dict[str, float] = SHARES,
) -> Iterator[Case]:
    """`count` holes of files given as (source, path, text), at most one a file until all had one.

    Deterministic in its arguments; all different, and fewer if a few rounds find no other.
    """
    rng = random.Random(seed)
    seen: set[tuple[str, str, int, int]] = set()
    made, idle = 0, 0
    while made < count and idle < 3:
        found = 0
        for source, path, text in rng.sample(files, len(files)):
            for hole in holes(text, language, rng, 1, shares):
                place = (source, path, hole.start, hole.end)
                if place in seen:
                    continue
                seen.add(place)
                prefix, suffix = text[: hole.start], text[hole.end :]
                middle = text[hole.start : hole.end]
                yield Case(source, path, language, prefix, middle, suffix, hole.cut, hole.kind)
                made, found = made + 1, found + 1
            if made >= count:
                return
        idle = 0 if found else idle + 1


def save(cases: Iterable[Case], file: Path) -> None:
    with paths.atomic_write(file) as stream:
        for case in cases:
            stream.write(json.dumps({"v": FORMAT, **asdict(case)}, ensure_ascii=False) + "\n")


def load(file: Path) -> list[Case]:
    found = []
    for line in file.read_text("utf-8").split("\n"):
        if line:
            row = json.loads(line)
            assert row.pop("v") == FORMAT
            row["snippets"] = tuple(Snippet(**snippet) for snippet in row["snippets"])
            found.append(Case(**row))
    return found
