"""The tiny model with weights of four bits, as files of AWQ and GPTQ have them, and what those
weights are as plain numbers."""

import json
import shutil
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

GROUP = 32
BITS = 4
LEVELS = 2**BITS
# AutoAWQ's order of eight values in one integer, from the lowest bits up.
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
Form = Literal["awq", "gptq", "fp8"]


def make(folder: Path, source: Path, model: PreTrainedModel, form: Form) -> None:
    """Save `model`, whose files lie in `source`, quantised; `model` gets the rounded weights."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder)
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.state_dict().items():
        if not name.endswith("_proj.weight"):
            tensors[name] = parameter.to(torch.float16)
            continue
        stem = name.removesuffix(".weight")
        packed, plain = _WAYS[form](parameter)
        tensors |= {f"{stem}.{part}": tensor for part, tensor in packed.items()}
        parameter.copy_(plain)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config |= {"quantization_config": {"quant_method": form, **_TOLD[form]}, "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))


def _awq(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """From [out, in]. Groups of inputs with a smallest and a largest value each."""
    groups = weight.T.reshape(-1, GROUP, weight.shape[0])  # [group, GROUP, out]
    low, high = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
    scale = ((high - low) / (LEVELS - 1)).half().float()
    zero = (-low / scale).round().clamp(0, LEVELS - 1)
    level = (groups / scale + zero).round().clamp(0, LEVELS - 1)
    plain = ((level - zero) * scale).reshape(weight.T.shape).T
    whole = level.reshape(weight.T.shape).int()  # [in, out]
    packed = {
        "qweight": _pack(whole, _AWQ_ORDER),
        "qzeros": _pack(zero.squeeze(1).int(), _AWQ_ORDER),
        "scales": scale.squeeze(1).half(),
    }
    return packed, plain


def _gptq(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """From [out, in]. Groups of inputs around zero."""
    groups = weight.T.reshape(-1, GROUP, weight.shape[0])
    scale = (groups.abs().amax(1, keepdim=True) / (LEVELS / 2 - 1)).half().float()
    level = (groups / scale + LEVELS / 2).round().clamp(0, LEVELS - 1)
    plain = ((level - LEVELS / 2) * scale).reshape(weight.T.shape).T
    whole = level.reshape(weight.T.shape).int()
    inputs, outputs = whole.shape
    # The format stores a zero as one less than it is.
    zeros = torch.full((inputs // GROUP, outputs), LEVELS // 2 - 1, dtype=torch.int32)
    packed = {
        "qweight": _pack(whole.T, range(8)).T.contiguous(),
        "qzeros": _pack(zeros, range(8)),
        "scales": scale.squeeze(1).half(),
        "g_idx": torch.arange(inputs, dtype=torch.int32) // GROUP,
    }
    return packed, plain


def _fp8(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """One scale for a whole matrix."""
    scale = weight.abs().max() / torch.finfo(torch.float8_e4m3fn).max
    small = (weight / scale).to(torch.float8_e4m3fn)
    return {"weight": small, "weight_scale": scale}, small.float() * scale


def _pack(values: torch.Tensor, order: tuple[int, ...] | range) -> torch.Tensor:
    """Eight neighbours of the last dimension in one int32, the first of `order` lowest."""
    eights = values.reshape(*values.shape[:-1], -1, 8).long()
    packed = torch.zeros(eights.shape[:-1], dtype=torch.int64)
    for place, which in enumerate(order):
        packed |= eights[..., which] << (BITS * place)
    return (packed - ((packed >> 31) << 32)).int()


_WAYS = {"awq": _awq, "gptq": _gptq, "fp8": _fp8}
_FOUR_BITS = {"bits": BITS, "group_size": GROUP}
_TOLD = {
    "awq": {**_FOUR_BITS, "zero_point": True, "version": "gemm"},
    "gptq": {**_FOUR_BITS, "desc_act": False, "sym": True},
    "fp8": {"activation_scheme": "dynamic"},
}
