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
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from tandem import paths
from tandem.errors import ConfigError

REPO_FILE = ".tandem.toml"
ENV_PREFIX = "TANDEM_"
_NOT_SETTINGS = {"TANDEM_HOME", "TANDEM_DEBUG", "TANDEM_KERNELS"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


class EngineConfig(_Section):
    """The embedded engine."""

    dtype: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        default="auto", description="Width of the weights; auto chooses by CPU and compiler."
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="cuda: bfloat16 on an NVIDIA GPU, which we have not tried yet."
    )
    threads: int = Field(default=0, ge=0, le=256, description="Compute threads; 0 means all cores.")
    context: int = Field(
        default=2048, ge=128, le=131_072, description="Longest prompt + answer, tokens."
    )
    speculation: bool = Field(
        default=True, description="Verify guessed tokens in one pass; same text, sooner."
    )
    cache_mb: int = Field(
        default=64, ge=1, le=65_536, description="Memory for cached prompts; one always fits."
    )
    adapters: Literal["merged", "beside"] = Field(
        default="merged",
        description="merged: adapters cost no time; beside: little memory, mixed in one pass.",
    )
    batch: int = Field(
        default=8, ge=1, le=64, description="Requests that share one pass over the weights."
    )
    queue: int = Field(default=16, ge=1, le=1024, description="Waiting requests before 429.")
    idle_minutes: float = Field(
        default=30.0,
        gt=0,
        description="A background engine ends itself after this long without work.",
    )


class CompletionConfig(_Section):
    """Ghost text."""

    enabled: bool = Field(default=True, description="Off means: never ask the model.")
    disabled_languages: list[str] = Field(
        default_factory=list, description="Language ids without suggestions, e.g. markdown."
    )
    max_tokens: int = Field(default=64, ge=1, le=1024, description="Longest suggestion, in tokens.")
    max_lines: int = Field(default=12, ge=1, le=200, description="Longest suggestion, in lines.")
    prompt_tokens: int = Field(
        default=512, ge=32, le=65_536, description="Token budget of the prompt: prefix and suffix."
    )
    context_tokens: int = Field(
        default=320,
        ge=0,
        le=65_536,
        description="Token budget for pieces of other files, besides `prompt_tokens`; 0: none.",
    )
    timeout_ms: int = Field(
        default=10_000, ge=100, description="Stop waiting for the model after this long."
    )


class Config(_Section):
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
    if wanted.get("enabled") is False:
        allowed["enabled"] = False
    if "disabled_languages" in wanted:
        allowed["disabled_languages"] = sorted(
            {*base.disabled_languages, *wanted["disabled_languages"]}
        )
    for name in ("max_tokens", "max_lines", "prompt_tokens", "context_tokens", "timeout_ms"):
        if name in wanted and wanted[name] <= getattr(base, name):
            allowed[name] = wanted[name]
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
            parsed: Any = text.split(",") if key == "disabled_languages" else text
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
