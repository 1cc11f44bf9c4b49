"""The adapter store: what a repository taught the model, as folders that the engine can load.

An adapter lies in `paths.adapters_dir()/NAME` as peft wrote it (`adapter_config.json`,
`adapter_model.safetensors`, see `lora`) with our manifest `tandem.json` beside it. It belongs to
the weights it was trained on: the base model's files and the shipped difference merged into
them. When either changes the adapter is stale; it is kept, listed, and not loaded.
`finetune.registry` writes the store; `activations` tells which adapter a repository uses. An engine
that is told to load a folder at run time has it in the store of that process alone (`lend`).
"""

import hashlib
import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from completion import families, lora, manifest
from tandem import paths
from tandem.errors import ModelError, UsageError

FORMAT = 1
FILE = "tandem.json"
SHIPPED = Path(__file__).parent / "shipped"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_MAX_MANIFEST = 1 << 20
# Loaded at run time: in this process these names lead elsewhere.
_lent: dict[str, Path] = {}


class Manifest(BaseModel):
    """`base` is the base model's name and `base_hash` what `base_hash` says of it; `figures` are
    those of `finetune.gate`; `repository` is the absolute path of what it was tuned on; `files`
    has the sha256 of each of peft's two files."""

    model_config = ConfigDict(frozen=True)

    v: int = FORMAT
    name: str
    base: str
    base_hash: str
    data_hash: str
    repository: str
    created: str
    recipe: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    licence: str = ""
    note: str = ""
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Adapter:
    """An adapter of the store whose manifest was read."""

    name: str
    folder: Path
    manifest: Manifest

    @property
    def created(self) -> int:
        """Seconds since 1970, by its files."""
        return int((self.folder / FILE).stat().st_mtime)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())


@dataclass(frozen=True)
class Base:
    """A base model as adapters see it: its name, its folder, the hash of its weights."""

    name: str
    folder: Path
    hash: str

    @classmethod
    def of(cls, name: str, folder: Path) -> "Base":
        """Raises ModelError if the folder holds no weights."""
        return cls(name, folder, base_hash(folder, shipped_file(name)))


class StaleAdapter(ModelError):
    """The base model has changed since the adapter was trained."""


def installed() -> list[Adapter]:
    """The adapters with a readable manifest, by name; nothing else of them is checked."""
    found = []
    for name in names():
        try:
            found.append(read(name))
        except ModelError:
            continue
    return found


def names() -> list[str]:
    """Every adapter's name, damaged ones too."""
    root = paths.adapters_dir()
    folders = [*root.iterdir()] if root.is_dir() else []
    return sorted({f.name for f in folders if _NAME.fullmatch(f.name) and f.is_dir()} | {*_lent})


def read(name: str) -> Adapter:
    """The adapter of that name. Raises UsageError if there is none, ModelError if its manifest
    is damaged."""
    folder = folder_of(name)
    if not folder.is_dir():
        raise UsageError(f"There is no adapter {name}.", "See: tandem adapters list")
    known = _read_manifest(folder / FILE)
    if known is None or known.name != name:
        raise ModelError(
            f"Adapter {name} is damaged: no valid {FILE}.", f"Run: tandem adapters remove {name}"
        )
    return Adapter(name, folder, known)


def resolve(name: str, base: Base, thorough: bool = False) -> Adapter:
    """The adapter of that name, if it can be loaded over `base`; `thorough` hashes its files.

    Raises UsageError if there is none, StaleAdapter if the base has changed, ModelError if it is
    for another base or damaged. Each says what to do next.
    """
    adapter = read(name)
    known = adapter.manifest
    if known.base != base.name:
        raise ModelError(
            f"Adapter {name} was tuned on {known.base}, not on {base.name}.",
            f"Run: tandem models use {shlex.quote(known.base)}",
        )
    again = f"Run: {retune(known)}"
    if known.base_hash != base.hash:
        raise StaleAdapter(f"Adapter {name} is stale: {known.base} has changed since.", again)
    try:
        lora.examine(adapter.folder, base.folder)
        if thorough:
            _check_files(adapter)
    except ModelError as error:
        told = placeless(error.message, adapter.folder)
        raise ModelError(f"Adapter {name} cannot be used: {told}", again) from error
    return adapter


def placeless(message: str, folder: Path) -> str:
    """Of files in a folder, by their names alone: whoever has a token may read it."""
    return message.replace(f"{folder}/", "")


def retune(known: Manifest) -> str:
    """The command that makes such an adapter again."""
    return f"tandem tune {shlex.quote(known.repository)}"


def base_hash(folder: Path, shipped: Path | None = None) -> str:
    """Hex digest of the weights that training started from.

    Over the hashes of the folder's weight files and, if it exists, of the shipped difference
    that the engine merges into them. Raises ModelError if there are no weights.
    """
    digest = hashlib.sha256()
    known = manifest.read(folder)
    for file in sorted(families.weight_files(folder)):
        digest.update(f"{file.name} {_weights_hash(file, known)}\n".encode())
    if shipped is not None and shipped.is_file():
        digest.update(f"shipped {_hash(shipped)}\n".encode())
    return digest.hexdigest()


def shipped_file(model: str) -> Path:
    """Where the difference that we ship for a model lies, if we ship one."""
    return SHIPPED / f"{model.replace('/', '--')}.safetensors"


def folder_of(name: str) -> Path:
    """Raises UsageError for a name that could lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name[:100]}' is no adapter name.", "Letters, digits, dots, dashes: at most 96."
        )
    return _lent.get(name) or paths.adapters_dir() / name


def lend(name: str, folder: Path) -> bool:
    """Have a folder elsewhere as the adapter of that name, as long as this process runs.

    Whether it was not lent before. Raises UsageError if it cannot be called so, or another
    adapter is.
    """
    if (known := _lent.get(name)) == folder:
        return False
    if known is not None or folder_of(name).exists():
        raise UsageError(f"There is an adapter {name}.", "Choose another name.")
    _lent[name] = folder
    return True


def take_back(name: str) -> bool:
    """Whether a folder was lent under that name."""
    return _lent.pop(name, None) is not None


def stamp(name: str) -> tuple[int, ...]:
    """Changes when the adapter's files do; cheap. Empty if one is missing."""
    folder = folder_of(name)
    try:
        found = [(folder / file).stat() for file in (FILE, lora.CONFIG, lora.WEIGHTS)]
    except OSError:
        return ()
    return tuple(n for stat in found for n in (stat.st_mtime_ns, stat.st_size, stat.st_ino))


def _read_manifest(file: Path) -> Manifest | None:
    try:
        if file.stat().st_size > _MAX_MANIFEST:
            return None
        known = Manifest.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return known if known.v == FORMAT else None


def _check_files(adapter: Adapter) -> None:
    for name in (lora.CONFIG, lora.WEIGHTS):
        if manifest.sha256(adapter.folder / name) != adapter.manifest.files.get(name):
            raise ModelError(f"{name} has changed since it was registered.")


def _weights_hash(file: Path, known: manifest.Manifest | None) -> str:
    """From the model's manifest where its file is untouched, so that nothing is read."""
    record = known.files.get(file.name) if known else None
    stat = file.stat()
    same = record and (record.size, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    return record.sha256 if record and same and record.sha256 else _hash(file)


def _hash(file: Path) -> str:
    stat = file.stat()
    return _hash_once(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=32)
def _hash_once(file: Path, size: int, mtime_ns: int) -> str:
    return manifest.sha256(file)
