"""LoRA adapters in the engine: merged into copies of the matrices they touch, or beside them.

A merged variant shares everything else with its base: embeddings, norms, rotary tables,
tokenizer. It has KV caches of its own, because keys and values depend on the weights that made them.
"""

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import torch
from safetensors import SafetensorError, safe_open

from completion import adapters, lora
from completion.engine.beside import Beside, BesideModel
from completion.engine.generate import Decoder
from completion.engine.int8 import Int8Model
from completion.engine.model import Layer, Model
from completion.engine.request import Work
from completion.engine.tensors import Linear
from completion.engine.weights import AnyModel
from completion.lora import Lora
from tandem.errors import ModelError

# Each takes as much memory as the base without its embeddings.
KEPT_VARIANTS = 2
KEPT_BESIDE = 8
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Pair:
    """What an adapter adds to one matrix: scale * B @ A."""

    layer: int
    module: str
    a: torch.Tensor
    b: torch.Tensor
    scale: float

    @property
    def name(self) -> str:
        return f"model.layers.{self.layer}.{lora.MODULES[self.module]}.{self.module}.weight"

    def added_to(self, matrix: torch.Tensor) -> torch.Tensor:
        return torch.addmm(matrix, self.b, self.a, alpha=self.scale)


class Variants:
    """The base model's decoder and those of its adapters, made at their first use.

    `weights` tells what adapters must be for; it is asked when the first one is loaded, because
    it may have to hash the model's files. `beside` keeps adapters apart from the weights, see
    there; it changes the base decoder's model and raises ModelError where that cannot be. Not
    thread-safe, but for `work`: the thread that owns the model owns this.
    """

    def __init__(
        self, base: Decoder, weights: Callable[[], adapters.Base], beside: bool = False
    ) -> None:
        self._base = base
        self._kept = KEPT_BESIDE if beside else KEPT_VARIANTS
        if beside:
            if type(base.model) is not Model:
                raise ModelError(
                    "Adapters beside the weights need float32 or bfloat16 weights.",
                    "Set engine.dtype, or set engine.adapters to merged.",
                )
            base.model = BesideModel(base.model)
        self._weights = weights
        self._loaded: OrderedDict[str, tuple[tuple[int, ...], Decoder]] = OrderedDict()

    def decoder(self, adapter: str = "") -> Decoder:
        """For an adapter's name, or the base for none. Loading takes about a second.

        An adapter whose files changed since is read again. Raises UsageError or ModelError,
        see `adapters.resolve`; what is loaded stays as it is then.
        """
        if not adapter:
            return self._base
        stamp = adapters.stamp(adapter)
        known, decoder = self._loaded.get(adapter, ((), None))
        if decoder is None or known != stamp:
            decoder = self._load(adapter)
            self._drop(adapter)
            self._loaded[adapter] = stamp, decoder
        self._loaded.move_to_end(adapter)
        while len(self._loaded) > self._kept:
            self._drop(next(iter(self._loaded)))
        return decoder

    @property
    def cache_bytes(self) -> int:
        return self._base.pool.bytes

    @property
    def work(self) -> Work:
        """Of the base and of all adapters since the start."""
        return self._base.work

    def _load(self, name: str) -> Decoder:
        weights = self._weights()
        found = adapters.resolve(name, weights, thorough=True)
        log.info("loading the adapter %s", name)
        return with_adapter(self._base, found.folder, weights.folder)

    def _drop(self, name: str) -> None:
        if name in self._loaded:
            decoder = self._loaded.pop(name)[1]
            decoder.pool.forget(decoder.owner)


def with_adapter(base: Decoder, folder: Path, base_folder: Path) -> Decoder:
    """A decoder like `base` with the LoRA of `folder`, in the base's form. Raises ModelError."""
    adapter = lora.examine(folder, base_folder)
    if isinstance(base.model, BesideModel):
        model, owner = base.model, load_beside(base.model, adapter)
    else:
        model, owner = merge(base.model, adapter), None
    made = Decoder(model, base.tokenizer, folder.name, base.pool, owner, base.work)
    if base.speculation is None:
        made.speculation = None
    return made


