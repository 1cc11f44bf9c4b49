"""What fine-tuning changed in a model, made small enough to ship with the program.

The difference of each linear layer's matrix is kept as a product of low rank (Eckart and Young
1936: the largest singular values keep the most energy), its factors as int8. Ranks are not the
same everywhere: of all components of all matrices those are taken that keep the most energy for
their bytes. The differences of the norms and of some rows of the embedding are small enough to
stay as they are.

Needs torch, numpy and safetensors only: it runs where the model was trained.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

FORMAT = 1
# The key of the file's metadata, JSON, and what it must tell.
METADATA = "tandem"
REQUIRED = frozenset({"base_sha256", "template", "end", "licence"})
EMBEDDING = "model.embed_tokens.weight"
# What the budget keeps free for the metadata, and for each tensor in the file's header.
METADATA_BYTES = 32 * 1024
ENTRY_BYTES = 160

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Factors:
    """A difference [m, n] as sum over i of scales[i] * left[i] ⊗ right[i] / columns.

    left [rank, m] and right [rank, n] are int8, scales [rank] float32 (one for both vectors of a
    component), columns [n] float16 or None for ones.
    """

    left: Tensor
    right: Tensor
    scales: Tensor
    columns: Tensor | None = None

    def dense(self) -> Tensor:
        """The difference [m, n] in float32."""
        product = self.left.float().T @ (self.scales[:, None] * self.right.float())
        return product if self.columns is None else product / self.columns.float()


@dataclass(frozen=True)
class Compressed:
    """A compressed difference by tensor name.

    `dense` holds differences that are kept whole, in float16, and `rows` those of the
    embedding's rows `ids`. `kept` is the share of the squared difference that is left, by kind
    of matrix.
    """

    factors: Mapping[str, Factors]
    dense: Mapping[str, Tensor]
    ids: Tensor
    rows: Tensor
    kept: Mapping[str, float]

    @property
    def ranks(self) -> dict[str, int]:
        return {name: len(part.scales) for name, part in self.factors.items()}

    def apply(self, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The base's tensors with the difference added, in float32."""
        merged = {name: tensor.float() for name, tensor in base.items()}
        for name, part in self.factors.items():
            merged[name] = merged[name] + part.dense()
        for name, difference in self.dense.items():
            merged[name] = merged[name] + difference.float()
        merged[EMBEDDING] = merged[EMBEDDING].index_add(0, self.ids.long(), self.rows.float())
        return merged

    def save(self, file: Path, metadata: Mapping[str, Any]) -> None:
        """Write one .safetensors file, whole or not at all.

        `metadata` tells at least what `REQUIRED` names; recipe and figures belong there too.
        Raises ValueError if it does not.
        """
        if missing := REQUIRED - metadata.keys():
            raise ValueError(f"the metadata lacks {', '.join(sorted(missing))}")
        tensors = self._tensors()
        facts = {"v": FORMAT, **metadata, "kept": dict(self.kept)}
        facts["data_sha256"] = hashlib.sha256(_data(save(tensors))).hexdigest()
        content = save(tensors, {METADATA: json.dumps(facts, ensure_ascii=False)})
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            temporary.write_bytes(content)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, file: Path) -> tuple["Compressed", dict[str, Any]]:
        """What `save` wrote, and its metadata.

        Raises OSError, SafetensorError, KeyError or ValueError for a file that is none of ours.
        """
        content = file.read_bytes()
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = json.loads(header["__metadata__"][METADATA])
        if (
            facts["v"] != FORMAT
            or facts["data_sha256"] != hashlib.sha256(_data(content)).hexdigest()
        ):
            raise ValueError("another format, or damaged")
        ids, rows = tensors.pop(f"{EMBEDDING}.ids"), tensors.pop(f"{EMBEDDING}.rows")
        factors, dense = {}, {}
        for name in {key.rpartition(".")[0] for key in tensors}:
            if (added := tensors.get(f"{name}.add")) is not None:
                dense[name] = added
            else:
                left, right = tensors[f"{name}.left"], tensors[f"{name}.right"]
                columns = tensors.get(f"{name}.columns")
                factors[name] = Factors(left, right, tensors[f"{name}.scales"], columns)
        return cls(factors, dense, ids, rows, facts["kept"]), facts

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"{name}.add": difference for name, difference in self.dense.items()}
        for name, part in self.factors.items():
            tensors[f"{name}.left"] = part.left
            tensors[f"{name}.right"] = part.right
            tensors[f"{name}.scales"] = part.scales
            if part.columns is not None:
                tensors[f"{name}.columns"] = part.columns
        tensors |= {f"{EMBEDDING}.ids": self.ids, f"{EMBEDDING}.rows": self.rows}
        return {name: tensor.contiguous() for name, tensor in tensors.items()}


