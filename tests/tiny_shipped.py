"""A tiny model in the store under the default model's name, and a difference made for it."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from completion import families, manifest, models
from completion.manifest import InstalledModel, Manifest
from finetune import compress
from finetune.compress import Compressed, Factors
from tandem import paths
from tests import tiny_models

Weights = dict[str, torch.Tensor]
ROWS = [0, 2]


def install(name: str = models.DEFAULT, template: str = "plain") -> InstalledModel:
    """Put a tiny model into the store that TANDEM_HOME names."""
    folder = paths.models_dir() / name
    folder.mkdir(parents=True)
    tiny_models.make(folder, "llama tied")
    known = Manifest(
        name=name,
        source="a test",
        licence="none",
        family="llama",
        template=template,
        context=256,
        created=manifest.now(),
        files=manifest.record(folder, manifest.silent),
    )
    manifest.write(folder, known)
    return InstalledModel(name, folder, known)


def weights(model: InstalledModel) -> Weights:
    return load_file(model.folder / families.WEIGHTS)


def difference(base: Weights, size: float = 0.02) -> Compressed:
    """A made-up one for these weights: every matrix, every norm, two rows of the embedding."""
    random = torch.Generator().manual_seed(7)

    def integers(length: int) -> torch.Tensor:
        return torch.randint(-127, 128, (3, length), generator=random, dtype=torch.int8)

    factors, dense = {}, {}
    for name, tensor in base.items():
        if tensor.ndim == 1:
            dense[name] = (size * torch.randn(tensor.shape, generator=random)).half()
        elif name != compress.EMBEDDING:
            outputs, inputs = tensor.shape
            scales = torch.full((3,), size / 127**2)
            columns = torch.rand(inputs, generator=random).add(0.5).half()
            known = columns if "down_proj" in name else None
            factors[name] = Factors(integers(outputs), integers(inputs), scales, known)
    rows = torch.randn((len(ROWS), base[compress.EMBEDDING].shape[1]), generator=random)
    ids = torch.tensor(ROWS, dtype=torch.int32)
    return Compressed(factors, dense, ids, (size * rows).half(), {"q_proj": 0.5})


def save(made: Compressed, model: InstalledModel, file: Path, **metadata: Any) -> Path:
    """Write it as the trainer does, for that model's weights."""
    facts = {
        "base_sha256": model.manifest.files[families.WEIGHTS].sha256,
        "template": "tandem",
        "end": "<|endoftext|>",
        "licence": "Apache-2.0",
    }
    made.save(file, {**facts, **metadata})
    return file
