"""The forward and backward pass of peft's LoRA layers, with fewer passes over memory.

At small ranks the products with the two narrow matrices are cheap; what costs is reading and
writing wide results: peft's own pass makes the update, scales it, and adds it, each in memory of
its own, and so does its gradient. Here the products add to the layer's output themselves. A step
of the shipped model takes about 5% less time on a CPU.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear
from torch import nn


class _LoraLinear(torch.autograd.Function):
    """x [n, in], weight [out, in], down [rank, in], up [out, rank] to [n, out]."""

    @staticmethod
    def forward(ctx, x, weight, bias, down, up, scale):
        out = F.linear(x, weight, bias)
        middle = x @ down.T
        out.addmm_(middle, up.T, alpha=scale)
        ctx.save_for_backward(x, weight, down, up, middle)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx, *gradients):
        (gradient,) = gradients
        x, weight, down, up, middle = ctx.saved_tensors
        narrow = (gradient @ up).mul_(ctx.scale)
        grad_x = (gradient @ weight).addmm_(narrow, down) if ctx.needs_input_grad[0] else None
        grad_up = (gradient.T @ middle).mul_(ctx.scale)
        return grad_x, None, None, narrow.T @ x, grad_up, None


def speed_up(model: nn.Module) -> None:
    """Let every LoRA layer over a plain linear layer compute as above.

    For training one adapter, named "default", without dropout. Layers in four bits stay as they
    are.
    """
    for layer in model.modules():
        if isinstance(layer, Linear) and type(layer.get_base_layer()) is nn.Linear:
            layer.forward = partial(_forward, layer)


def _forward(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """x [..., in] to [..., out]."""
    base = layer.get_base_layer()
    out = _LoraLinear.apply(
        x.reshape(-1, x.shape[-1]),
        base.weight,
        base.bias,
        layer.lora_A["default"].weight,
        layer.lora_B["default"].weight,
        layer.scaling["default"],
    )
    return out.view(*x.shape[:-1], -1)
