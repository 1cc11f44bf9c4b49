"""Our LoRA pass against peft's own: the same outputs and gradients."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from finetune import learner, lora
from tests import tiny_models


@pytest.fixture(scope="module", params=["llama tied", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With peft's own pass, and with an update that is not zero."""
    folder: Path = tmp_path_factory.mktemp("base")
    tiny_models.make(folder, request.param)
    base = AutoModelForCausalLM.from_pretrained(folder)
    config = LoraConfig(r=4, lora_alpha=12, target_modules=list(learner.TARGETS))
    model: Any = get_peft_model(base, config)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_outputs_and_gradients_are_pefts(model: Any) -> None:
    ours = copy.deepcopy(model)
    lora.speed_up(ours)
    ids = torch.randint(0, 512, (2, 17))
    outcomes = []
    for one in (model, ours):
        output = one(input_ids=ids, labels=ids)
        output.loss.backward()
        learned = {name: p.grad for name, p in one.named_parameters() if p.requires_grad}
        outcomes.append((output.logits, learned))
    (logits, gradients), (our_logits, our_gradients) = outcomes
    torch.testing.assert_close(our_logits, logits, atol=1e-4, rtol=1e-4)
    assert len(gradients) == 3 * 7 * 2
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(our_gradients[name], gradient, atol=1e-5, rtol=1e-3)


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    shapes = {"x": (5, 6), "weight": (4, 6), "bias": (4,), "down": (2, 6), "up": (4, 2)}
    tensors = [torch.randn(*shape, dtype=torch.float64) for shape in shapes.values()]
    for index in (0, 3, 4):
        tensors[index].requires_grad_()

    def apply(x: torch.Tensor, down: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return lora._LoraLinear.apply(x, tensors[1], tensors[2], down, up, 1.7)

    assert torch.autograd.gradcheck(apply, (tensors[0], tensors[3], tensors[4]))
