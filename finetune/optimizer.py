"""AdamW over float32 masters, and its state as tensors of a checkpoint."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from finetune.recipe import Recipe

BETA1 = 0.9


class Optimizer:
    """One update of all `masters`; matrices decay, vectors and the embedding's rows do not."""

    def __init__(self, recipe: Recipe, masters: Mapping[str, Tensor]) -> None:
        self._masters, self._clip = masters, recipe.clip
        matrices = [p for name, p in masters.items() if p.ndim == 2 and name != "rows"]
        others = [p for name, p in masters.items() if p.ndim != 2 or name == "rows"]
        self._adam = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(BETA1, recipe.beta2),
            fused=True,
        )

    def step(self, rate: float) -> float:
        """Clip the gradients, update, forget them. Returns their norm; if that is not finite,
        nothing was updated."""
        norm = float(nn.utils.clip_grad_norm_(self._masters.values(), self._clip))
        if math.isfinite(norm):
            for settings in self._adam.param_groups:
                settings["lr"] = rate
            self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return norm

    def state(self) -> tuple[dict[str, Tensor], float]:
        """First and second moments by name, `first.NAME` and `second.NAME`, and the updates."""
        tensors: dict[str, Tensor] = {}
        updates = 0.0
        for name, master in self._masters.items():
            moments: dict[str, Any] | None = self._adam.state.get(master)
            if moments:
                tensors[f"first.{name}"] = moments["exp_avg"]
                tensors[f"second.{name}"] = moments["exp_avg_sq"]
                updates = float(moments["step"])
        return tensors, updates

    def restore(self, tensors: dict[str, Tensor], updates: float) -> None:
        """Take up what `state` gave; moments that `tensors` lacks begin anew."""
        for name, master in self._masters.items():
            if f"first.{name}" in tensors:
                self._adam.state[master] = {
                    "step": torch.tensor(updates, device=master.device),
                    "exp_avg": tensors[f"first.{name}"].to(master.device),
                    "exp_avg_sq": tensors[f"second.{name}"].to(master.device),
                }
