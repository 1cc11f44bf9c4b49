"""Adapters that somebody with the token has vLLM load at run time, a gateway for instance.

vLLM alone would load any folder of its disk, and takes tensors of another model's shapes without a
word. So each is looked at before, by the rules of the embedded engine (`completion.engine.lending`):
in a process of our Python, as vLLM's own lacks what we need.

    python -m completion.vllm.lent < a `Question` as JSON

prints what the door answers: a status, and the folder or an error.
"""

import json
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from completion import adapters, lora
from completion.adapters import Base
from completion.engine import adapter_folder
from completion.engine.api import ApiError
from tandem.errors import ModelError, UsageError


class Lends(BaseModel):
    """Below `folder` lies what may be loaded. `room` is for how many loads since vLLM started, 0
    for any number: on a CPU none of them may get the last slot (`command.slots`). `base` and
    `base_hash` are what an adapter must have been trained on, `shapes` the folder of its weights,
    None where their shapes say nothing. `python` is ours."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    room: int
    most_rank: int
    base: str
    base_hash: str
    shapes: Path | None = None
    python: str = sys.executable


class Question(BaseModel):
    lends: Lends
    name: str
    path: str


def check(asked: Question) -> Path:
    """The folder to load. Raises ApiError."""
    from completion.engine.adapters import check_tensors  # imports torch

    lends = asked.lends
    folder = adapter_folder.below(asked.path, lends.folder)
    try:
        adapters.lend(asked.name, folder)
        base = Base(lends.base, lends.shapes or folder, lends.base_hash)
        adapters.resolve(asked.name, base, thorough=True)
        if lends.shapes is not None:
            found = lora.examine(folder, lends.shapes)
            check_tensors(found)
            rank = found.rank
        else:
            rank = lora.rank_of(folder)
    except (ModelError, UsageError) as error:
        raise _unusable(adapters.placeless(error.message, folder)) from None
    if rank > lends.most_rank:
        raise _unusable(f"Its rank is {rank}; adapters.most_rank is {lends.most_rank}.")
    return folder


def _unusable(message: str) -> ApiError:
    return ApiError(409, message, param="lora_name", code="adapter_unusable")


def _main() -> None:
    try:
        told = {"status": 200, "folder": str(check(Question.model_validate_json(sys.stdin.read())))}
    except ApiError as error:
        told = {"status": error.status, "body": error.body()}
    print(json.dumps(told))


if __name__ == "__main__":
    _main()
