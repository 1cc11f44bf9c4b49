"""The form a model's weights get, by the CPU, the compiler and the setting `engine.dtype`."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from completion.engine import kernels
from completion.engine.graphs import Graphs, captured
from completion.engine.int8 import Int8Model
from completion.engine.kernels import Kernels, Unavailable
from completion.engine.model import Model
from completion.engine.shipped import Shipped
from tandem.errors import ModelError

Form = Literal["float32", "bfloat16", "int8"]
AnyModel = Model | Int8Model
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """A form and, in some words, what spoke for it."""

    form: Form
    why: str
    native: Kernels | None = None
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.form} ({self.why})"


def choose(name: str, device: str = "cpu") -> Choice:
    """The form for values of `engine.dtype` and `engine.device`. May compile the kernels, which
    takes some seconds.

    `auto` is int8 where our kernels run on vector instructions, else bfloat16 where the CPU
    multiplies it, else float32. Decoding is bound by reading the weights. Raises ModelError if
    int8 is asked for and there are no kernels, or a GPU and there is none.
    """
    if device == "cuda":
        return _on_gpu(name)
    if name == "float32" or name == "bfloat16":
        return Choice(name, "as set")
    try:
        native = kernels.load()
    except Unavailable as reason:
        if name == "int8":
            raise _impossible(reason) from None
        return _in_torch(str(reason))
    if name == "auto" and native.level == "portable":
        return _in_torch("this CPU's vector instructions are unknown to the kernels")
    return Choice("int8", f"{native.level} kernels", native)


def load(
    folder: Path,
    dtype: str = "auto",
    threads: int = 0,
    context: int = 2048,
    shipped: Shipped | None = None,
    device: str = "cpu",
) -> AnyModel:
    """The folder's model, with a shipped difference merged into it before it is rounded.

    Raises ModelError for a folder that we cannot read or run, or a difference that does not fit.
    """
    threads = threads or usable_cores()
    torch.set_num_threads(threads)
    choice = choose(dtype, device)
    if choice.native is not None:
        try:
            choice.native.call("threads", threads)
            model = Int8Model.load(folder, context, shipped, choice.native)
        except Unavailable as reason:
            if dtype == "int8":
                raise _impossible(reason) from None
            choice = _in_torch(str(reason))
        else:
            # What is left for torch is small, and its threads would wait for it by spinning.
            torch.set_num_threads(1)
            log.info("weights: %s", choice)
            return model
    log.info("weights: %s", choice)
    width = torch.float32 if choice.form == "float32" else torch.bfloat16
    model = Model.load(folder, width, context, shipped, choice.device)
    if choice.device == "cuda":
        model.graphs = Graphs(model, captured)
    return model


def usable_cores() -> int:
    """Cores this process may run on; not every system can tell, then all there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def fast_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def _on_gpu(name: str) -> Choice:
    """bfloat16, with passes over few tokens captured: see `graphs`."""
    if not torch.cuda.is_available():
        raise ModelError(
            f"torch {torch.__version__} finds no GPU that it can use.",
            'Install a torch for CUDA and a driver, or set engine.device = "cpu".',
        )
    if name == "int8":
        raise ModelError(
            "int8 weights run on the CPU only.", 'Set engine.dtype = "auto" or "bfloat16".'
        )
    form: Form = "float32" if name == "float32" else "bfloat16"
    gpu = torch.cuda.get_device_name()
    return Choice(form, f"{gpu}, captured passes", device="cuda")


def _in_torch(reason: str) -> Choice:
    """bfloat16 is emulated, and slower than float32, where the CPU cannot multiply it."""
    if fast_bfloat16():
        return Choice("bfloat16", f"no int8: {reason}")
    return Choice("float32", f"no int8: {reason}")


def _impossible(reason: Unavailable) -> ModelError:
    return ModelError(
        f"int8 weights cannot run here: {reason}.",
        'Install a C++ compiler (apt-get install g++) or set engine.dtype = "auto".',
    )
