"""The folder of a run: what it was started with, its log, its checkpoints, what it made.

`log.jsonl` has a line for each step and each validation; `result.json` is there once the run has
ended; `adapter` or `model` is what was made. One run at a time may use it.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.recipe import Recipe
from finetune.store import FILE
from tandem.errors import TandemError, UsageError

LOG, RESULT = "log.jsonl", "result.json"


class RunFolder:
    """`identity` is what makes two runs the same: the recipe, and hashes of all inputs."""

    def __init__(
        self, out: Path, recipe: Recipe, base: Path, samples: Path, validation: Path | None
    ) -> None:
        self.path = out
        self.recipe = recipe
        self.checkpoints = out / "checkpoints"
        self.made = out / ("model" if recipe.method == "full" else "adapter")
        self.inputs = {
            "base": _fingerprint(base),
            "samples": _sha256(samples / FILE),
            "validation": _sha256(validation / FILE) if validation else "",
        }
        self.identity = {"recipe": recipe.as_json(), "inputs": self.inputs}

    def result(self) -> dict[str, Any] | None:
        """What a run that has ended told. Raises UsageError if it was another run."""
        file = self.path / RESULT
        if not file.exists() or not self.made.exists():
            return None
        told = json.loads(file.read_text("utf-8"))
        self.demand_same(told)
        return told["result"]

    def finish(self, told: dict[str, Any]) -> None:
        _write(self.path / RESULT, json.dumps({**self.identity, **told}, indent=1))

    def same_samples(self, told: dict[str, Any]) -> bool:
        """Whether another run's position in the stream of samples means the same here."""
        seeds = told["recipe"]["seed"] == self.recipe.seed
        return seeds and told["inputs"]["samples"] == self.inputs["samples"]

    def demand_same(self, told: dict[str, Any]) -> None:
        """Raises UsageError unless `told`, of a checkpoint or a result, is of this run."""
        changed = Recipe.of(told["recipe"]).differences(self.recipe)
        changed += [name for name, value in self.inputs.items() if told["inputs"][name] != value]
        if changed:
            raise UsageError(
                f"{self.path} holds a run with other {', '.join(changed)}.",
                "Use another folder, or delete this one.",
            )

    def log(self, record: dict[str, Any]) -> None:
        file = self.path / LOG
        try:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
        except OSError as error:
            raise _unwritable(file, error) from None

    def cut_log(self, step: int, validated: int) -> None:
        """Drop what was logged after the checkpoint: those steps are done again."""
        file = self.path / LOG
        if not file.exists():
            return
        kept = []
        for line in file.read_text("utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the line that was being written when the run was killed
            if (record["step"], record.get("number", -1)) <= (step, validated):
                kept.append(line + "\n")
        _write(file, "".join(kept))


@contextlib.contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Two runs in one folder would mix their checkpoints."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            hint = "Wait until it has ended, or take another folder."
            raise TandemError(f"Another run is training in {out}.", hint) from None
        yield


def _write(file: Path, text: str) -> None:
    work = file.with_name(f".{file.name}.tmp")
    try:
        work.write_text(text, "utf-8")
        work.replace(file)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise _unwritable(file, error) from None


def _unwritable(file: Path, error: OSError) -> TandemError:
    hint = "Free some space and run the same command: it goes on where the last save was."
    return TandemError(f"Could not write {file} ({error.strerror}).", hint)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fingerprint(base: Path) -> str:
    """Tells bases apart without reading gigabytes: the configuration, and the weights' sizes."""
    digest = hashlib.sha256((base / "config.json").read_bytes())
    for file in sorted(base.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    return digest.hexdigest()
