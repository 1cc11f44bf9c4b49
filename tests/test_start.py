"""Going on from a file that travels: what it learned is there, and only on its own base."""

from pathlib import Path

import pytest
import torch

from completion import families
from completion.manifest import InstalledModel
from finetune import checkpoint, start
from finetune.compress import EMBEDDING
from finetune.recipe import Recipe
from tandem.errors import UsageError
from tests import tiny_shipped

# One row that the file has, and one that it does not know yet.
RECIPE = Recipe(method="full", steps=1, rows=(tiny_shipped.ROWS[0], 1), seed=3)


@pytest.fixture
def model(empty_home: Path) -> InstalledModel:
    return tiny_shipped.install()


def written(model: InstalledModel, folder: Path, **facts: object) -> Path:
    difference = tiny_shipped.difference(tiny_shipped.weights(model))
    return tiny_shipped.save(difference, model, folder / "a.safetensors", **facts)


def digest(model: InstalledModel) -> str:
    return model.manifest.files[families.WEIGHTS].sha256


def test_a_run_begins_with_the_weights_that_were_shipped(
    model: InstalledModel, tmp_path: Path
) -> None:
    base = tiny_shipped.weights(model)
    merged = tiny_shipped.difference(base).apply(base)
    file = written(model, tmp_path)
    made, _ = start.from_shipped(file, model.folder, digest(model), RECIPE, tmp_path / "out")
    tensors, told = checkpoint.read(made)
    learned = {name.removeprefix("weight."): tensor for name, tensor in tensors.items()}
    rows = learned.pop("rows")
    assert learned.keys() == merged.keys() - {EMBEDDING}
    assert all(torch.equal(tensor, merged[name]) for name, tensor in learned.items())
    assert torch.equal(rows[0], merged[EMBEDDING][RECIPE.rows[0]])
    assert torch.equal(rows[1], base[EMBEDDING][1].float())
    assert told["updates"] == told["position"] == 0
    assert told["recipe"]["seed"] == RECIPE.seed


def test_the_place_in_the_samples_travels_with_the_seed_that_ordered_them(
    model: InstalledModel, tmp_path: Path
) -> None:
    stream = {"samples": "abc", "position": 7, "tokens": 9}
    file = written(model, tmp_path, stream=stream, recipe={"seed": 5})
    made, facts = start.from_shipped(file, model.folder, digest(model), RECIPE, tmp_path / "out")
    told = checkpoint.read(made)[1]
    assert facts["stream"] == stream
    assert (told["position"], told["inputs"]["samples"], told["recipe"]["seed"]) == (7, "abc", 5)


def test_another_base_and_another_file_are_refused_and_leave_nothing(
    model: InstalledModel, tmp_path: Path
) -> None:
    file, out = written(model, tmp_path), tmp_path / "out"
    with pytest.raises(UsageError, match="another base model"):
        start.from_shipped(file, model.folder, "1" * 64, RECIPE, out)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:-1] + b"\0")
    for other in (damaged, tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(UsageError, match=f"{other.name} cannot be read"):
            start.from_shipped(other, model.folder, digest(model), RECIPE, out)
    assert not out.exists()
