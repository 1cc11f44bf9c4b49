"""What fixed what in this repository: symptom and change of each patch that a person accepted.

One file of JSON lines a workspace, in the state folder; no line holds a secret. An episode helps a
later fix in two ways: its rules are tried as a template of their own, first where the symptom is
alike, and a chat model gets it as an example. What comes of either is judged as all candidates
are: a memory proposes and proves nothing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox.patch import Patch
from sandbox.repair.catalogue import Template
from sandbox.repair.rules import Rule, rules_of
from sandbox.repair.templates.remembered import Remembered
from sandbox.symptom import MOST as MOST_SYMPTOMS
from sandbox.symptom import Symptom, likest
from tandem import paths
from tandem.errors import TandemError, UsageError
from tandem.secrets import find, redact

FORMAT = 1
KEPT = 200  # episodes of a workspace; the oldest go
LONGEST = 6_000  # characters of a kept diff
MOST_TRIED = 12  # episodes whose rules one run tries
PREFIX = "memory."
# A template's chance to be right: of an episode that has nothing in common, and of the same one.
UNLIKE, ALIKE = 0.01, 0.5


@dataclass(frozen=True)
class Episode:
    """One accepted patch. `time` is in seconds since 1970, `template` who proposed it, `rules`
    the change with its names abstracted, () where it is no small one in one place."""

    id: str
    run: str
    time: float
    path: str
    template: str
    symptoms: tuple[Symptom, ...]
    rules: tuple[Rule, ...]
    diff: str

    def as_json(self) -> dict[str, Any]:
        return {"v": FORMAT, **asdict(self)}

    @property
    def pattern(self) -> str:
        """The change in one line, for people."""
        if not self.rules:
            return self.template or "a larger change"
        rule = self.rules[0]
        old, new = (" ".join(text.split()) for text in (rule.old, rule.new))
        if rule.kind in ("before", "after"):
            return f"{new}  put {rule.kind}  {old}"
        return f"{old}  →  {new or 'nothing'}"


def remember(
    repository: Path,
    run: str,
    symptoms: Sequence[Symptom],
    files: Mapping[str, str | None],
    old: Mapping[str, str],
    template: str,
) -> Episode:
    """Keep what an accepted patch changed: new texts by path, and the old ones.

    The same change of the same run is kept once. Raises TandemError if it cannot be written.
    """
    diff = redact(Patch(files).diff(old))
    shown = diff if len(diff) <= LONGEST else f"{diff[:LONGEST]}\n…"
    rules = [
        rule
        for path, text in sorted(files.items())
        if path.endswith(".py") and text is not None and path in old
        for rule in rules_of(old[path], text)
        if not find(f"{rule.old}\n{rule.new}")
    ]
    digest = hashlib.sha256(f"{run}\0{diff}".encode("utf-8", "replace")).hexdigest()
    made = Episode(
        digest[:8],
        run,
        time.time(),
        ", ".join(sorted(files)),
        template,
        tuple(symptoms)[:MOST_SYMPTOMS],
        tuple(rules),
        shown,
    )
    with _changing(repository) as episodes:
        episodes[:] = [*(one for one in episodes if one.id != made.id), made][-KEPT:]
    return made


def known(repository: Path) -> list[Episode]:
    """The episodes of a workspace, the oldest first; lines that are none are passed over.

    Raises TandemError if the file is there and cannot be read.
    """
    file = file_of(repository)
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TandemError(f"{file} cannot be read: {error.strerror}.", "Remove it.") from error
    return [one for one in map(_parsed, lines) if one is not None]


def forget(repository: Path, id: str = "", before: float | None = None) -> int:
    """Remove one episode, those from before a time, or, with neither, all; how many went.

    Raises UsageError if there is none of that id.
    """
    with _changing(repository) as episodes:
        if id and all(one.id != id for one in episodes):
            raise UsageError(f"There is no episode {id}.", "See: tandem memory list")
        count = len(episodes)
        episodes[:] = [
            one
            for one in episodes
            if (id and one.id != id) or (before is not None and one.time >= before)
        ]
        return count - len(episodes)


def similar(
    episodes: Sequence[Episode], symptoms: Sequence[Symptom], most: int = 3, least: float = 0.3
) -> list[tuple[Episode, float]]:
    """The episodes whose symptom is likest, with how alike from 0 to 1, of equals the newest
    first; none below `least`."""
    scored = [(one, likest(one.symptoms, symptoms)) for one in episodes]
    scored = [pair for pair in scored if pair[1] >= least]
    return sorted(scored, key=lambda pair: (-pair[1], -pair[0].time))[:most]


def templates(
    episodes: Sequence[Episode], symptoms: Sequence[Symptom]
) -> tuple[dict[str, Template], dict[str, float]]:
    """The rules of the likest episodes as templates by name, and each one's prior."""
    ruled = [one for one in episodes if one.rules]
    chosen = similar(ruled, symptoms, MOST_TRIED, least=0.0)
    made: dict[str, Template] = {f"{PREFIX}{one.id}": Remembered(one.rules) for one, _ in chosen}
    priors = {f"{PREFIX}{one.id}": UNLIKE + (ALIKE - UNLIKE) * alike**2 for one, alike in chosen}
    return made, priors


def rendered(chosen: Sequence[Episode], most: int = 4_000) -> str:
    """Episodes as examples for a chat model, at most so many characters; whole ones only.

    They are data, as all that comes from a repository: whoever puts them in a prompt fences them.
    """
    parts: list[str] = []
    for one in chosen:
        symptoms = "\n".join(f"Failed with: {symptom}" for symptom in one.symptoms)
        part = f"{symptoms}\nFixed by:\n{one.diff.rstrip()}\n"
        if sum(map(len, parts)) + len(part) > most:
            break
        parts.append(part)
    return "\n".join(parts)


def file_of(repository: Path) -> Path:
    """Where a workspace's episodes are."""
    name = hashlib.sha256(os.fsencode(repository.resolve())).hexdigest()[:16]
    return paths.state_dir() / "episodes" / f"{name}.jsonl"


@contextlib.contextmanager
def _changing(repository: Path) -> Iterator[list[Episode]]:
    """The episodes, written back whole if the block changes them; one process at a time."""
    file = file_of(repository)
    try:
        paths.private_dir(file.parent)
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            episodes = known(repository)
            before = list(episodes)
            yield episodes
            if not episodes:
                file.unlink(missing_ok=True)
            elif episodes != before:
                lines = (json.dumps(one.as_json(), ensure_ascii=False) for one in episodes)
                with paths.atomic_write(file) as stream:
                    stream.write("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise TandemError(
            f"{file} cannot be written: {error.strerror}.", "Run: tandem doctor"
        ) from error


def _parsed(line: str) -> Episode | None:
    try:
        told = json.loads(line)
        if told["v"] != FORMAT:
            return None
        symptoms = tuple(Symptom.from_json(one) for one in told["symptoms"])
        rules = tuple(
            Rule(one["kind"], str(one["old"]), str(one["new"]), str(one["place"]))
            for one in told["rules"]
            if one["kind"] in ("expression", "instead", "before", "after")
        )
        id, run, path, template, diff = (
            str(told[name]) for name in ("id", "run", "path", "template", "diff")
        )
        return Episode(id, run, float(told["time"]), path, template, symptoms, rules, diff)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