@overload
def merge(model: Model, adapter: Lora) -> Model: ...
@overload
def merge(model: Int8Model, adapter: Lora) -> Int8Model: ...
@torch.inference_mode()
def merge(model: AnyModel, adapter: Lora) -> AnyModel:
    """A model that shares with `model` all that the adapter does not change.

    Computed in float32, then cast to the model's width. Raises ModelError for tensors that
    cannot be read or are not finite.
    """
    pairs = _pairs(adapter)
    return _into_int8(model, pairs) if isinstance(model, Int8Model) else _into(model, pairs)


def load_beside(model: Model, adapter: Lora) -> Beside:
    """The adapter's tensors in float32, for a `BesideModel`. Raises ModelError as `merge`."""
    beside = Beside()
    parts = [_parts(model, layer) for layer in model.layers]
    for pair in _pairs(adapter):
        a, b = pair.a.to(model.device), (pair.b * pair.scale).to(model.device)
        beside.add(pair.layer, *parts[pair.layer][pair.module], a, b)
    return beside


def check_tensors(adapter: Lora) -> None:
    """Read them all once. Raises ModelError as `merge`."""
    for _ in _pairs(adapter):
        pass


def _pairs(adapter: Lora) -> Iterator[_Pair]:
    try:
        with safe_open(str(adapter.file), framework="pt") as tensors:
            for layer, module, *names in adapter.pairs():
                a, b = (tensors.get_tensor(name).float() for name in names)
                if not bool(a.isfinite().all() and b.isfinite().all()):
                    raise ModelError(f"{names[0]} or its B is not finite.", "Tune again.")
                yield _Pair(layer, module, a, b, adapter.scale)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{adapter.file} cannot be read: {error}.", "Tune again.") from error


def _into_int8(model: Int8Model, pairs: Iterable[_Pair]) -> Int8Model:
    """Added to the matrices as they are in the files: what int8 lost is not lost twice."""
    by_name = {pair.name: pair for pair in pairs}
    return model.replaced(by_name, lambda name, matrix: by_name[name].added_to(matrix))


def _into(model: Model, pairs: Iterable[_Pair]) -> Model:
    merged = copy.copy(model)
    merged.layers = [copy.copy(layer) for layer in model.layers]
    parts = [_parts(model, layer) for layer in merged.layers]
    for pair in pairs:
        attribute, rows = parts[pair.layer][pair.module]
        matrix = _own(merged.layers[pair.layer], model.layers[pair.layer], attribute)[rows]
        matrix.copy_(pair.added_to(matrix.float().cpu()))
    merged.graphs = model.graphs and model.graphs.of(merged)
    return merged


def _own(layer: Layer, base: Layer, attribute: str) -> torch.Tensor:
    """The weight of one of the layer's linears, copied from the base's at first."""
    linear: Linear = getattr(layer, attribute)
    if linear is getattr(base, attribute):
        linear = Linear(linear.weight.clone(), linear.bias)
        setattr(layer, attribute, linear)
    return linear.weight


def _parts(model: Model, layer: Layer) -> dict[str, tuple[str, slice]]:
    """Where the engine's fused matrices hold each module: the layer's attribute and the rows."""
    c = model.config
    queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
    wide = layer.gate_up.weight.shape[0] // 2
    return {
        "q_proj": ("qkv", slice(0, queries)),
        "k_proj": ("qkv", slice(queries, queries + keys)),
        "v_proj": ("qkv", slice(queries + keys, queries + 2 * keys)),
        "o_proj": ("output", slice(None)),
        "gate_proj": ("gate_up", slice(0, wide)),
        "up_proj": ("gate_up", slice(wide, 2 * wide)),
        "down_proj": ("down", slice(None)),
    }
