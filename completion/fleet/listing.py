"""Which adapters vLLM replicas may serve: a file that the runner writes and Ray's workers read.

It has the folder of each by its name: a copy that nobody changes, named by its hash. A machine of
a cluster has to see both, as it has to see the model.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from tandem import paths

Stamp = tuple[int, int, int]

SETTING = "tandem_adapters"  # of a vLLM model's `experimental_configs`: what its replicas read


def write(file: Path, folders: Mapping[str, Path]) -> None:
    paths.private_dir(file.parent)
    with paths.atomic_write(file) as stream:
        stream.write(json.dumps({name: str(folder) for name, folder in folders.items()}, indent=1))


class Listing:
    """Read again when it has changed, for each request."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        self._stamp: Stamp | None = None
        self._folders: dict[str, Path] = {}

    @property
    def folders(self) -> Mapping[str, Path]:
        """By name. What was there before, while it cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            found = self._file.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                told = json.loads(self._file.read_text("utf-8"))
                self._folders = {name: Path(folder) for name, folder in told.items()}
                self._stamp = stamp
        return self._folders

    def by_folder(self, name: str) -> Path | None:
        """The folder that is called so, if one is listed."""
        return next((one for one in self.folders.values() if one.name == name), None)
