"""Settings of `tandem serve --backend vllm`: one TOML file, `vllm.toml` beside `config.toml`.

Read at start; a missing file means the defaults. Flags of the command go before the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from completion import settings_file
from tandem import paths

PORT = 8017
# What vLLM sizes its buffers for; an adapter of a rank between two takes the larger.
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
Method = Literal["off", "ngram", "suffix", "eagle3", "draft"]
# CPU kernels read the cache in rows of so many tokens.
CPU_BLOCK = 32


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Speculation(_Table):
    """Guessed tokens that the model checks several at a time. The text stays the same.

    `ngram` guesses from the prompt, `suffix` also from earlier answers (its package is
    arctic-inference), `eagle3` and `draft` by the small model in the folder `model`. Of each
    `judge_after` guessed tokens the share that was right is looked at: below `least_accepted`
    (0 to 1; without it what the method needs to pay) speculation is turned off.
    """

    method: Method = "ngram"
    tokens: int = Field(default=5, ge=1, le=32)
    model: Path | None = None
    least_accepted: float | None = Field(default=None, ge=0, le=1)
    judge_after: int = Field(default=5000, ge=1)

    @model_validator(mode="after")
    def _model_where_needed(self) -> "Speculation":
        needs = self.method in ("eagle3", "draft")
        if needs and self.model is None:
            raise ValueError(f"{self.method} needs `model`, the folder of the small model")
        if not needs and self.model is not None and self.method != "off":
            raise ValueError(f"{self.method} takes no `model`")
        return self


class Adapters(_Table):
    """Adapters that are served by their names: those of the store, and `folders` by name.

    `slots` is how many may be in use in one pass, 0 for as many as there are; `spare` is room
    for those that come while the server runs. Below `adapter_folder` whoever has the token, a
    gateway for instance, may have others loaded, up to `lent` of them and of the rank `most_rank`.
    """

    store: bool = True
    folders: dict[str, Path] = {}
    slots: int = Field(default=0, ge=0, le=1024)
    spare: int = Field(default=2, ge=0, le=64)
    adapter_folder: Path | None = None
    lent: int = Field(default=8, ge=1, le=1024)
    most_rank: int = Field(default=64, ge=1, le=512)


class Settings(_Table):
    """All of the file. 0 and "" leave a choice to vLLM.

    `environment` is the folder of a virtual environment with vLLM. `model` is a name in the store
    or a folder, without it the model of `config.toml`; `name` what it is served by. `quantization`
    is how its weights are stored (awq, gptq) or will be made at load (fp8). `memory` is the share
    of a GPU that vLLM takes, `cache_gb` the size of the KV cache on a CPU. `sequences` and
    `batch_tokens` bound one pass. `start_minutes` is how long loading may take, `drain_seconds`
    how long running requests may go on when it ends. `hosts` are names by which a proxy before it
    is asked. `more` are further arguments of `vllm serve`.
    """

    environment: Path | None = None
    model: str = ""
    name: str = ""
    host: str = "127.0.0.1"
    port: int = Field(default=PORT, ge=0, le=65535)
    allow_remote: bool = False
    hosts: list[str] = []
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["", "awq", "gptq", "fp8"] = ""
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    context: int = Field(default=0, ge=0)
    memory: float = Field(default=0.9, gt=0, le=1)
    cache_gb: int = Field(default=2, ge=1)
    block: int = Field(default=0, ge=0)
    sequences: int = Field(default=0, ge=0)
    batch_tokens: int = Field(default=0, ge=0)
    prefix_caching: bool = True
    chunked_prefill: bool = True
    eager: bool = False
    tensor_parallel: int = Field(default=1, ge=1)
    data_parallel: int = Field(default=1, ge=1)
    start_minutes: float = Field(default=30.0, gt=0)
    drain_seconds: int = Field(default=30, ge=1)
    speculation: Speculation = Field(default_factory=Speculation)
    adapters: Adapters = Field(default_factory=Adapters)
    more: list[str] = []

    @model_validator(mode="after")
    def _no_secret_in_arguments(self) -> "Settings":
        if any(argument.split("=")[0] == "--api-key" for argument in self.more):
            raise ValueError("`more` may not hold --api-key: other users see a command's arguments")
        return self


def rank_for(rank: int) -> int:
    """The smallest of vLLM's sizes that takes it, or the largest."""
    return next((size for size in RANKS if size >= rank), RANKS[-1])


def default_file() -> Path:
    return paths.config_dir() / "vllm.toml"


def load(file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The file's settings under the flags that were given.

    Raises ConfigError for a named file that is not there, and for what cannot be used.
    """
    place = file or default_file()
    values = settings_file.read(place, must_exist=file is not None)
    for key, value in (flags or {}).items():
        if isinstance(value, Mapping):
            value = {**values.get(key, {}), **value}
        values[key] = value
    return settings_file.validated(Settings, values, place, "docs/vllm.md")
