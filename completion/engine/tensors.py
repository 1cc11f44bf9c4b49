"""The weights of a model folder, as the files have them and as the engine multiplies by them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open

from completion import families
from completion.engine.shipped import Shipped
from tandem.errors import ModelError


@dataclass
class Linear:
    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


class Tensors:
    """The tensors of a folder's safetensors files by name, read as they are asked for.

    A shipped difference is added in float32, before the cast to the engine's width.
    """

    def __init__(
        self,
        folder: Path,
        dtype: torch.dtype,
        shipped: Shipped | None = None,
        device: str = "cpu",
    ) -> None:
        self.dtype = dtype
        self.device = device
        self._file_of: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}
        for file in families.weight_files(folder):
            try:
                self._open[file] = safe_open(str(file), framework="pt")
            except (SafetensorError, OSError) as error:
                raise ModelError(
                    f"{file} is missing or damaged: {error}.", "Pull or copy the model again."
                ) from error
            self._file_of.update(dict.fromkeys(self._open[file].keys(), file))
        self._difference = shipped.load(self.shapes()) if shipped else None

    def files(self) -> dict[Path, list[str]]:
        """The names in each file."""
        return {file: [n for n, at in self._file_of.items() if at == file] for file in self._open}

    def shapes(self) -> dict[str, list[int]]:
        return {
            name: self._open[file].get_slice(name).get_shape()
            for name, file in self._file_of.items()
        }

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._file_of:
            raise ModelError(
                f"The model's files have no tensor {name}.", "Pull or copy the model again."
            )
        tensor = self._open[self._file_of[name]].get_tensor(name)
        if self._difference is not None:
            tensor = self._difference.merged(name, tensor)
        return tensor.to(self.device, self.dtype)

    def fused(self, prefix: str, *names: str) -> Linear:
        """Several projections of one input as one matrix, with their biases if they have any."""
        weight = torch.cat([self[f"{prefix}{name}.weight"] for name in names])
        has_bias = f"{prefix}{names[0]}.bias" in self
        bias = torch.cat([self[f"{prefix}{name}.bias"] for name in names]) if has_bias else None
        return Linear(weight, bias)
