"""The compressed difference of two models: what it keeps, what it costs, what it refuses."""

import ast
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from finetune import compress
from finetune.compress import Compressed, Factors
from tests import tiny_models

EMBEDDING = compress.EMBEDDING
METADATA = {"base_sha256": "0" * 64, "template": "tandem", "end": "<|endoftext|>", "licence": "x"}
BUDGET = 90_000
ROWS = [0, 5]

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """A tiny model's weights by name, as its safetensors file has them."""
    folder = tmp_path_factory.mktemp("base")
    tiny_models.make(folder, "llama tied")
    with safe_open(folder / "model.safetensors", framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def tuned_of(base: Weights, rank: int | None = None, size: float = 0.01) -> Weights:
    """Every tensor changed: matrices by a difference of that rank, of the embedding two rows."""
    random = torch.Generator().manual_seed(1)
    tuned = {}
    for name, tensor in base.items():
        change = torch.randn(tensor.shape, generator=random)
        if tensor.ndim == 2 and rank:
            change = change[:, :rank] @ torch.randn(rank, tensor.shape[1], generator=random)
        tuned[name] = tensor + size * change
    tuned[EMBEDDING] = base[EMBEDDING].clone()
    tuned[EMBEDDING][ROWS] += size
    return tuned


def matrices(weights: Weights) -> list[str]:
    return [name for name, tensor in weights.items() if tensor.ndim == 2 and name != EMBEDDING]


def relative_error(wanted: Weights, got: Weights, base: Weights, name: str) -> float:
    return float((wanted[name] - got[name]).norm() / (wanted[name] - base[name]).norm())


def test_a_difference_of_low_rank_comes_back(base: Weights) -> None:
    tuned = tuned_of(base, rank=2)
    merged = compress.compress(base, tuned, ROWS, BUDGET).apply(base)
    for name in matrices(base):
        assert relative_error(tuned, merged, base, name) < 0.02, name


def test_norms_and_the_named_rows_come_back_as_float16(base: Weights) -> None:
    tuned = tuned_of(base)
    merged = compress.compress(base, tuned, ROWS, BUDGET).apply(base)
    for name in [name for name in base if "norm" in name]:
        torch.testing.assert_close(merged[name], tuned[name], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(merged[EMBEDDING], tuned[EMBEDDING], atol=1e-4, rtol=1e-4)


def test_rows_that_are_not_named_stay_the_bases(base: Weights) -> None:
    tuned = tuned_of(base)
    merged = compress.compress(base, tuned, [5], BUDGET).apply(base)
    assert torch.equal(merged[EMBEDDING][0], base[EMBEDDING][0])
    assert not torch.equal(merged[EMBEDDING][5], base[EMBEDDING][5])


@pytest.mark.parametrize("budget", [60_000, 70_000, 80_000])
def test_the_file_fits_the_budget_and_makes_use_of_it(
    base: Weights, tmp_path: Path, budget: int
) -> None:
    compressed = compress.compress(base, tuned_of(base), ROWS, budget)
    compressed.save(tmp_path / "d.safetensors", METADATA)
    size = (tmp_path / "d.safetensors").stat().st_size
    assert budget - compress.METADATA_BYTES - 12_000 < size <= budget


def test_more_bytes_keep_more_of_every_kind(base: Weights) -> None:
    tuned = tuned_of(base)
    small, large = (compress.compress(base, tuned, ROWS, n).kept for n in (60_000, 80_000))
    assert set(small) == {f"{k}_proj" for k in ("q", "k", "v", "o", "gate", "up", "down")}
    assert all(0 <= small[kind] < large[kind] <= 1 for kind in small)


def test_what_is_told_to_be_kept_is_what_is_kept(base: Weights) -> None:
    tuned = tuned_of(base)
    compressed = compress.compress(base, tuned, ROWS, 70_000)
    merged = compressed.apply(base)
    for kind, kept in compressed.kept.items():
        names = [name for name in matrices(base) if kind in name]
        lost = sum(float((tuned[n] - merged[n]).square().sum()) for n in names)
        total = sum(float((tuned[n] - base[n]).square().sum()) for n in names)
        assert kept == pytest.approx(1 - lost / total, abs=1e-5)


def test_bytes_go_where_they_keep_the_most(base: Weights) -> None:
    """No component that was left out would keep more for its bytes than one that was taken."""
    tuned = tuned_of(base)
    louder = "model.layers.1.mlp.up_proj.weight"
    tuned[louder] = base[louder] + 4 * (tuned[louder] - base[louder])
    ranks = compress.compress(base, tuned, ROWS, 70_000).ranks
    taken, left = [], []
    for name in matrices(base):
        gains = torch.linalg.svdvals(tuned[name] - base[name]).square() / (
            sum(base[name].shape) + 4
        )
        taken += gains[: ranks.get(name, 0)].tolist()
        left += gains[ranks.get(name, 0) :].tolist()
    assert min(taken) >= max(left) * (1 - 1e-4)
    assert ranks[louder] == max(ranks.values())


def test_a_model_that_learned_nothing_needs_nothing(base: Weights) -> None:
    compressed = compress.compress(base, base, ROWS, BUDGET)
    assert compressed.ranks == {}
    assert set(compressed.kept.values()) == {1.0}
    assert all(torch.equal(t, base[name]) for name, t in compressed.apply(base).items())


def test_columns_are_divided_out_again() -> None:
    left, right = torch.tensor([[1, 2]], dtype=torch.int8), torch.tensor([[4, 6]], dtype=torch.int8)
    columns = torch.tensor([2.0, 0.5]).half()
    dense = Factors(left, right, torch.tensor([0.5]), columns).dense()
    assert dense.tolist() == [[1.0, 6.0], [2.0, 12.0]]


# Weighted by the inputs that real text gives


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """A tiny model whose layers have some large inputs and many small ones, as real models do."""
    model = tiny_models.make(tmp_path_factory.mktemp("network"), "llama tied")
    random = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=random).exp())
    return model


