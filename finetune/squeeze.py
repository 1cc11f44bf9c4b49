"""From two models to the file that travels with the program: what `compress` needs, gathered.

Needs torch, transformers, numpy and safetensors only: it runs where the model was trained.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from finetune import compress, device
from finetune.compress import Compressed
from finetune.store import SampleSet
from tandem.errors import UsageError

SAMPLES = 128  # that tell which inputs of a layer are large


def squeeze(
    base: Path,
    tuned: dict[str, Tensor],
    rows: tuple[int, ...],
    budget: int,
    samples: Path,
    where: torch.device,
) -> Compressed:
    """The difference between the model folder `base` and the weights `tuned` in `budget` bytes.

    `rows` of the embedding are kept whole; `samples` is a folder of a `SampleSet`, on some of whose
    samples, spread evenly, the tuned model is run to see its layers' inputs. Raises UsageError if
    it does not fit.
    """
    width = device.width("auto", where)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=width)
    narrow = {name: tensor.to(width) for name, tensor in tuned.items()}
    model.load_state_dict(narrow, strict=False)
    found = SampleSet.load(samples)
    starts = found.starts()
    picked = np.unique(np.linspace(0, len(found) - 1, min(SAMPLES, len(found))).round().astype(int))
    batches = [
        torch.from_numpy(found.ids[starts[one] : starts[one + 1]].astype("int64"))[None].to(where)
        for one in picked
    ]
    scales = compress.input_scales(model.eval().to(where), batches)
    try:
        return compress.compress(load_file(base / "model.safetensors"), tuned, rows, budget, scales)
    except ValueError as error:
        raise UsageError(f"The difference cannot be compressed: {error}.") from None
