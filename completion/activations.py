"""Which adapter a repository uses now, and which it used before.

`paths.adapters_dir()/.active.json` is a history: one entry for each `use`, `rollback` and
`remove`. What is in use follows from it. Only `finetune.registry` writes it; a completion reads
it, so it is read again only when the file changed.
"""

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tandem import paths
from tandem.errors import ModelError

FORMAT = 1


class Entry(BaseModel):
    """One change. `name` is what a `use` began with, what a `rollback` went back to (empty: the
    base), or what a `remove` took away. `overridden` are the gate's reasons that --force left
    out of account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["use", "rollback", "remove"]
    name: str
    repository: str
    model: str
    time: str
    overridden: list[str] = []


class History(BaseModel):
    """Oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = FORMAT
    entries: list[Entry] = []


def file() -> Path:
    return paths.adapters_dir() / ".active.json"


def active_for(repository: Path, model: str) -> str | None:
    """The adapter in use for a repository over a base model. Never raises: a file that cannot
    be read means none."""
    try:
        entries = history()
        return active(entries, key(repository), model) if entries else None
    except (ModelError, OSError):
        return None


def history() -> tuple[Entry, ...]:
    """Every change, oldest first. Raises ModelError if the file is damaged."""
    now = stamp()
    return _history(file(), now) if now else ()


def stamp() -> tuple[int, ...]:
    """Changes when the history does; empty if there is none."""
    try:
        stat = file().stat()
    except OSError:
        return ()
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def key(repository: Path) -> str:
    """A repository's name in the history: its real path."""
    return os.path.realpath(repository)


def stack(entries: Iterable[Entry], repository: str, model: str) -> list[str]:
    """The adapters that a rollback would go through; the last one is in use.

    A removed adapter that was in use leaves the base, not the one before it: nobody asked for
    that one to come back.
    """
    names: list[str] = []
    for entry in entries:
        if entry.action == "remove":
            in_use = bool(names) and names[-1] == entry.name
            names = [] if in_use else [name for name in names if name != entry.name]
        elif (entry.repository, entry.model) != (repository, model):
            continue
        elif entry.action == "use":
            if names[-1:] != [entry.name]:
                names.append(entry.name)
        else:
            while names and names[-1] != entry.name:
                names.pop()
    return names


def active(entries: Iterable[Entry], repository: str, model: str) -> str | None:
    names = stack(entries, repository, model)
    return names[-1] if names else None


def in_use(entries: Iterable[Entry]) -> dict[tuple[str, str], str]:
    """The adapter in use by (repository, model)."""
    entries = list(entries)
    places = dict.fromkeys((entry.repository, entry.model) for entry in entries if entry.repository)
    found = {place: active(entries, *place) for place in places}
    return {place: name for place, name in found.items() if name}


@lru_cache(maxsize=4)
def _history(path: Path, stamp: tuple[int, ...]) -> tuple[Entry, ...]:
    try:
        return tuple(History.model_validate_json(path.read_bytes()).entries)
    except (OSError, ValidationError):
        raise ModelError(
            f"{path} is damaged; no repository uses an adapter.",
            "Remove that file and run: tandem adapters use NAME",
        ) from None
