"""QLoRA: the base in four bits, on the CPU too."""

from pathlib import Path

import pytest
import torch

from finetune import learner, train
from finetune.recipe import Recipe
from tests import tiny_models, tiny_samples
from tests.test_train import log_of, stopped_at, weights_of

pytest.importorskip("bitsandbytes")
RECIPE = Recipe(
    method="qlora",
    steps=25,
    rank=4,
    alpha=8,
    learning_rate=3e-3,
    warmup_steps=2,
    tokens_per_step=256,
    row_tokens=128,
    precision="float32",
    validations=2,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qlora")
    tiny_models.make(folder / "base", "llama tied")
    tiny_samples.make(folder / "samples", 40)
    tiny_samples.make(folder / "validation", 10, 1)
    return folder


def test_qlora_learns_on_a_base_of_four_bits(folder: Path, tmp_path: Path) -> None:
    result = train.run(RECIPE, folder / "base", folder / "samples", tmp_path, folder / "validation")
    assert result.before is not None
    assert result.validation is not None
    assert result.validation < result.before - 0.3
    tensors = weights_of(tmp_path)
    assert len(tensors) == 3 * 7 * 2
    assert all("lora_" in name for name in tensors)


def test_the_linear_layers_of_the_base_are_nf4(folder: Path) -> None:
    found = learner.load(RECIPE, folder / "base", torch.device("cpu"), torch.float32)
    kinds = {
        name: parameter
        for name, parameter in found.model.named_parameters()
        if name.endswith("base_layer.weight")
    }
    assert len(kinds) == 3 * 7
    assert all(weight.dtype == torch.uint8 for weight in kinds.values())
    assert {weight.quant_type for weight in kinds.values()} == {"nf4"}


def test_a_stopped_qlora_run_goes_on(folder: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    data = folder
    train.run(RECIPE, folder / "base", data / "samples", one, data / "validation")
    stopped_at(9, RECIPE, folder / "base", data, two)
    train.run(RECIPE, folder / "base", data / "samples", two, data / "validation")
    assert log_of(one) == log_of(two)
