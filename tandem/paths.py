"""Where Tandem keeps things outside the project: cache, state and configuration folders.

`TANDEM_HOME` puts all three under one folder; tests and portable installs use it.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import platformdirs


def home() -> Path | None:
    """The folder that `TANDEM_HOME` names, if it is set."""
    value = os.environ.get("TANDEM_HOME")
    return Path(value) if value else None


def _folder(kind: str, default: Callable[[str], str]) -> Path:
    folder = home()
    return folder / kind if folder else Path(default("tandem"))


def cache_dir() -> Path:
    """Things that can be fetched or made again: models, indexes."""
    return _folder("cache", platformdirs.user_cache_dir)


def state_dir() -> Path:
    """What happened and what cannot be fetched again: traces, the engine's address, trust, adapters."""
    return _folder("state", platformdirs.user_state_dir)


def config_dir() -> Path:
    """What the user wrote: `config.toml`."""
    return _folder("config", platformdirs.user_config_dir)


def models_dir() -> Path:
    return cache_dir() / "models"


def kernels_dir() -> Path:
    """The engine's compiled kernels. `TANDEM_KERNELS` moves them: several homes can share them."""
    value = os.environ.get("TANDEM_KERNELS")
    return Path(value) if value else cache_dir() / "kernels"


def index_dir() -> Path:
    """Repository indexes, one database a workspace."""
    return cache_dir() / "index"


def packed_dir() -> Path:
    """Weights in the form that the engine's kernels read."""
    return cache_dir() / "packed"


def adapters_dir() -> Path:
    return state_dir() / "adapters"


def gateway_adapters_dir() -> Path:
    """The adapters that a gateway of this user was sent."""
    return state_dir() / "gateway" / "adapters"


def user_config_file() -> Path:
    return config_dir() / "config.toml"


def trace_file() -> Path:
    return state_dir() / "trace.jsonl"


def daily_file() -> Path:
    """Each day's counts, which outlive the trace that they are of."""
    return state_dir() / "stats.json"


def private_dir(path: Path) -> Path:
    """Make a folder that only this user may enter, and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w", permissions: int = 0o600) -> Iterator[IO]:
    """Write a file that appears whole or not at all.

    The text goes to a sibling file first and is renamed over `path` only if the block ends
    without an exception.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(permissions)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
