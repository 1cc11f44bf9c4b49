"""What this process trains on: a GPU where there is one, else the CPU; and in which width."""

import os

import torch

from finetune.recipe import Precision
from tandem.errors import UsageError


def choose() -> torch.device:
    """The GPU of this process's local rank, or the CPU. `TANDEM_TRAIN_CPU=1` insists on the CPU."""
    wanted = os.environ.get("ACCELERATE_USE_CPU", "") or os.environ.get("TANDEM_TRAIN_CPU", "")
    if torch.cuda.is_available() and wanted.lower() not in ("1", "true"):
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def width(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of the weights in the forward pass; `auto` takes bfloat16 where it is fast."""
    if precision != "auto":
        if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise UsageError("This GPU has no bfloat16.", "Use precision float32.")
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported()
    else:
        features = torch.cpu.get_capabilities()
        fast = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32
