"""peft's LoRA folder: which of them we can merge, and whether one fits its base model.

A LoRA (Hu et al. 2021) adds `scale * B @ A` to a weight matrix [out, in], with A [rank, in] and
B [out, rank]. Only its plain form over the seven matrices of a decoder layer is taken: vLLM
serves the same. The folder is somebody else's data: pickles are refused, unread.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from completion import families
from tandem.errors import ModelError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MODULES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), "self_attn"),
    **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), "mlp"),
}
MAX_RANK = 1024
_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
_WIDTHS = {"F32", "F16", "BF16"}
_EMBEDDINGS = re.compile(r"embed|lm_head|modules_to_save")
_TENSOR = re.compile(
    r"base_model\.model\.model\.layers\.\d{1,4}\.(self_attn|mlp)\.(\w+)\.lora_([AB])\.weight"
)
# Of adapter_config.json: what we read, and what changes nothing about the finished matrices.
_READ = {"peft_type", "r", "lora_alpha", "use_rslora", "target_modules", "bias"}
_READ |= {"init_lora_weights", "modules_to_save", "trainable_token_indices", "use_dora"}
_HARMLESS = {"auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout"}
_HARMLESS |= {"megatron_core", "peft_version", "qalora_group_size", "revision", "task_type"}
_HARMLESS |= {"eva_config"}
# Others change the base's own weights at the start of training.
_INITS = {"gaussian", "eva", "orthogonal"}


@dataclass(frozen=True)
class Lora:
    """What a folder's config says; `layers` is the number of the base's layers."""

    file: Path
    rank: int
    scale: float
    modules: tuple[str, ...]
    layers: int

    def pairs(self) -> Iterator[tuple[int, str, str, str]]:
        """(layer, module, name of A, name of B) of each matrix that is changed."""
        for layer in range(self.layers):
            for module in self.modules:
                stem = f"base_model.model.model.layers.{layer}.{MODULES[module]}.{module}.lora_"
                yield layer, module, f"{stem}A.weight", f"{stem}B.weight"


def examine(folder: Path, base: Path) -> Lora:
    """Check a LoRA folder against the base model's folder. No tensor is read.

    Raises ModelError saying what is wrong: a pickle, a form of LoRA that we do not merge, a
    tensor that is missing, too many, or of another shape than the base's.
    """
    config = _config_of(folder)
    shapes = base_shapes(base)
    rank, targets = _rank(config), _targets(config)
    # peft keeps no order among modules; with ours, messages are the same each time.
    modules = tuple(module for module in MODULES if module in targets)
    lora = Lora(folder / WEIGHTS, rank, _scale(config, rank), modules, _layers(shapes))
    _check_tensors(lora, shapes)
    return lora


def rank_of(folder: Path) -> int:
    """The rank of a LoRA whose tensors are for a server of its own to judge, which may know
    families that we do not.

    Raises ModelError for a pickle, or a form of LoRA that is not served.
    """
    config = _config_of(folder)
    families.safetensors_header(folder / WEIGHTS)
    return _rank(config)


def examine_alone(folder: Path) -> int:
    """What of `examine` needs no base model: the form of the folder; returns the rank.

    Raises ModelError. Whether it fits its base is left to who has that.
    """
    config = _config_of(folder)
    rank, targets = _rank(config), _targets(config)
    _scale(config, rank)
    header = families.safetensors_header(folder / WEIGHTS)
    for name in sorted(header.keys() - {"__metadata__"}):
        found, shape = _TENSOR.fullmatch(name), header[name]["shape"]
        if not found or MODULES.get(found[2]) != found[1] or found[2] not in targets:
            raise ModelError(f"{WEIGHTS} has a tensor of no known use ({_short(name)}).")
        if len(shape) != 2 or shape[0 if found[3] == "A" else 1] != rank:
            raise ModelError(f"{WEIGHTS}: {_short(name)} is not of rank {rank}.")
        if header[name]["dtype"] not in _WIDTHS:
            raise ModelError(f"{WEIGHTS}: {_short(name)} is of type {header[name]['dtype']}.")
    return rank


def base_shapes(base: Path) -> dict[str, list[int]]:
    """Shape of each tensor of a model folder, from the headers of its files."""
    return {
        name: entry["shape"]
        for file in families.weight_files(base)
        for name, entry in families.safetensors_header(file).items()
        if name != "__metadata__"
    }


def _config_of(folder: Path) -> dict[str, Any]:
    """Raises ModelError for a pickle beside it, or a form of LoRA that we do not merge."""
    _refuse_pickles(folder)
    config = families.read_json(folder / CONFIG)
    _refuse_other_forms(config)
    return config


def _refuse_pickles(folder: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _PICKLES)
    if files:
        raise ModelError(
            f"{files[0].name} is a pickle, which can run code when loaded.",
            "Save the adapter as safetensors (peft's default) and remove that file.",
        )


def _refuse_other_forms(config: dict[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{CONFIG} is of type {_short(config.get('peft_type'))}, not LORA.")
    if config.get("modules_to_save") or config.get("trainable_token_indices"):
        raise ModelError(
            f"{CONFIG} has trained embeddings or whole modules.", "Train linear layers only."
        )
    if config.get("use_dora"):
        raise ModelError("DoRA is not supported.", "Train a plain LoRA.")
    if config.get("bias") not in (None, "none"):
        raise ModelError(f"{CONFIG} has trained biases.", "Train with bias='none'.")
    start = config.get("init_lora_weights", True)
    if not isinstance(start, bool) and str(start) not in _INITS:
        raise ModelError(
            f"init_lora_weights={_short(start)} changes the base's weights.", "Train a plain LoRA."
        )
    for key in sorted(config.keys() - _READ - _HARMLESS):
        if config[key]:
            raise ModelError(f"{CONFIG}: {_short(key)} is not supported.", "Train a plain LoRA.")


def _rank(config: dict[str, Any]) -> int:
    rank = config.get("r")
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise ModelError(f"{CONFIG}: r is {_short(rank)}, not 1 to {MAX_RANK}.")
    return rank


def _scale(config: dict[str, Any], rank: int) -> float:
    """alpha / r, or alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023)."""
    alpha = config.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not _reasonable(alpha):
        raise ModelError(f"{CONFIG}: lora_alpha is {_short(alpha)}, no number above 0.")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _reasonable(alpha: float) -> bool:
    return 0 < alpha <= 1e6  # also false for NaN


def _targets(config: dict[str, Any]) -> set[str]:
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not targets:
        raise ModelError(f"{CONFIG}: target_modules is no list of names.")
    unknown = [_short(target) for target in targets if str(target) not in MODULES]
    if unknown:
        raise ModelError(
            f"{CONFIG}: target module {min(unknown)} is not one of {', '.join(MODULES)}.",
            "Train linear layers only.",
        )
    return set(targets)


def _layers(shapes: dict[str, list[int]]) -> int:
    numbers = {int(m[1]) for name in shapes if (m := re.match(r"model\.layers\.(\d+)\.", name))}
    return len(numbers)


def _check_tensors(lora: Lora, shapes: dict[str, list[int]]) -> None:
    header = families.safetensors_header(lora.file)
    found = {name: entry for name, entry in header.items() if name != "__metadata__"}
    for layer, module, a, b in lora.pairs():
        weight = f"model.layers.{layer}.{MODULES[module]}.{module}.weight"
        if weight not in shapes:
            raise ModelError(f"The base model has no {weight}.")
        outputs, inputs = shapes[weight]
        for name, wanted in ((a, [lora.rank, inputs]), (b, [outputs, lora.rank])):
            entry = found.pop(name, None)
            if entry is None:
                raise ModelError(f"{WEIGHTS} lacks the tensor {name}.")
            if entry["shape"] != wanted:
                raise ModelError(
                    f"{WEIGHTS}: {name} has shape {entry['shape']}; the base needs {wanted}."
                )
            if entry["dtype"] not in _WIDTHS:
                raise ModelError(f"{WEIGHTS}: {name} is of type {entry['dtype']}.")
    if found:
        name = min(found)
        what = "trained embeddings" if _EMBEDDINGS.search(name) else "a tensor of no known use"
        raise ModelError(f"{WEIGHTS} has {what} ({_short(name)}).", "Train linear layers only.")


def _short(value: object) -> str:
    """A stranger's value in a message of ours."""
    return repr(value)[:80]
