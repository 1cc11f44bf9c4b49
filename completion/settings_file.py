"""A TOML file of settings beside `config.toml`, read and held against a pydantic model."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tandem.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def read(file: Path, must_exist: bool) -> dict[str, Any]:
    """Its tables; none of a file that is not there and need not be. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"There is no {file}.", "Name a file that exists.") from None
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"Cannot read {file}: {error}.", "Mend that file.") from None


def validated(kind: type[M], values: Mapping[str, Any], file: Path, page: str) -> M:
    """Raises ConfigError that names the file, the setting and what is wrong with it; `page` of our
    docs tells more."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        told = f"{file}{f': {where}' if where else ''}: {message}."
        raise ConfigError(told, f"See {page}.") from None
