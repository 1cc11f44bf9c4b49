"""The same weights for everybody: a folder for us and transformers, a GGUF file for llama.cpp.

The default model's folder is its GGUF file's numbers, exactly. With a difference of ours on top
that would no longer be so: then the merged weights go back into a GGUF file of the same types,
and the folder is made from that.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import quantize

from benchmarks.peers import folder, llama_cpp
from completion import convert, models
from completion.engine import shipped
from completion.engine.shipped import Shipped
from completion.engine.tensors import Tensors
from completion.manifest import InstalledModel, silent


@dataclass(frozen=True)
class Weights:
    """`gguf` may not exist. `template` is the FIM template they were trained with."""

    name: str
    folder: Path
    gguf: Path
    template: str


def of(model: str, file: Path | None = None) -> Weights:
    """A model of the store or a folder. `file` is its GGUF file, if that is elsewhere.

    Raises ModelError.
    """
    found = models.resolve(model)
    base = file or llama_cpp.gguf_of(found.name)
    difference = shipped.of(found)
    template = shipped.template_of(found)
    if difference is None or not base.is_file():
        # Without the base's GGUF file nobody compares, and the base's own weights will do.
        return Weights(found.name, found.folder, base, template)
    made = folder() / f"merged-{difference.facts.data_sha256[:12]}"
    if not made.is_dir():
        _make(found, difference, base, made)
    return Weights(found.name, made / "model", made / "model.gguf", template)


def _make(model: InstalledModel, difference: Shipped, base: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        made = Path(temporary) / "made"
        (made / "model").mkdir(parents=True)
        shutil.copyfile(base, made / "model.gguf")
        _merge(model, difference, made / "model.gguf")
        convert.convert(made / "model.gguf", made / "model", silent)
        made.rename(target)


def _merge(model: InstalledModel, difference: Shipped, file: Path) -> None:
    """Overwrite each tensor of the file; types and so sizes stay."""
    tensors = Tensors(model.folder, torch.float32, difference)
    reader = gguf.GGUFReader(file, "r+")
    for tensor in reader.tensors:
        values = tensors[convert.tensor_name(tensor.name)].numpy()
        for part, field in (("attn_q", "head_count"), ("attn_k", "head_count_kv")):
            if tensor.name.endswith(f"{part}.weight"):
                heads = reader.get_field(f"llama.attention.{field}")
                assert heads is not None
                values = _interleave(values, heads.contents())
        packed = quantize(np.ascontiguousarray(values), tensor.tensor_type)
        tensor.data[:] = packed.reshape(tensor.data.shape)


def _interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows [heads, 2, pairs] to [heads, pairs, 2], as GGUF has them; see convert._unpermute."""
    pairs = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, pairs, -1).swapaxes(1, 2).reshape(weight.shape)
