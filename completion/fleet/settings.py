"""Settings of `tandem serve --backend ray`: one TOML file, `fleet.toml` beside `config.toml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from completion import settings_file
from tandem import paths

PORT = 8017


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Scaling(_Table):
    """Between `least` and `most` replicas, so that each has about `ongoing` requests under way, in
    the mean of the last `look_seconds`.

    More are started after `up_seconds` above that, and fewer after `down_seconds` below it.
    """

    least: int = Field(default=1, ge=1, le=1024)
    most: int = Field(default=1, ge=1, le=1024)
    ongoing: float = Field(default=4, gt=0)
    look_seconds: float = Field(default=30, ge=1)
    up_seconds: float = Field(default=15, ge=0)
    down_seconds: float = Field(default=600, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "Scaling":
        if self.least > self.most:
            raise ValueError("`least` is above `most`")
        return self


class Adapters(_Table):
    """Of vLLM replicas: those of the store that were tuned on the model, and `folders` by name. A
    replica loads one when it is first asked for and holds `each` at once, none if that is 0; their
    rank is at most `most_rank`. On a CPU `each` is how many one replica may ever load. The embedded
    engine's are those of the store.

    Below `adapter_folder` whoever has the token, a gateway for instance, may have others loaded, by
    replicas of either kind."""

    store: bool = True
    folders: dict[str, Path] = {}
    each: int = Field(default=8, ge=0, le=1024)
    most_rank: int = Field(default=64, ge=1, le=512)
    adapter_folder: Path | None = None


class Settings(_Table):
    """`environment` is the virtual environment that has Ray (and vLLM, or Tandem). `replica` is what
    answers: `embedded` is our engine, `vllm` is Ray Serve LLM. `address` is a Ray cluster's; without
    it one is started on this machine and ends with us. `cpus` and `gpus` are of one replica.
    `busiest` is how many requests a replica takes at once, `drain_seconds` how long those under way
    may go on when it ends. `engine` are arguments of vLLM's engine, or settings `engine.*` of ours,
    and `variables` the environment of vLLM replicas."""

    environment: Path | None = None
    replica: Literal["embedded", "vllm"] = "embedded"
    model: str = ""
    address: str = ""
    host: str = "127.0.0.1"
    port: int = Field(default=PORT, ge=0, le=65535)
    allow_remote: bool = False
    hosts: list[str] = []
    cpus: float = Field(default=1, ge=0)
    gpus: float = Field(default=0, ge=0)
    busiest: int = Field(default=32, ge=1)
    drain_seconds: float = Field(default=30, ge=1)
    start_minutes: float = Field(default=30, gt=0)
    scaling: Scaling = Field(default_factory=Scaling)
    adapters: Adapters = Field(default_factory=Adapters)
    engine: dict[str, str | int | float | bool] = {}
    variables: dict[str, str] = {}

    @model_validator(mode="after")
    def _adapters_where_they_can_be(self) -> "Settings":
        others = self.adapters.model_fields_set - {"adapter_folder", "most_rank"}
        if others and self.replica != "vllm":
            told = f"adapters.{min(others)} is of vllm replicas"
            raise ValueError(f"{told}; the embedded engine takes all of the store's")
        if self.adapters.adapter_folder and not self.adapters.each:
            raise ValueError("adapters.each is 0, so that none can be lent from adapter_folder")
        return self


def default_file() -> Path:
    return paths.config_dir() / "fleet.toml"


def load(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The file's settings under the flags that were given.

    Raises ConfigError for a named file that is not there, and for what cannot be used.
    """
    place = file or default_file()
    values = settings_file.read(place, must_exist=file is not None)
    return settings_file.validated(Settings, {**values, **(flags or {})}, place, "docs/ray.md")
