"""What is known about an installed model: its files, where it came from, what it needs.

The manifest is `tandem.json` in the model's folder. Checking a model has two strengths. The
cheap one compares each file's size and modification time with what was recorded when its hash
was taken; only a file that differs there is hashed again.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tandem import paths
from tandem.errors import ModelError

FORMAT = 1
FILE = "tandem.json"
CHUNK = 1 << 20

Family = Literal["llama", "qwen2"]


# Told (stage, done, total), mostly in bytes; total 0 means unknown. It may raise to cancel.
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """A `Progress` for callers who show none."""


class FileRecord(BaseModel):
    """One file: bytes, time of the hash's file in ns, and the hash ('' when never taken)."""

    model_config = ConfigDict(frozen=True)

    size: int
    mtime_ns: int
    sha256: str = ""


class Manifest(BaseModel):
    """`template` names a row of templates.toml, `context` is the longest sequence in tokens."""

    model_config = ConfigDict(frozen=True)

    v: int = FORMAT
    name: str
    source: str
    licence: str
    family: Family
    template: str
    context: int
    note: str = ""
    created: str
    files: dict[str, FileRecord]

    @property
    def size(self) -> int:
        return sum(record.size for record in self.files.values())


@dataclass(frozen=True)
class InstalledModel:
    """A model that can be loaded from `folder`."""

    name: str
    folder: Path
    manifest: Manifest


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None if it is missing, damaged or of another format."""
    try:
        manifest = Manifest.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return manifest if manifest.v == FORMAT else None


def write(folder: Path, manifest: Manifest) -> None:
    with paths.atomic_write(folder / FILE, permissions=0o644) as stream:
        stream.write(manifest.model_dump_json(indent=1) + "\n")


def record(folder: Path, progress: Progress, hashed: bool = True) -> dict[str, FileRecord]:
    """Sizes, times and, unless not `hashed`, hashes of all files of a model folder."""
    files = sorted(_files(folder))
    total = sum(file.stat().st_size for file in files)
    done, records = 0, {}
    for file in files:
        stat = file.stat()
        digest = sha256(file, progress, done, total) if hashed else ""
        name = file.relative_to(folder).as_posix()
        records[name] = FileRecord(size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=digest)
        done += stat.st_size
    return records


def check(folder: Path, manifest: Manifest, progress: Progress, thorough: bool = False) -> Manifest:
    """Compare a folder with its manifest, and return the manifest with fresh times.

    Raises ModelError naming the first file that is missing, truncated or changed.
    """
    records = dict(manifest.files)
    for name, known in manifest.files.items():
        file = folder / name
        try:
            stat = file.stat()
        except OSError:
            raise ModelError(f"Model {manifest.name} is damaged: {name} is missing.") from None
        if stat.st_size != known.size:
            raise ModelError(
                f"Model {manifest.name} is damaged: {name} has {stat.st_size} bytes, "
                f"not {known.size}."
            )
        if known.sha256 and (thorough or stat.st_mtime_ns != known.mtime_ns):
            if sha256(file, progress, 0, known.size) != known.sha256:
                raise ModelError(f"Model {manifest.name} is damaged: {name} has changed.")
            records[name] = known.model_copy(update={"mtime_ns": stat.st_mtime_ns})
    return manifest.model_copy(update={"files": records})


def sha256(file: Path, progress: Progress = silent, before: int = 0, total: int = 0) -> str:
    """Hex digest of a file. `before` bytes of `total` were already told to `progress`."""
    digest, done = hashlib.sha256(), before
    with file.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
            done += len(piece)
            progress("check", done, total)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.iterdir():
        if file.is_file() and file.name != FILE and not file.name.startswith("."):
            yield file
