"""Remove what Tandem put outside the project: models, state, adapters and settings of this user.

Nothing else is touched: only folders that hold what Tandem writes into them are removed, links
are removed and not followed, and engines are ended by the number they wrote down, after a look
whether that process is still theirs.
"""

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil
import typer

from completion.engine import background
from tandem import paths
from tandem.errors import TandemError, UsageError

# What each folder may hold. Anything else in it was not put there by us, so it stays.
_OURS = {
    "models": ("models",),
    "indexes": ("index",),
    "sandbox": ("sandbox",),
    "state": (
        "engine",
        "trace.jsonl*",
        "lsp.log*",
        "dockerd.log",
        "trusted.json",
        ".trusted.json.*",
    ),
    "adapters": ("adapters",),
    "settings": ("config.toml", ".config.toml.*"),
}


@dataclass(frozen=True)
class Place:
    """A file, link or folder of ours, with its size in bytes."""

    kind: str
    path: Path
    size: int


def found() -> list[Place]:
    """Everything of ours outside the project. Raises UsageError for a dangerous TANDEM_HOME."""
    folders = {
        "models": paths.cache_dir(),
        "indexes": paths.cache_dir(),
        "sandbox": paths.cache_dir(),
        "state": paths.state_dir(),
        "adapters": paths.state_dir(),
        "settings": paths.config_dir(),
    }
    for folder in folders.values():
        _refuse_odd(folder)
    return [
        Place(kind, path, _size(path))
        for kind, folder in folders.items()
        for pattern in _OURS[kind]
        for path in sorted(folder.glob(pattern))
    ]


def engines() -> list[psutil.Process]:
    """Background engines of this user's Tandem that run now."""
    running = []
    for file in sorted((paths.state_dir() / "engine").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):
            state = json.loads(file.read_text("utf-8"))
            process = psutil.Process(int(state["pid"]))
            # A number is given to another process one day; its start time is not.
            if abs(process.create_time() - float(state["process_started"])) < 1:
                running.append(process)
    return running


def remove(places: list[Place]) -> list[str]:
    """Delete the places, then the folders they leave empty. What could not be deleted, and why."""
    failures = []
    for place in places:
        try:
            if place.path.is_dir() and not place.path.is_symlink():
                shutil.rmtree(place.path)
            else:
                place.path.unlink(missing_ok=True)
        except OSError as error:
            failures.append(f"{error.filename or place.path}: {error.strerror}")
    for folder in (paths.cache_dir(), paths.state_dir(), paths.config_dir()):
        with contextlib.suppress(OSError):  # not there, or somebody else's file is in it
            folder.rmdir()
            if paths.home() is not None:
                folder.parent.rmdir()
    return failures


def run(yes: bool) -> None:
    """List, ask, stop the engines, remove. Raises TandemError if something stays."""
    places, running = found(), engines()
    if not places and not running:
        typer.echo("Tandem left nothing outside the project.")
        return
    for place in places:
        typer.echo(f"{place.kind:9} {place.size / 1e6:9.1f} MB  {place.path}")
    for process in running:
        typer.echo(f"{'engine':9} process {process.pid} will be stopped")
    if not yes:
        typer.confirm("Remove all of this?", abort=True)
    for process in running:
        background.end(process)
    if failures := remove(places):
        raise TandemError(f"Could not remove {'; '.join(failures)}.", "Remove it by hand.")
    typer.echo("Removed. The project's own .venv is left; its folder can be deleted.")


def _refuse_odd(folder: Path) -> None:
    """A TANDEM_HOME that is a root, the home folder or above it is a mistake."""
    home = paths.home()
    if home is None:
        return
    real, user = home.resolve(), Path.home().resolve()
    if real == Path(real.anchor) or real == user or real in user.parents:
        raise UsageError(
            f"TANDEM_HOME is {home}, which is not a folder of Tandem's own.",
            "Set it to the folder that Tandem was used with, or unset it.",
        )
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link; Tandem does not follow it.", "Remove it by hand.")


def _size(path: Path) -> int:
    if path.is_symlink():
        return 0
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())