def compress(
    base: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    rows: Sequence[int],
    budget_bytes: int,
    input_scales: Mapping[str, Tensor] | None = None,
    progress: Progress = lambda done, total: None,
) -> Compressed:
    """The difference of `tuned` from `base`, both by Hugging Face names, in `budget_bytes`.

    Every matrix but the embedding is a linear layer's [outputs, inputs]; of the embedding the
    `rows` are kept, of which nothing else may differ. With `input_scales` (see there) the error
    that is made least is that of the layers' outputs on real inputs. Raises ValueError if the
    two are not of one shape, or the budget is too small for what is kept whole.
    """
    _demand_alike(base, tuned)
    scales = input_scales or {}
    matrices = [
        n for n, t in base.items() if t.ndim == 2 and n not in (EMBEDDING, "lm_head.weight")
    ]
    dense = {
        name: (tuned[name].float() - base[name].float()).half().cpu()
        for name in base
        if base[name].ndim == 1
    }
    ids = torch.tensor(sorted(rows), dtype=torch.int32)
    change = tuned[EMBEDDING][ids.long()].float() - base[EMBEDDING][ids.long()].float()
    entries = 4 * len(matrices) + len(dense) + 2
    room = budget_bytes - METADATA_BYTES - ENTRY_BYTES * entries
    room -= 2 * sum(difference.numel() for difference in dense.values())
    room -= change.numel() * 2 + sum(2 * base[name].shape[1] for name in matrices if name in scales)
    if room < 0:
        raise ValueError(f"{budget_bytes} bytes are too few for norms, rows and header")
    parts: dict[str, _Decomposed] = {}
    for number, name in enumerate(matrices):
        progress(number, 2 * len(matrices))
        difference = tuned[name].float() - base[name].float()
        parts[name] = _decompose(difference, scales.get(name))
    ranks = _allocate(parts, room)
    factors, energies = {}, dict.fromkeys(map(_kind, matrices), (0.0, 0.0))
    for number, name in enumerate(matrices):
        progress(len(matrices) + number, 2 * len(matrices))
        part = parts.pop(name)
        if ranks[name]:
            factors[name] = _quantise(part, ranks[name])
        lost, total = _error(part, factors.get(name))
        sums = energies[_kind(name)]
        energies[_kind(name)] = (sums[0] + lost, sums[1] + total)
    kept = {kind: 1 - lost / total if total else 1.0 for kind, (lost, total) in energies.items()}
    return Compressed(factors, dense, ids, change.half().cpu(), kept)


def input_scales(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """sqrt(E[x²]) of each input of each linear layer [inputs], by the name of its weight.

    `batches` are token ids [samples, tokens]. An input that is always small may be wrong at
    little cost.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str, layer: nn.Linear) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().float().reshape(-1, layer.in_features)
            sums[name] = sums.get(name, 0) + x.square().sum(0)
            counts[name] = counts.get(name, 0) + len(x)

        return layer.register_forward_pre_hook(hook)

    layers = {f"{n}.weight": m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    handles = [watch(name, layer) for name, layer in layers.items() if name != "lm_head.weight"]
    try:
        with torch.inference_mode():
            for batch in batches:
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: (total / counts[name]).sqrt().cpu() for name, total in sums.items()}


@dataclass(frozen=True)
class _Decomposed:
    """A difference [m, n], its columns scaled, and its singular values and left vectors."""

    scaled: Tensor
    columns: Tensor | None
    left: Tensor
    values: Tensor


def _decompose(difference: Tensor, columns: Tensor | None) -> _Decomposed:
    if columns is not None:
        # Only the proportions matter here: which matrix matters more, nobody knows.
        columns = columns.to(difference.device) / columns.square().mean().sqrt()
        columns = columns.clamp(1e-2, 1e2).half()
        difference = difference * columns.float()
    left, values, _ = torch.linalg.svd(difference, full_matrices=False)
    return _Decomposed(difference, columns, left, values)


def _allocate(parts: Mapping[str, _Decomposed], room: int) -> dict[str, int]:
    """Ranks that keep the most energy in `room` bytes: the best components for their bytes."""
    names = list(parts)
    costs = [sum(parts[name].scaled.shape) + 4 for name in names]
    energies = [parts[name].values.square().double().cpu() for name in names]
    gains = torch.cat([e / cost for e, cost in zip(energies, costs, strict=True)])
    owners = torch.cat([torch.full((len(e),), i) for i, e in enumerate(energies)])
    order = gains.argsort(descending=True)
    owners = owners[order][gains[order] > 0]
    spent = torch.tensor(costs, dtype=torch.float64)[owners].cumsum(0)
    taken = owners[spent <= room]
    counts = torch.bincount(taken, minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


def _quantise(part: _Decomposed, rank: int) -> Factors:
    """Left vectors become integers first; the right ones then make up for the rounding."""
    left, _ = _round(part.left[:, :rank].T)
    right, scales = _round(torch.linalg.lstsq(left.T, part.scaled).solution)
    columns = part.columns.cpu() if part.columns is not None else None
    return Factors(left.to(torch.int8).cpu(), right.to(torch.int8).cpu(), scales.cpu(), columns)


def _round(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [k, n] as integers from -127 to 127, and their scales [k]."""
    scales = vectors.abs().amax(1).clamp(min=1e-30) / 127
    return (vectors / scales[:, None]).round(), scales


def _error(part: _Decomposed, factors: Factors | None) -> tuple[float, float]:
    """Squared error and squared size of a difference, its columns scaled."""
    total = float(part.scaled.square().sum())
    if factors is None:
        return total, total
    rebuilt = factors.dense().to(part.scaled.device)
    if part.columns is not None:
        rebuilt = rebuilt * part.columns.float()
    return float((part.scaled - rebuilt).square().sum()), total


def _kind(name: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` → `up_proj`."""
    return name.split(".")[-2]


def _demand_alike(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor]) -> None:
    for name, tensor in base.items():
        if name not in tuned or tuned[name].shape != tensor.shape:
            raise ValueError(f"the tuned model has no {name} of shape {list(tensor.shape)}")


def _data(content: bytes) -> bytes:
    """The part of a safetensors file that follows its header."""
    return content[8 + int.from_bytes(content[:8], "little") :]
