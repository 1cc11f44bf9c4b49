"""Small LoRA adapters, trained by nobody and saved by peft itself, for tiny and real models."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from completion import adapters, lora
from completion.adapters import Manifest

ALL = tuple(lora.MODULES)


def make(folder: Path, model: PreTrainedModel, seed: int = 0, **options: Any) -> PeftModel:
    """Save a random LoRA for `model` to `folder`; return the adapted model, not merged."""
    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": list(ALL), "init_lora_weights": False}
    adapted = get_peft_model(model, LoraConfig(**settings | options))
    adapted.save_pretrained(str(folder))
    return adapted.eval()


def manifest(name: str, base: adapters.Base, repository: Path | str = "/repo", **more: Any):
    """A manifest of an adapter that passes the gate."""
    figures = {
        "gain_low": 0.02,
        "gain_mean": 0.05,
        "gain_high": 0.08,
        "holes": 300,
        "general_low": -0.01,
        "general_mean": 0.0,
        "general_high": 0.01,
        "general_holes": 300,
    }
    fields: dict[str, Any] = {
        "name": name,
        "base": base.name,
        "base_hash": base.hash,
        "data_hash": "d" * 64,
        "repository": str(repository),
        "created": "2026-01-01T00:00:00+00:00",
        "recipe": {"method": "lora", "rank": 4},
        "figures": figures,
        "licence": "of the repository",
    }
    return Manifest(**fields | more)
