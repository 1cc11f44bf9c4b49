"""A run's state on disk, whole or not at all: tensors in safetensors, the rest in JSON, no pickle.

A checkpoint is a folder `step-NNNNNNNN` that gets its name once it is complete; the last two are
kept. The exact float32 weights and moments are in it, so that a resumed run ends as one that was
never stopped. Disk: 12 bytes for each trained weight.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tandem.errors import TandemError

FORMAT = 1
KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


def save(folder: Path, name: str, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> Path:
    """Write `folder/name`; one that exists already is left as it is.

    Raises TandemError if it cannot be written, for one because the disk is full.
    """
    target = folder / name
    if target.exists():
        return target
    with writing(target) as work:
        detached = {key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}
        save_file(detached, work / _TENSORS)
        (work / _STATE).write_text(json.dumps({"v": FORMAT, **state}, indent=1), "utf-8")
    return target


def read(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the state of one checkpoint. Raises TandemError if it is not whole."""
    try:
        state = json.loads((folder / _STATE).read_text("utf-8"))
        tensors = load_file(folder / _TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise TandemError(f"{folder} is not a whole checkpoint ({error}).") from None
    if state.get("v") != FORMAT:
        hint = "Start the run again in an empty folder."
        raise TandemError(f"{folder} was written by another version of Tandem.", hint)
    return tensors, state


def step_name(step: int) -> str:
    return f"step-{step:08}"


def steps(folder: Path) -> list[Path]:
    """Checkpoints by step, oldest first."""
    return sorted(folder.glob("step-*"))


def latest(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """The newest checkpoint that is whole; newer ones that are not are deleted."""
    for path in reversed(steps(folder)):
        try:
            return read(path)
        except TandemError:
            shutil.rmtree(path, ignore_errors=True)
    return None


def prune(folder: Path) -> None:
    """Delete all but the last two, what they do not refer to as `best`, and unfinished ones."""
    for path in steps(folder)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
    wanted = set()
    for path in steps(folder):
        with contextlib.suppress(OSError, ValueError):
            wanted.add(json.loads((path / _STATE).read_text("utf-8")).get("best_step"))
    for path in folder.glob("best-*"):
        if path.name not in {best_name(step) for step in wanted if step is not None}:
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def best_name(step: int) -> str:
    return f"best-{step:08}"


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Path]:
    """A folder to fill that becomes `target` if the block ends well, and vanishes if it does not.

    Raises TandemError for what the disk refuses.
    """
    work = target.parent / f".{target.name}.tmp"
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        yield work
        for path in work.rglob("*"):
            if path.is_file():
                with path.open("rb+") as stream:
                    os.fsync(stream.fileno())
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(work, ignore_errors=True)
        reason = getattr(error, "strerror", None) or str(error)
        hint = "Free some space and run the same command: it goes on where the last save was."
        raise TandemError(f"Could not write {target} ({reason}).", hint) from None
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
