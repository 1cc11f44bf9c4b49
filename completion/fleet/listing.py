"""Which adapters replicas may serve: files that are written beside Ray and read by its workers.

The runner lists what the store has, for vLLM replicas: copies that nobody changes. The door lists
what was lent by whoever has the token. A machine of a cluster has to see these files and folders,
as it has to see the model.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tandem import paths

SETTING = "tandem_adapters"  # of a vLLM model's `experimental_configs`: what its replicas read
_LENT = "lent.json"


@dataclass(frozen=True)
class Row:
    """An adapter's folder, and what replicas call it: never the same for other weights."""

    id: str
    folder: Path


def write(file: Path, rows: Mapping[str, Row]) -> None:
    """By name."""
    paths.private_dir(file.parent)
    with paths.atomic_write(file) as stream:
        stream.write(json.dumps({name: [row.id, str(row.folder)] for name, row in rows.items()}))


def lent_beside(file: Path) -> Path:
    """Where the door lists, beside the runner's file."""
    return file.with_name(_LENT)


@dataclass
class _File:
    """Read again when it has changed."""

    place: Path
    stamp: tuple[int, int, int] | None = None
    rows: dict[str, Row] = field(default_factory=dict)

    def read(self) -> dict[str, Row]:
        """As it was before, while it cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            found = self.place.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self.stamp:
                told = json.loads(self.place.read_text("utf-8"))
                self.rows = {name: Row(id, Path(folder)) for name, (id, folder) in told.items()}
                self.stamp = stamp
        return self.rows


class Listing:
    """Both files, as they are now. `file` is the runner's."""

    def __init__(self, file: str | Path) -> None:
        self._own, self._lent = _File(Path(file)), _File(lent_beside(Path(file)))

    @property
    def own(self) -> Mapping[str, Row]:
        return self._own.read()

    @property
    def lent(self) -> Mapping[str, Row]:
        return self._lent.read()

    @property
    def rows(self) -> Mapping[str, Row]:
        """By name; what was lent does not hide our own."""
        return {**self.lent, **self.own}

    def by_id(self, id: str) -> Row | None:
        return next((row for row in self.rows.values() if row.id == id), None)
