"""Matrices in the kernels' layout, and the file that keeps them from one start to the next.

Merging, rounding and laying out takes seconds, and gives the same bytes each time. The file is
mapped, not read: engines of one model share its memory. It is only a cache: whatever is wrong
with it, the model is packed again.

    b"tandem-packed\\0\\0\\0", the header's length as 8 bytes, the header in JSON, then tensors, each
    beginning at a multiple of 64 bytes: whole vectors, whole cache lines.
"""

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from completion import families
from completion.engine import kernels
from completion.engine.shipped import Shipped
from tandem import paths

LAYOUT = 2  # raise it when the bytes of a packed matrix mean something else
KEPT = 3  # files
MAGIC = b"tandem-packed\0\0\0"
ALIGNMENT = 64
BLOCK = 64  # inputs that share a scale
LANES = 16  # outputs side by side
_TYPES = {"uint8": torch.uint8, "bfloat16": torch.bfloat16, "float32": torch.float32}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Packed:
    """An int8 matrix in the kernels' layout, see native/linear.h.

    `parts` is how many int8 each activation becomes that it is given; no part of the layout.
    """

    weights: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor | None
    outputs: int
    inputs: int
    parts: int = 2

    def struct(self) -> kernels.Linear:
        bias = self.bias.data_ptr() if self.bias is not None else None
        weights, scales = self.weights.data_ptr(), self.scales.data_ptr()
        return kernels.Linear(weights, scales, bias, self.outputs, self.inputs, self.parts)


@dataclass(frozen=True)
class Contents:
    """A model's matrices and vectors by name. `wide`: its activations need two int8 each."""

    matrices: Mapping[str, Packed]
    vectors: Mapping[str, torch.Tensor]
    wide: bool = False

    def matrix(self, name: str, parts: int) -> Packed:
        return replace(self.matrices[name], parts=parts)


def file_of(folder: Path, shipped: Shipped | None) -> Path:
    """Where the packed form of a model folder is kept, as its files are now."""
    sources = [folder / "config.json", *families.weight_files(folder)]
    if shipped is not None:
        sources.append(shipped.file)
    digest = hashlib.sha256(str(LAYOUT).encode())
    for source in sources:
        status = source.stat()
        told = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        digest.update("\0".join(map(str, told)).encode() + b"\n")
    return paths.packed_dir() / f"{digest.hexdigest()[:32]}.packed"


def save(file: Path, contents: Contents) -> None:
    """Write a file for the next start, and drop those not used for longest. Never fails: without
    it the next start is as slow as this one."""
    told = {n: [m.outputs, m.inputs] for n, m in contents.matrices.items()}
    tensors = dict(contents.vectors)
    for name, matrix in contents.matrices.items():
        tensors |= {f"{name}.weights": matrix.weights, f"{name}.scales": matrix.scales}
        if matrix.bias is not None:
            tensors[f"{name}.bias"] = matrix.bias
    entries, end, digest = {}, 0, hashlib.sha256()
    for name, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        entries[name] = [kind, list(tensor.shape), end]
        end += _aligned(tensor.nbytes)
        digest.update(_bytes(tensor))
    known = {"matrices": told, "tensors": entries, "size": end, "sha256": digest.hexdigest()}
    known["wide"] = contents.wide
    header = json.dumps(known).encode()
    start = MAGIC + len(header).to_bytes(8, "little") + header
    try:
        paths.private_dir(file.parent)
        with paths.atomic_write(file, "wb") as stream:
            stream.write(start.ljust(_aligned(len(start)), b"\0"))
            for tensor in tensors.values():
                data = _bytes(tensor)
                stream.write(data)
                stream.write(bytes(_aligned(len(data)) - len(data)))
        _prune(file.parent)
    except OSError as error:
        log.warning("the packed weights cannot be kept: %s", error)


def read(file: Path) -> Contents | None:
    """What `save` wrote; None if there is nothing whole. Tensors are mapped, not to be changed."""
    try:
        with file.open("rb") as stream:
            _demand(stream.read(len(MAGIC)) == MAGIC)
            length = int.from_bytes(stream.read(8), "little")
            known: dict[str, Any] = json.loads(stream.read(length))
        start, size = _aligned(len(MAGIC) + 8 + length), known["size"]
        _demand(file.stat().st_size == start + size)
        mapped = torch.from_file(str(file), shared=False, size=start + size, dtype=torch.uint8)
        tensors: dict[str, torch.Tensor] = {}
        digest = hashlib.sha256()
        for name, (kind, shape, at) in known["tensors"].items():
            width = _TYPES[kind].itemsize * math.prod(shape)
            data = mapped[start + at : start + at + width]
            digest.update(_bytes(data))
            tensors[name] = data.view(_TYPES[kind]).view(shape)
        _demand(digest.hexdigest() == known["sha256"])
        matrices = {
            name: Packed(
                tensors.pop(f"{name}.weights"),
                tensors.pop(f"{name}.scales"),
                tensors.pop(f"{name}.bias", None),
                outputs,
                inputs,
            )
            for name, (outputs, inputs) in known["matrices"].items()
        }
        file.touch()
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever it is, the file is of no use
        log.warning("packed weights are packed again: %s: %s", type(error).__name__, error)
        return None
    return Contents(matrices, tensors, bool(known["wide"]))


def _demand(whole: bool) -> None:
    if not whole:
        raise ValueError("it is damaged")


def _prune(folder: Path) -> None:
    files: Iterable[Path] = folder.glob("*.packed")
    for old in sorted(files, key=lambda file: file.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data
