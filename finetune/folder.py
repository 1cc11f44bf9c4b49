"""The folder that holds a dataset: how it is written, all or nothing, and read again.

`train/` and `validation/` hold samples (see `store`), `cases.jsonl` held-out holes (see `cases`),
`inputs.txt` the sha256 of every file that was used, and `manifest.json` how all was made.
"""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from finetune import cases
from finetune.cases import Case
from finetune.encode import Encoded
from finetune.files import SourceFile
from finetune.store import SampleSet
from tandem.errors import UsageError

FORMAT = 1
MANIFEST = "manifest.json"
INPUTS = "inputs.txt"
CASES = "cases.jsonl"


@dataclass(frozen=True)
class Dataset:
    """A finished folder. Raises UsageError if it is none."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
            readable = manifest["v"] == FORMAT
        except (OSError, ValueError, LookupError, TypeError):
            readable, manifest = False, {}
        if not readable:
            raise UsageError(f"{folder} holds no training data.", "Make it anew.")
        return cls(folder, manifest)

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def validation(self) -> Path:
        return self.folder / "validation"

    @property
    def hash(self) -> str:
        return self.manifest["data_sha256"]

    def cases(self) -> list[Case]:
        return cases.load(self.folder / CASES)


@dataclass
class Notes:
    """What goes into the manifest on the way: reasons, and the inputs with their hashes."""

    skips: Counter[str] = field(default_factory=Counter)
    inputs: set[tuple[str, str]] = field(default_factory=set)
    redacted: int = 0

    def used(self, source: str, file: SourceFile, commit: str = "") -> None:
        name = f"{source}/{file.path}" + (f"@{commit[:12]}" if commit else "")
        if (name, file.sha256) not in self.inputs:
            self.inputs.add((name, file.sha256))
            self.redacted += file.secrets


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when the block ends well and is removed when it does not.

    Raises UsageError if `out` exists.
    """
    if out.exists():
        raise UsageError(f"{out} exists already.", "Name a new folder, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield work
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write(
    work: Path,
    out: Path,
    sets: Mapping[str, Sequence[Encoded]],
    held: Mapping[str, Sequence[Case]],
    notes: Notes,
    about: Mapping[str, Any],
) -> Dataset:
    """Fill the folder `work`, which will be renamed to `out`.

    `sets` are samples by folder, in the order of training, `held` cases by file name. The data's
    hash covers the manifest, which holds the hashes of all files and inputs.
    """
    for name, rows in sets.items():
        (work / name).mkdir()
        arrays = ((row.ids, row.weights, row.middle) for row in rows)
        SampleSet.of(cast(Any, arrays)).save(work / name)
    for name, rows in held.items():
        cases.save(rows, work / name)
    with (work / INPUTS).open("w", encoding="utf-8") as stream:
        stream.writelines(f"{digest}  {name!r}\n" for name, digest in sorted(notes.inputs))
    manifest = {
        "v": FORMAT,
        **about,
        **{name: _counted(rows) for name, rows in sets.items()},
        "cases": {name: len(rows) for name, rows in held.items()},
        "inputs": len(notes.inputs),
        "secrets_replaced": notes.redacted,
        "skipped": dict(sorted(notes.skips.items())),
    }
    manifest["files"] = {
        file.relative_to(work).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(work.rglob("*"))
        if file.is_file()
    }
    whole = json.dumps(manifest, sort_keys=True).encode()
    manifest["data_sha256"] = hashlib.sha256(whole).hexdigest()
    (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return Dataset(out, manifest)


def _counted(rows: Sequence[Encoded]) -> dict[str, Any]:
    tell = lambda name: dict(sorted(Counter(str(getattr(row, name)) for row in rows).items()))  # noqa: E731
    told = {name: tell(name) for name in ("cut", "kind", "language", "source", "snippets")}
    return {"samples": len(rows), "tokens": sum(len(row.ids) for row in rows), **told}
