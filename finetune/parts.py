"""The parts of a training bundle: one .tar.xz stream, cut into files small enough to be carried."""

import hashlib
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from finetune.assemble import FORMAT, PARTS


def pack(content: Path, to: Path, part_bytes: int, say: Callable[[str], None]) -> None:
    """Write all files under `content` to `to` as part-00, part-01 and so on, and `parts.json`."""
    parts = _Parts(to, part_bytes)
    # A window wide enough to find what far samples share: the file that they were cut from.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 128 << 20}]
    files = sorted(path for path in content.rglob("*") if path.is_file())
    with (
        lzma.open(cast(BinaryIO, parts), "wb", filters=filters) as stream,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):
        for file in files:
            archive.add(file, str(file.relative_to(content)), filter=_plain)
            say(f"packed {file.relative_to(content)}: {parts.size / 2**20:.1f} MiB so far")
    (to / PARTS).write_text(json.dumps(parts.close(), indent=1), "utf-8")


class _Parts:
    """A file to write to that cuts what it is given into part-00, part-01 and so on."""

    def __init__(self, folder: Path, part_bytes: int) -> None:
        self._folder, self._part_bytes = folder, part_bytes
        self._whole, self._entries = hashlib.sha256(), []
        self._buffer = bytearray()
        self.size = 0

    def write(self, content: bytes) -> int:
        self._buffer += content
        self._whole.update(content)
        self.size += len(content)
        while len(self._buffer) >= self._part_bytes:
            self._cut()
        return len(content)

    def close(self) -> dict[str, Any]:
        """The list of all parts, for `parts.json`."""
        if self._buffer:
            self._cut()
        digest = self._whole.hexdigest()
        return {"v": FORMAT, "sha256": digest, "size": self.size, "parts": self._entries}

    def _cut(self) -> None:
        part = bytes(self._buffer[: self._part_bytes])
        del self._buffer[: self._part_bytes]
        name = f"part-{len(self._entries):02}"
        (self._folder / name).write_bytes(part)
        digest = hashlib.sha256(part).hexdigest()
        self._entries.append({"name": name, "size": len(part), "sha256": digest})


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """No owner and no time: equal contents make equal bundles."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry
