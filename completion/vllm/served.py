"""What vLLM serves: a folder that it can load, and copies of the adapters that go with it.

The shipped model is a base and a difference that only our engine merges at load, so it is
exported once into the cache. An adapter is copied under a name with its hash: vLLM keeps prompts'
caches by an adapter's path, and must not take an old version's for a new one's.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from completion import adapters, families, lora, manifest, models
from completion.engine import shipped
from completion.manifest import InstalledModel, Progress, silent
from completion.vllm import settings
from completion.vllm.lent import Lends
from tandem import paths
from tandem.errors import ModelError, TandemError, UsageError

# A name, and what tells the folder or raises.
Named = tuple[str, Callable[[], Path]]


@dataclass(frozen=True)
class Model:
    """`name` is what adapters call their base, `source` the folder they were trained on, and
    `folder` what vLLM loads, which is not there before `made`."""

    name: str
    source: Path
    folder: Path
    exported: InstalledModel | None = None
    dtype: str = ""

    def made(self, progress: Progress = silent) -> "Model":
        """Blocking; exports the model if that was not done yet. Raises ModelError."""
        if self.exported is not None:
            from completion.engine.export import export  # imports torch

            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f"{self.folder}.lock"):
                if not self.folder.is_dir():
                    difference = shipped.of(self.exported)
                    export(self.exported, self.folder, difference, self.dtype, progress)
        return self


@dataclass(frozen=True)
class Adapter:
    """A copy that nobody changes."""

    name: str
    folder: Path
    rank: int


def find(wanted: settings.Settings, default: str) -> Model:
    """The model that the settings name, else the one named `default`.

    Raises ModelError if it is not there, or is not quantised as the settings say.
    """
    name = wanted.model or default
    folder = Path(name).expanduser()
    if folder.is_dir() and not _runs_here(folder):  # vLLM knows more families than we do
        model = Model(folder.resolve().name, folder.resolve(), folder.resolve())
    else:
        found = models.resolve(name)
        model = Model(found.name, found.folder, found.folder)
        if (difference := shipped.of(found)) is not None:
            dtype = "float32" if wanted.dtype == "float32" else "bfloat16"
            facts = f"{difference.facts.base_sha256} {difference.facts.data_sha256} {dtype}"
            digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
            place = _folder() / "models" / f"{found.name}-{dtype}-{digest}"
            model = Model(found.name, found.folder, place, found, dtype)
    _check_quantization(model, wanted.quantization)
    if (small := wanted.speculation.model) is not None:
        families.read_json(small.expanduser() / "config.json")
    return model


def adapters_of(
    model: Model, wanted: settings.Adapters, copies: Path
) -> tuple[list[Adapter], list[str]]:
    """Those that can be served, by name, and a line for each that cannot. `copies` is the folder
    of one server for their copies. Blocking: hashes them and their base at first."""
    found: dict[str, Adapter] = {}
    problems = []
    for name, take in (*_of_store(model, wanted), *_of_settings(model, wanted)):
        try:
            found[name] = _copied(take(), name, model, copies)
        except (TandemError, OSError) as error:
            problems.append(f"The adapter {name} is left out: {error}")
    return sorted(found.values(), key=lambda one: one.name), problems


def lends(model: Model, wanted: settings.Adapters, cpu: bool) -> Lends | None:
    """What others may have loaded, if anything. Blocking: may have to hash the weights."""
    if wanted.adapter_folder is None:
        return None
    base = adapters.Base.of(model.name, model.source)
    shapes = model.folder if _runs_here(model.source) and not _quantization(model.source) else None
    return Lends(
        folder=wanted.adapter_folder.expanduser().absolute(),
        room=wanted.lent if cpu else 0,
        most_rank=wanted.most_rank,
        base=base.name,
        base_hash=base.hash,
        shapes=shapes,
    )


def stamp(wanted: settings.Adapters) -> tuple:
    """Changes when the adapters there are change; cheap."""
    names = adapters.names() if wanted.store else []
    stamps: list[tuple] = [(name, *adapters.stamp(name)) for name in names]
    for name, folder in wanted.folders.items():
        file = folder.expanduser() / lora.WEIGHTS
        stamps.append((name, file.stat().st_mtime_ns if file.is_file() else 0))
    return tuple(stamps)


def prune(copies: Path, kept: list[Adapter]) -> None:
    """Delete the copies of adapters as they were once."""
    for folder in copies.iterdir() if copies.is_dir() else []:
        if folder not in {one.folder for one in kept}:
            shutil.rmtree(folder, ignore_errors=True)


def largest_rank(found: list[Adapter], least: int = 1) -> int:
    """The smallest of vLLM's sizes that takes them all."""
    return settings.rank_for(max([least, *(one.rank for one in found)]))


def _of_store(model: Model, wanted: settings.Adapters) -> Iterator[Named]:
    if not wanted.store:
        return
    ours = [one for one in adapters.installed() if one.manifest.base == model.name]
    if not ours:  # what follows may have to hash the weights
        return
    base = adapters.Base.of(model.name, model.source)
    for one in ours:
        name = one.name

        def take(name: str = name) -> Path:
            return adapters.resolve(name, base, thorough=True).folder

        yield name, take


def _of_settings(model: Model, wanted: settings.Adapters) -> Iterator[Named]:
    for name, folder in wanted.folders.items():

        def take(name: str = name, folder: Path = folder) -> Path:
            adapters.folder_of(name)  # a name like those of the store's
            if _runs_here(model.source) and not _quantization(model.source):
                # vLLM 0.32 takes tensors of another model's shapes without a word.
                lora.examine(folder.expanduser(), model.source)
            return folder.expanduser()

        yield name, take


def _copied(source: Path, name: str, model: Model, copies: Path) -> Adapter:
    """Raises ModelError for what vLLM could not load, or should not."""
    if name == model.name:
        raise UsageError("the model itself has that name.", "Rename the adapter.")
    rank = lora.rank_of(source)
    if rank > settings.RANKS[-1]:
        raise ModelError(
            f"its rank {rank} is above {settings.RANKS[-1]}.", "Tune one of a lower rank."
        )
    files = (lora.CONFIG, lora.WEIGHTS)
    digest = hashlib.sha256("".join(manifest.sha256(source / file) for file in files).encode())
    place = copies / f"{name}-{digest.hexdigest()[:12]}"
    if not place.is_dir():
        copies.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=copies, prefix=".partial-"))
        for file in files:
            shutil.copyfile(source / file, partial / file)
        try:
            partial.rename(place)
        except OSError:  # another process was first
            shutil.rmtree(partial)
    return Adapter(name, place, rank)


def _runs_here(folder: Path) -> bool:
    names = families.read_json(folder / "config.json").get("architectures") or []
    return any(name in families.FAMILIES for name in names)


def _check_quantization(model: Model, wanted: str) -> None:
    """fp8 can be made at load; the others are how a checkpoint was written."""
    method = _quantization(model.source)
    if wanted in ("awq", "gptq") and not method.startswith(wanted):
        told = f"its files are {method}" if method else "its files are not quantised"
        raise ModelError(
            f"{model.name} cannot be served as {wanted}: {told}.",
            f"Name the folder of a {wanted.upper()} checkpoint.",
        )


def _quantization(folder: Path) -> str:
    """How its weights are quantised; empty if they are not."""
    config = families.read_json(folder / "config.json").get("quantization_config") or {}
    return str(config.get("quant_method") or "").lower()


def _folder() -> Path:
    return paths.cache_dir() / "vllm"
