"""Settings of each workspace folder, from the editor and from files.

Files are looked at again whenever settings are asked for, so that a saved `.tandem.toml`, a
`git checkout` and `tandem trust` count at once. What cannot be read leaves the settings as they
were; with none yet, suggestions stay off, because the broken file may be the one saying so.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tandem import paths
from tandem.config import REPO_FILE, CompletionConfig, Config, load
from tandem.errors import ConfigError
from tandem.workspace import root_of

SECTION = "tandem"

_Stamp = tuple[int, int] | None  # of a file: when it was written, and its size
_Stamps = tuple[_Stamp, _Stamp]


@dataclass
class _Loaded:
    stamp: tuple[Any, ...]
    config: Config


@dataclass(frozen=True)
class _Given:
    """Options from the editor, each layer over the one before it."""

    command_line: Mapping[str, Any]
    initial: Mapping[str, Any] = field(default_factory=dict)
    pushed: Mapping[str, Any] = field(default_factory=dict)
    pulled: Mapping[Path | None, Mapping[str, Any]] = field(default_factory=dict)


class Settings:
    """Which settings a document has. `tell` shows one line to the user."""

    def __init__(self, options: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        self._given = _Given(options)
        self._good: _Given | None = None
        self._folders: list[Path] = []
        self._loaded: dict[Path | None, _Loaded] = {}
        self._revision = 0
        self._tell = tell
        self._told: set[tuple[str, int]] = set()

    @property
    def folders(self) -> list[Path]:
        return self._folders

    @folders.setter
    def folders(self, folders: Iterable[Path]) -> None:
        self._folders = list(folders)
        self._loaded.clear()

    def initialize(self, options: Any) -> None:
        """Take `initializationOptions`."""
        self._change(replace(self._given, initial=self._mapping(options)))

    def push(self, options: Any) -> None:
        """Take the settings of a `workspace/didChangeConfiguration`."""
        self._change(replace(self._given, pushed=self._mapping(options)))

    def pull(self, answers: Mapping[Path | None, Any]) -> None:
        """Take the answers to a `workspace/configuration`, by folder; None is for all others."""
        pulled = {folder: self._mapping(answer) for folder, answer in answers.items()}
        self._change(replace(self._given, pulled=pulled))

    def of(self, path: Path) -> Config:
        """The settings for a document: those of the deepest folder that contains it."""
        return self._config(self._place(path), _user_stamps())

    def of_and_current(self, path: Path) -> tuple[Config, list[Config]]:
        """Both, with each file looked at once."""
        own, user = self._place(path), _user_stamps()
        config = self._config(own, user)
        return config, [
            config if place == own else self._config(place, user) for place in self._places()
        ]

    def _place(self, path: Path) -> Path | None:
        folder = self.folder_of(path)
        return path.parent if folder is None and path.is_absolute() else folder

    def folder_of(self, path: Path) -> Path | None:
        """The deepest folder of the workspace that contains a document; the first one for a
        document without a place."""
        if not path.is_absolute():
            return self._folders[0] if self._folders else None
        containing = [folder for folder in self._folders if path.is_relative_to(folder)]
        return max(containing, key=lambda folder: len(folder.parts), default=None)

    def current(self) -> list[Config]:
        """The settings of every folder and of every place asked for since folders changed."""
        user = _user_stamps()
        return [self._config(place, user) for place in self._places()]

    def _places(self) -> list[Path | None]:
        places: list[Path | None] = [*self._folders] or [None]
        return list(dict.fromkeys([*places, *self._loaded]))

    def _config(self, place: Path | None, user: _Stamps) -> Config:
        """`user`: stamps of the user's own files."""
        repository = root_of(place / REPO_FILE) if place else None
        own = _stamp(repository / REPO_FILE) if repository else None
        stamp = (self._revision, repository, own, *user)
        known = self._loaded.get(place)
        if known is None or known.stamp != stamp:
            known = _Loaded(stamp, self._read(place, repository, known))
            self._loaded[place] = known
        return known.config

    def _read(self, place: Path | None, repository: Path | None, known: _Loaded | None) -> Config:
        try:
            config = load(repository, self._options(place, self._given))
        except ConfigError as error:
            config = known.config if known else self._read_as_before(place, repository)
            after = "The settings stay as they were." if config else "No suggestions until then."
            self._tell_once(f"{error} {after}", self._revision)
            return config or Config(completion=CompletionConfig(enabled=False))  # pyright: ignore[reportCallIssue]
        self._good = self._given
        for notice in config.notices:
            self._tell_once(notice)
        return config.model_copy(update={"notices": []})

    def _read_as_before(self, place: Path | None, repository: Path | None) -> Config | None:
        """The settings of a place not seen yet, by the last options that could be read."""
        if self._good is None:
            return None
        try:
            config = load(repository, self._options(place, self._good))
        except ConfigError:
            return None
        return config.model_copy(update={"notices": []})

    def _options(self, place: Path | None, given: _Given) -> dict[str, Any]:
        folder = self.folder_of(place) if place else None
        pulled = given.pulled.get(folder, given.pulled.get(None, {}))
        merged: dict[str, Any] = {}
        for layer in (given.command_line, given.initial, given.pushed, pulled):
            _merge(merged, layer)
        return merged

    def _tell_once(self, message: str, revision: int = 0) -> None:
        if (message, revision) not in self._told:
            self._told.add((message, revision))
            self._tell(message)

    def _change(self, given: _Given) -> None:
        self._given = given
        self._revision += 1

    def _mapping(self, options: Any) -> Mapping[str, Any]:
        """Settings without the section's name around them and without unset values."""
        if isinstance(options, Mapping) and isinstance(options.get(SECTION), Mapping):
            options = options[SECTION]
        if options is None or options == []:
            return {}
        if not isinstance(options, Mapping):
            self._tell("The editor's settings for Tandem are no object; they are left out.")
            return {}
        return _without_none(options)


def _user_stamps() -> _Stamps:
    return _stamp(paths.user_config_file()), _stamp(paths.state_dir() / "trusted.json")


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in options.items()
        if value is not None
    }


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping):
            section = into.get(key)
            into[key] = dict(section) if isinstance(section, dict) else {}
            _merge(into[key], value)
        else:
            into[key] = value