def batches(seed: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 512, (2, 40), generator=random) for _ in range(3)]


def inputs_of(network: nn.Module, layer: str, batches: list[Tensor]) -> Tensor:
    seen: list[Tensor] = []
    module = network.get_submodule(layer)
    handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        for batch in batches:
            network(batch)
    handle.remove()
    return torch.cat([x.flatten(0, -2) for x in seen])


def test_input_scales_are_those_of_every_linear_layer(network: nn.Module, base: Weights) -> None:
    scales = compress.input_scales(network, batches(2))
    assert set(scales) == set(matrices(base))
    seen = inputs_of(network, "model.layers.1.mlp.down_proj", batches(2))
    wanted = seen.square().mean(0).sqrt()
    torch.testing.assert_close(scales["model.layers.1.mlp.down_proj.weight"], wanted)


def test_input_scales_leave_no_hook_behind(network: nn.Module) -> None:
    compress.input_scales(network, batches(2))
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_with_input_scales_the_layers_outputs_are_nearer(network: nn.Module) -> None:
    """On inputs that the scales were not taken from."""
    base = {n: p.detach() for n, p in network.named_parameters()}
    tuned = tuned_of(base)
    scales = compress.input_scales(network, batches(2))
    plain = compress.compress(base, tuned, ROWS, 70_000).apply(base)
    aware = compress.compress(base, tuned, ROWS, 70_000, scales).apply(base)
    errors = {"plain": 0.0, "aware": 0.0}
    for name in matrices(base):
        x = inputs_of(network, name.removesuffix(".weight"), batches(3))
        wanted = x @ (tuned[name] - base[name]).T
        for key, merged in (("plain", plain), ("aware", aware)):
            error = wanted - x @ (merged[name] - base[name]).T
            errors[key] += float(error.square().sum() / wanted.square().sum())
    assert errors["aware"] < 0.9 * errors["plain"]


# Bad input


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_models_that_are_not_alike_are_refused(base: Weights, change: str) -> None:
    tuned = dict(base)
    name = "model.layers.0.mlp.up_proj.weight"
    tuned[name] = tuned[name][:-1]
    if change == "missing":
        del tuned[name]
    with pytest.raises(ValueError, match=name):
        compress.compress(base, tuned, ROWS, BUDGET)


def test_a_budget_too_small_for_what_is_kept_whole_is_refused(base: Weights) -> None:
    with pytest.raises(ValueError, match="too few"):
        compress.compress(base, base, ROWS, 10_000)


@pytest.mark.parametrize("missing", sorted(compress.REQUIRED))
def test_metadata_must_say_what_the_difference_is_for(
    base: Weights, tmp_path: Path, missing: str
) -> None:
    compressed = compress.compress(base, base, ROWS, BUDGET)
    metadata = {key: value for key, value in METADATA.items() if key != missing}
    with pytest.raises(ValueError, match=missing):
        compressed.save(tmp_path / "d.safetensors", metadata)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_nothing(base: Weights, tmp_path: Path) -> None:
    compressed: Compressed = compress.compress(base, base, ROWS, BUDGET)
    (tmp_path / "d.safetensors" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"d\.safetensors"):
        compressed.save(tmp_path / "d.safetensors", METADATA)
    assert [file.name for file in tmp_path.iterdir()] == ["d.safetensors"]


def test_it_runs_on_a_bare_machine() -> None:
    tree = ast.parse(Path(compress.__file__).read_text("utf-8"))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    packages = {name.split(".")[0] for name in names}
    assert packages - sys.stdlib_module_names == {"torch", "safetensors"}
