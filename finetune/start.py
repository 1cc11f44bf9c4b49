"""Where a run begins that goes on from a shipped difference.

Needs torch and safetensors only: it runs where the model is trained.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from finetune import checkpoint
from finetune.compress import EMBEDDING, Compressed
from finetune.recipe import Recipe
from tandem.errors import UsageError

_HINT = "Give a file that `collect` or `release` wrote."


def merged(
    file: Path, base: Path, base_sha256: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The base's weights with the difference in `file`, in float32, and the file's metadata.

    Raises UsageError if the file is none of ours or for another base.
    """
    try:
        shipped, facts = Compressed.load(file)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UsageError(f"{file} cannot be read ({error}).", _HINT) from None
    if facts["base_sha256"] != base_sha256:
        raise UsageError(f"{file} was made for another base model.", _HINT)
    return shipped.apply(load_file(base / "model.safetensors")), facts


def from_shipped(
    file: Path, base: Path, base_sha256: str, recipe: Recipe, out: Path
) -> tuple[Path, dict[str, Any]]:
    """What `merged` gives as checkpoint OUT/start, and the file's metadata. Raises UsageError.

    What was learned is kept, the optimizer begins anew. A row of `recipe.rows` that the file does
    not have begins as the base's.
    """
    weights, facts = merged(file, base, base_sha256)
    tensors = {f"weight.{name}": tensor for name, tensor in weights.items() if name != EMBEDDING}
    tensors["weight.rows"] = weights[EMBEDDING][list(recipe.rows)]
    stream, then = facts.get("stream", {}), facts.get("recipe") or {}
    told = {
        "recipe": {**recipe.as_json(), "seed": then.get("seed", recipe.seed)},
        "inputs": {"samples": stream.get("samples", "")},
        "position": stream.get("position", 0),
        "updates": 0,
    }
    return checkpoint.save(out, "start", tensors, told), facts
