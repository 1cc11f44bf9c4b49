"""Settings: defaults < user file < repository file < environment < flags or editor options.

A repository is somebody else's text, so its file may only make Tandem do less. A setting there
that could send code elsewhere or run something counts only after the user trusted that very
file (`tandem trust`, by content hash); until then it is left out, and `notices` says so.
"""

import contextlib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError

from tandem import paths
from tandem.errors import ConfigError
from tandem.sections import (
    RESTRAINTS,
    ChatConfig,
    CompletionConfig,
    EngineConfig,
    SandboxConfig,
    Section,
)

__all__ = ["CompletionConfig", "Config", "EngineConfig", "load", "save_user", "trust"]

REPO_FILE = ".tandem.toml"
ENV_PREFIX = "TANDEM_"
_NOT_SETTINGS = {"TANDEM_HOME", "TANDEM_DEBUG", "TANDEM_KERNELS"}


class Config(Section):
    """Everything a user can set."""

    model: str = Field(
        default="tandem-135m",
        description="A model in the store, a folder, or a name at `endpoint`.",
    )
    endpoint: str = Field(
        default="", description="An OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1."
    )
    token: SecretStr = Field(default=SecretStr(""), description="Bearer token for `endpoint`.")
    template: str = Field(
        default="", description="FIM template; empty means by the model's family."
    )
    engine: EngineConfig = Field(default_factory=EngineConfig)
    completion: CompletionConfig = Field(default_factory=CompletionConfig)
    sandbox: SandboxConfig = Field(default_factory=SandboxConfig)
    chat: ChatConfig = Field(default_factory=ChatConfig)

    notices: list[str] = Field(default_factory=list, exclude=True)


def load(
    repository: Path | None = None,
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """All layers merged. `options` are flags or editor settings, nested like `Config`.

    Raises ConfigError naming the layer and the setting that is wrong.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    notices: list[str] = []
    user_file = paths.user_config_file()
    _merge(values, _read(user_file), str(user_file))
    if repository is not None and (repository / REPO_FILE).is_file():
        file = repository / REPO_FILE
        layer, notices = _permitted(file, _read(file), values)
        _merge(values, layer, str(file))
    _merge(values, _from_environment(environment), "the environment")
    _merge(values, dict(options or {}), "the options")
    config = _validate(values, "the settings")
    config.notices = notices
    return config


def trust(file: Path) -> str:
    """Let a repository's settings file, as it is now, set everything. Returns its hash."""
    trusted = _trusted()
    digest = _digest(file)
    trusted[str(file.resolve())] = digest
    with paths.atomic_write(paths.state_dir() / "trusted.json") as stream:
        json.dump({"v": 1, "files": trusted}, stream, indent=1)
    return digest


def save_user(changes: Mapping[str, Any]) -> Path:
    """Set top-level values in the user's file, keeping its other lines and comments."""
    file = paths.user_config_file()
    merged = _read(file)
    _merge(merged, changes, "the change")
    _validate(merged, str(file))
    # Not splitlines: a string may hold U+2028 and its like, where no TOML line ends.
    lines = file.read_text("utf-8").rstrip("\n").split("\n") if file.exists() else []
    table = next((n for n, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    top = [line for line in lines[:table] if line.split("=")[0].strip() not in changes]
    top += [f"{key} = {_toml(value)}" for key, value in changes.items()]
    text = "\n".join([*top, *lines[table:]]) + "\n"
    _must_say(text, merged, file)
    with paths.atomic_write(file) as stream:
        stream.write(text)
    return file


def _toml(value: Any) -> str:
    """A string or number as TOML: as in JSON, but DEL must be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _must_say(text: str, wanted: Mapping[str, Any], file: Path) -> None:
    """Lines are edited one by one, which a value over several lines would not survive."""
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(text) == wanted:
            return
    raise ConfigError(f"Cannot change {file} without losing something.", "Edit it by hand.")


def _permitted(
    file: Path, layer: dict[str, Any], below: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """What an untrusted repository file may say: less of everything."""
    _validate(layer, str(file))
    if _trusted().get(str(file.resolve())) == _digest(file):
        return layer, []
    base = _validate(dict(below), "the settings").completion
    wanted = dict(layer.get("completion") or {})
    allowed: dict[str, Any] = {}
    for name, value in wanted.items():
        tighter = _tighter(name, getattr(base, name), value)
        if tighter is not None:
            allowed[name] = tighter
    left_out = sorted(
        [key for key in layer if key != "completion"]
        + [f"completion.{key}" for key in wanted if key not in allowed]
    )
    notices = []
    if left_out:
        notices.append(
            f"{file} is not trusted; left out: {', '.join(left_out)}. "
            f"Read it, then run: tandem trust {file}"
        )
    return {"completion": allowed} if allowed else {}, notices


def _tighter(name: str, base: Any, wanted: Any) -> Any:
    """What a repository's value makes of ours if that is less of everything, else None."""
    if isinstance(base, bool):
        return wanted if wanted is (name in RESTRAINTS) else None
    if isinstance(base, int):
        return wanted if wanted <= base else None
    if isinstance(base, list):
        return sorted({*base, *wanted})
    return wanted if wanted == "manual" else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"Cannot read {file}: {error}.", "Mend or remove that file.") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`TANDEM_MODEL=x` sets `model`, `TANDEM_ENGINE__THREADS=2` sets `engine.threads`."""
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(ENV_PREFIX) or name in _NOT_SETTINGS:
            continue
        section, *rest = name.removeprefix(ENV_PREFIX).lower().split("__")
        if section not in Config.model_fields or section == "notices":
            continue
        if not rest:
            values[section] = text
        else:
            key = "__".join(rest)
            parsed: Any = text.split(",") if key.startswith("disabled_") else text
            values.setdefault(section, {})[key] = parsed
    return values


def _merge(into: dict[str, Any], layer: Mapping[str, Any], name: str) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping):
            below = into.setdefault(key, {})
            if not isinstance(below, dict):
                raise ConfigError(f"{name}: '{key}' is no section.", "See docs/settings.md.")
            _merge(below, value, name)
        else:
            into[key] = value


def _validate(values: dict[str, Any], name: str) -> Config:
    try:
        return Config.model_validate({k: v for k, v in values.items() if k != "notices"})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{name}: {where}: {first['msg']}.", "See docs/settings.md for what can be set."
        ) from error


def _trusted() -> dict[str, str]:
    try:
        files = json.loads((paths.state_dir() / "trusted.json").read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files if isinstance(files, dict) else {}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
