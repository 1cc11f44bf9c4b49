"""Small LoRA adapters, trained by nobody and saved by peft itself, and a store full of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from completion import adapters, lora, manifest
from completion.adapters import Adapter, Base
from completion.engine import background
from completion.engine.background import Address
from finetune import registry
from tandem import paths
from tandem.config import Config, EngineConfig
from tests import tiny_models
from tests.lsp_client import use_folders

ALL = tuple(lora.MODULES)


def make(folder: Path, model: PreTrainedModel, seed: int = 0, **options: Any) -> PeftModel:
    """Save a random LoRA for `model` to `folder`; return the adapted model, not merged."""
    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": list(ALL), "init_lora_weights": False}
    adapted = get_peft_model(model, LoraConfig(**settings | options))
    adapted.save_pretrained(str(folder))
    return adapted.eval()


def reload(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def tune(name: str, seed: int, base: Base, work: Path, rank: int = 8) -> Adapter:
    """Into the store, a random one that changes what its base says. `work` is a folder for it."""
    make(work / name, reload(base.folder), seed, r=rank, lora_alpha=4 * rank)
    return registry.register(work / name, manifest_of(name, base), base)


def manifest_of(
    name: str, base: Base, repository: Path | str = "/repo", **more: Any
) -> adapters.Manifest:
    """Of an adapter that passes the gate."""
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
    return adapters.Manifest(**fields | more)


class Store:
    """The user's folders with the tiny model installed, and adapters for it as they are added."""

    def __init__(self, context: int = 256, variant: str = "llama tied") -> None:
        self.folder = paths.models_dir() / "tiny"
        self.folder.mkdir(parents=True)
        tiny_models.make(self.folder, variant, context=context)
        known = manifest.Manifest(
            name="tiny",
            source="tests",
            licence="none",
            family="llama",
            template="plain",
            context=context,
            created=manifest.now(),
            files=manifest.record(self.folder, manifest.silent),
        )
        manifest.write(self.folder, known)
        self.base = Base.of("tiny", self.folder)
        self.work = paths.cache_dir() / "work"

    def add(self, name: str, seed: int = 0, repository: Path | str = "/repo", **m: Any) -> Adapter:
        """Make a LoRA, different for each seed, and register it."""
        make(self.work / name, reload(self.folder), seed)
        known = manifest_of(name, self.base, repository, **m)
        return registry.register(self.work / name, known, self.base)

    def change_base(self) -> None:
        """As if another version of the model had been pulled: adapters are stale from now on."""
        tiny_models.make(self.folder, "llama tied")
        known = manifest.read(self.folder)
        assert known is not None
        file = self.folder / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        files = manifest.record(self.folder, manifest.silent)
        manifest.write(self.folder, known.model_copy(update={"files": files}))


@dataclass(frozen=True)
class Served:
    """A store, and a background engine that serves its tiny model."""

    store: Store
    config: Config
    address: Address


@contextmanager
def served(home: Path) -> Iterator[Served]:
    """With `home` as the user's folders, for the block's time."""
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, home)
        patch.setenv("NO_PROXY", "127.0.0.1")
        store = Store()
        settings = EngineConfig(threads=1, context=256, dtype="float32")
        config = Config(model="tiny", engine=settings)
        yield Served(store, config, background.ensure(config))
        background.stop(config)
