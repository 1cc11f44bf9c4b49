"""Which Hugging Face folders we can run: Llama and Qwen2, safetensors only, every part in place.

A folder is somebody else's data: nothing in it is executed, pickled weights are refused, and
each safetensors header is compared with its file before a byte is mapped into memory.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from completion.manifest import Family
from tandem.errors import ModelError

FAMILIES: dict[str, Family] = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2"}
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_MAX_HEADER = 100_000_000  # the limit of the safetensors format
_BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8},
    **{"U16": 16, "I16": 16, "F16": 16, "BF16": 16},
    **{"U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64},
}


@dataclass(frozen=True)
class FolderFacts:
    """What a model folder's own files say; `context` in tokens."""

    family: Family
    context: int


def examine(folder: Path) -> FolderFacts:
    """Check that a folder holds a whole model of a family that we run.

    Raises ModelError naming the file that is wrong.
    """
    config = read_json(folder / "config.json")
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    family: Family | None = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    if family is None:
        raise ModelError(
            f"{folder}: cannot run a {', '.join(map(str, names)) or 'model without architecture'}.",
            f"Architectures that run here: {', '.join(FAMILIES)}.",
        )
    for shard, tensors in weight_files(folder).items():
        _check_shard(shard, tensors)
    _check_tokenizer(folder / "tokenizer.json")
    context = config.get("max_position_embeddings")
    if not isinstance(context, int) or context < 1:
        raise ModelError(f"{folder / 'config.json'}: max_position_embeddings is missing.")
    return FolderFacts(family, context)


def safetensors_header(file: Path) -> dict[str, Any]:
    """The parsed header of a safetensors file whose size is right.

    Raises ModelError if it cannot be parsed or its offsets do not fit the file.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _MAX_HEADER + 1
            if length > min(_MAX_HEADER, size - 8):
                raise ModelError(f"{file} is corrupt: its header does not fit the file.")
            header = json.loads(stream.read(length))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing.", "Copy or download it again.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} is corrupt: its header cannot be read ({error}).") from error
    end = _check_offsets(file, header)
    if size != 8 + length + end:
        raise ModelError(
            f"{file} is corrupt: it has {size} bytes, its header tells of {8 + length + end}.",
            "Copy or download it again.",
        )
    return header


def _check_offsets(file: Path, header: Any) -> int:
    """The end of the data in bytes, if each tensor follows the one before without a gap."""
    corrupt = ModelError(f"{file} is corrupt: its header is not one of tensors.")
    if not isinstance(header, dict):
        raise corrupt
    try:
        tensors = sorted(
            (*entry["data_offsets"], math.prod(entry["shape"]) * _BITS[entry["dtype"]] // 8)
            for name, entry in header.items()
            if name != "__metadata__"
        )
        end = 0
        for begin, finish, size in tensors:
            if begin != end or finish - begin != size:
                raise corrupt
            end = finish
    except (KeyError, TypeError, ValueError):
        raise corrupt from None
    return end


def weight_files(folder: Path) -> dict[Path, set[str]]:
    """The weight files, each with the tensors that the index promises in it.

    Raises ModelError if there are none, or the index names a file outside the folder.
    """
    if (folder / INDEX).is_file():
        return _indexed(folder)
    if (folder / WEIGHTS).is_file():
        return {folder / WEIGHTS: set()}
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"{folder} has only pickled weights ({pickled[0]}), which can run code when loaded.",
            "Get the model's safetensors files instead.",
        )
    raise ModelError(f"{folder} has no {WEIGHTS}.", "Copy or download the model again.")


def _indexed(folder: Path) -> dict[Path, set[str]]:
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{folder / INDEX} is corrupt: it has no weight_map.")
    shards: dict[Path, set[str]] = {}
    for tensor, name in places.items():
        if (
            not isinstance(name, str)
            or Path(name).name != name
            or not name.endswith(".safetensors")
        ):
            raise ModelError(f"{folder / INDEX}: '{name}' is no file of this folder.")
        shards.setdefault(folder / name, set()).add(tensor)
    return shards


def _check_shard(shard: Path, tensors: set[str]) -> None:
    missing = tensors - safetensors_header(shard).keys()
    if missing:
        raise ModelError(
            f"{shard} lacks the tensor {min(missing)}, which the index promises.",
            "Copy or download it again.",
        )


def _check_tokenizer(file: Path) -> None:
    if not file.is_file():
        raise ModelError(
            f"{file} is missing.",
            "Only tokenizers in the tokenizer.json format can be used.",
        )
    try:
        Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{file} is corrupt: {error}.", "Copy or download it again.") from error


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError naming the file."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{file} is missing.", "Name a folder that holds a Hugging Face model."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{file} is no JSON object.")
    return value
