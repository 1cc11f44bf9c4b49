"""A whole model as a plain Hugging Face folder, which vLLM, transformers and others serve.

What is merged into the model when the engine loads it is merged here too. The folder is built
beside its place and renamed, so that it is whole or not there.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from completion import families, manifest
from completion.engine.modelconfig import ModelConfig
from completion.engine.shipped import Shipped
from completion.engine.tensors import Tensors
from completion.engine.tokenizer import Tokenizer
from completion.manifest import InstalledModel, Progress, silent
from tandem.errors import ModelError, UsageError

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def export(
    model: InstalledModel,
    destination: Path,
    shipped: Shipped | None = None,
    dtype: str = "",
    progress: Progress = silent,
) -> None:
    """Write `model`, with a shipped difference merged into it, into a new folder.

    `dtype` is a key of `DTYPES`; without one a model that nothing is merged into is copied as
    it is, another written in bfloat16. Raises UsageError if the destination is taken,
    ModelError if it cannot be written or the model cannot be read. Whatever `progress` raises
    ends the work and leaves nothing.
    """
    destination = destination.expanduser().absolute()
    _demand_free(destination)
    if shipped is not None and not dtype:
        dtype = "bfloat16"
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _beside(destination) as folder:
            if dtype:
                _write_weights(model.folder, folder, shipped, DTYPES[dtype], progress)
            _copy_rest(model.folder, folder, progress, weights=not dtype)
            _settle(model.folder, folder, shipped, dtype)
            _describe(model, folder, shipped, progress)
            folder.chmod(0o755)
            folder.replace(destination)
    except OSError as error:
        raise ModelError(
            f"Could not write {destination}: {error.strerror or error}.",
            "Free some space or choose another folder.",
        ) from error


def _demand_free(destination: Path) -> None:
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if destination.exists() or destination.is_symlink():
        raise UsageError(
            f"{destination} exists already and is not empty.", "Name a folder that does not exist."
        )


@contextlib.contextmanager
def _beside(destination: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.partial-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_weights(
    source: Path, folder: Path, shipped: Shipped | None, dtype: torch.dtype, progress: Progress
) -> None:
    """Each weight file under its name, one in memory at a time."""
    tensors = Tensors(source, dtype, shipped)
    total = sum(file.stat().st_size for file in tensors.files())
    done = size = 0
    for file, names in tensors.files().items():
        progress("merge" if shipped else "convert", done, total)
        with torch.inference_mode():
            content = {name: tensors[name].contiguous() for name in names}
        size += sum(tensor.nbytes for tensor in content.values())
        _save(content, folder / file.name)
        done += file.stat().st_size
    progress("merge" if shipped else "convert", total, total)
    if (source / families.INDEX).is_file():
        index = families.read_json(source / families.INDEX)
        index["metadata"] = {**index.get("metadata", {}), "total_size": size}
        _write_json(folder / families.INDEX, index)


def _save(content: dict[str, torch.Tensor], file: Path) -> None:
    """Raises OSError, which the library wraps in an exception of its own."""
    try:
        save_file(content, file, {"format": "pt"})
    except Exception as error:
        raise OSError(f"{file.name}: {error}") from error


def _copy_rest(source: Path, folder: Path, progress: Progress, weights: bool) -> None:
    """Configuration and tokenizer, and the weights unless they are written already."""
    shards = set(families.weight_files(source))
    written = {*shards, source / families.INDEX} if not weights else set()
    for file in sorted(source.iterdir()):
        useful = file.suffix in (".json", ".jinja", ".model", ".txt") or file in shards
        if not file.is_file() or file.name == manifest.FILE or file in written or not useful:
            continue
        size = file.stat().st_size
        progress("copy", 0, size)
        shutil.copyfile(file, folder / file.name)
        progress("copy", size, size)


def _settle(source: Path, folder: Path, shipped: Shipped | None, dtype: str) -> None:
    """The width of the weights, and every token that ends an answer.

    A chat turn ends with another token than the text between prefix and suffix does.
    """
    if dtype:
        config = families.read_json(folder / "config.json")
        config["torch_dtype"] = dtype
        if "dtype" in config:  # transformers 5 renamed it, and reads this one first
            config["dtype"] = dtype
        _write_json(folder / "config.json", config)
    if shipped is not None:
        ends = sorted(ModelConfig.load(source).eos_ids, reverse=True)
        (end,) = Tokenizer.load(source).encode(shipped.facts.end)
        file = folder / "generation_config.json"
        generation = families.read_json(file) if file.exists() else {}
        generation["eos_token_id"] = list(dict.fromkeys([*ends, end]))
        _write_json(file, generation)


def _describe(
    model: InstalledModel, folder: Path, shipped: Shipped | None, progress: Progress
) -> None:
    """Our manifest: it tells Tandem the template, should it load the folder itself."""
    known = model.manifest.model_copy(
        update={
            "template": shipped.template if shipped else model.manifest.template,
            "note": "merged and exported by Tandem" if shipped else model.manifest.note,
            "created": manifest.now(),
            "files": manifest.record(folder, progress),
        }
    )
    manifest.write(folder, known)


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
