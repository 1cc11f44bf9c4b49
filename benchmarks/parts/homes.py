"""User folders of the rows of a replay: a trace and choices of one's own, one engine for all.

FOLDER/cache     models and packed weights (links to the user's), indexes made here
FOLDER/engine    addresses of the engines that the rows share
FOLDER/rows/N    TANDEM_HOME of a row
"""

import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from completion.engine import background
from completion.index import Indexer
from tandem import config, paths, progress
from tandem.config import Config

# Tokens left free in the engine's context, and token ids that every vocabulary has.
SPARE_TOKENS, IDS = 16, range(100, 400)


@dataclass(frozen=True)
class Home:
    """Of one row."""

    folder: Path

    @property
    def trace(self) -> Path:
        return self.folder / "state" / "trace.jsonl"

    def environment(self) -> dict[str, str]:
        """This process's, with these user folders."""
        return {**os.environ, "TANDEM_HOME": str(self.folder)}


@contextlib.contextmanager
def homes(folder: Path, settings: Sequence[Mapping[str, Any]]) -> Iterator[list[Home]]:
    """User folders for rows with these settings, their engines running until the block ends.

    Raises ModelError, EngineError or ConfigError.
    """
    cache, engines = folder / "cache", folder / "engine"
    (cache / "packed").mkdir(parents=True)
    engines.mkdir()
    # Weights are found again, those of a row that packs others do not stay.
    for file in paths.packed_dir().glob("*.packed"):
        (cache / "packed" / file.name).symlink_to(file.resolve())
    (cache / "models").symlink_to(paths.models_dir().resolve(), target_is_directory=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_set("TANDEM_KERNELS", str(paths.kernels_dir().resolve())))
        found = [_home(folder / "rows" / str(n), cache, engines) for n in range(len(settings))]
        stack.enter_context(_set("TANDEM_HOME", str(found[0].folder)))
        configs = [config.load(None, options) for options in settings]
        for one in {background.files_for(one): one for one in configs}.values():
            stack.callback(background.stop, one)
            background.ensure(one)
        yield found


@contextlib.contextmanager
def seated(
    folder: Path,
    settings: Sequence[Mapping[str, Any]],
    roots: Iterable[Path],
    tell: progress.Tell,
) -> Iterator[list[Home]]:
    """As `homes`, with the repositories at `roots` indexed: all that a language server needs."""
    with homes(folder, settings) as found:
        for root in dict.fromkeys(roots):
            Indexer(root).update(partial(tell, f"indexing {root.name}"))
        yield found


def forget(configs: Sequence[Config], seed: int) -> None:
    """Have the engines read one prompt as long as their context, of nothing in particular: no
    cached prompt that one row has left helps the next."""
    rng = random.Random(seed)
    for one in {background.files_for(one): one for one in configs}.values():
        address = background.find(one)
        assert address is not None, "the engines run"
        headers = {"Authorization": f"Bearer {address.token}"}
        with httpx.Client(headers=headers, timeout=120, trust_env=False) as client:
            [model] = client.get(f"{address.url}/models").raise_for_status().json()["data"][:1]
            count = model["context_length"] - SPARE_TOKENS
            prompt = rng.choices(IDS, k=count)
            body = {"model": model["id"], "prompt": prompt, "max_tokens": 1}
            client.post(f"{address.url}/completions", json=body).raise_for_status()


def _home(folder: Path, cache: Path, engines: Path) -> Home:
    (folder / "config").mkdir(parents=True)
    (folder / "state").mkdir(mode=0o700)
    (folder / "cache").symlink_to(cache, target_is_directory=True)
    (folder / "state" / "engine").symlink_to(engines, target_is_directory=True)
    return Home(folder)


@contextlib.contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
