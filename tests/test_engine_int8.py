"""int8 weights in our own kernels, at every level this CPU has, against float32 in torch."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from completion import lora
from completion.engine import kernels, weights
from completion.engine.adapters import merge
from completion.engine.generate import Decoder
from completion.engine.int8 import NARROW, WIDE, Int8Model
from completion.engine.kernels import Unavailable
from completion.engine.kv import KVCache
from completion.engine.model import Model
from completion.engine.packer import Packer
from completion.engine.request import Request
from completion.models import InstalledModel
from tandem import paths
from tandem.errors import ModelError
from tests import tiny_adapters, tiny_models

REPOSITORY = Path(__file__).parent.parent
LEVELS = kernels.usable_levels()
TOKENS = torch.randint(3, 512, (150,), generator=torch.Generator().manual_seed(1)).tolist()
# Of the chosen token's float32 logit, below the best one's: see the test that uses it.
EPSILON = 0.5


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    if not any(shutil.which(name) for name in kernels.COMPILERS):
        pytest.skip("there is no C++ compiler")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    tiny_models.make(made, "qwen2")
    return made


@pytest.fixture(params=LEVELS)
def native(request: pytest.FixtureRequest) -> kernels.Kernels:
    return kernels.load(request.param)


def read(model: Model | Int8Model, tokens: list[int], pieces: list[int] | None = None):
    """Hidden states of all positions, read in pieces of the given lengths."""
    cache, hidden, start = model.new_cache(), [], 0
    for length in [*(pieces or []), len(tokens)]:
        if piece := tokens[start : start + length]:
            hidden.append(model.forward(piece, cache))
        start += len(piece)
    return torch.cat(hidden)


def rounded_in_float(matrix: torch.Tensor) -> torch.Tensor:
    """What int8 with a bfloat16 scale for 64 inputs keeps of a matrix."""
    out = matrix.clone()
    for at in range(0, matrix.shape[1], 64):
        block = matrix[:, at : at + 64]
        scale = (block.abs().amax(1, keepdim=True) / 127).bfloat16().float()
        inverse = torch.where(scale > 0, 1 / scale, 0)
        out[:, at : at + 64] = (block * inverse).round().clamp(-127, 127) * scale
    return out


@settings(max_examples=60, deadline=None)
@given(
    level=st.sampled_from(LEVELS),
    outputs=st.integers(1, 70),
    inputs=st.integers(1, 20).map(lambda n: 16 * n),
    rows=st.integers(1, 40),
    seed=st.integers(0, 2**31),
    outlier=st.sampled_from([1.0, 1000.0]),
    parts=st.sampled_from([1, 2]),
)
def test_products_are_those_of_the_rounded_matrix(
    level: str, outputs: int, inputs: int, rows: int, seed: int, outlier: float, parts: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    matrix = torch.randn(outputs, inputs, generator=random)
    x = torch.randn(rows, inputs, generator=random)
    x[0, 0] *= outlier
    packed = Packing(kernels.load(level)).pack(matrix, parts)
    out = torch.empty(rows, outputs)
    packed.times(x, out)
    exact = x.double() @ rounded_in_float(matrix).double().T
    # One int8 leaves 1/254 of a block's largest activation, two 1/64516.
    left = {1: 250, 2: 60_000}[parts]
    error = x.abs().amax(1, keepdim=True) / left * matrix.abs().sum(1) + 1e-4
    assert bool(((out - exact).abs() <= error).all())
    alone = torch.empty(1, outputs)
    packed.times(x[-1:], alone)
    assert torch.equal(alone[0], out[-1]), "a row depends on its neighbours"


class Packing:
    """One matrix in the kernels' layout, without a model around it."""

    def __init__(self, native: kernels.Kernels) -> None:
        self.native = native

    def pack(self, matrix: torch.Tensor, parts: int) -> "Packing":
        self.packed = replace(Packer(self.native).pack([matrix]), parts=parts)
        return self

    def times(self, x: torch.Tensor, out: torch.Tensor) -> None:
        x = x.contiguous()
        struct = kernels.ctypes.byref(self.packed.struct())
        address = [kernels.ctypes.c_void_p(t.data_ptr()) for t in (x, out)]
        self.native.call("product", struct, address[0], len(x), address[1])


@pytest.mark.parametrize("variant", tiny_models.VARIANTS)
def test_every_family_is_near_float32_at_every_level(
    tmp_path: Path, variant: str, native: kernels.Kernels
) -> None:
    tiny_models.make(tmp_path, variant)
    exact = Model.load(tmp_path, torch.float32, 256)
    ours = Int8Model.load(tmp_path, 256, native=native)
    expected, actual = (m.logits(read(m, TOKENS)) for m in (exact, ours))
    # Random weights are the worst case for rounding; a wrong bias, norm or angle costs far more.
    assert float((actual - expected).pow(2).mean().sqrt()) < 0.05 * float(expected.std())


@pytest.mark.parametrize("threads", [1, 3])
def test_text_depends_neither_on_pieces_nor_on_threads_to_the_bit(
    folder: Path, native: kernels.Kernels, threads: int
) -> None:
    model = Int8Model.load(folder, 256, native=native)
    native.call("threads", threads)
    whole = read(model, TOKENS)
    for pieces in ([1, 1, 30, 1], [149], [17, 64]):
        assert torch.equal(read(model, TOKENS, pieces), whole)
    native.call("threads", 1)
    assert torch.equal(read(model, TOKENS), whole)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_a_sequence_does_not_depend_on_its_neighbours(
    folder: Path, lengths: list[tuple[int, int]], seed: int
) -> None:
    model = Int8Model.load(folder, 128)
    random = torch.Generator().manual_seed(seed)
    parts, alone = [], []
    for before, new in lengths:
        tokens = torch.randint(0, 512, (before + new,), generator=random).tolist()
        cache = model.new_cache()
        if before:
            model.forward(tokens[:before], cache)
        parts.append((tokens[before:], cache))
        alone.append(read(model, tokens)[before:])
    for together, single in zip(model.forward_all(parts), alone, strict=True):
        assert torch.equal(together, single)


def test_a_rewound_cache_is_as_one_that_never_went_on(folder: Path) -> None:
    model = Int8Model.load(folder, 256)
    cache: KVCache = model.new_cache()
    model.forward(TOKENS[:60], cache)
    cache.rewind(33)
    again = model.forward(TOKENS[90:120], cache)
    assert torch.equal(again, read(model, TOKENS[:33] + TOKENS[90:120])[33:])


def test_garbage_in_a_fresh_cache_is_never_read(folder: Path) -> None:
    model = Int8Model.load(folder, 256)
    expected = read(model, TOKENS[:37])
    cache = model.new_cache()
    cache.keys.fill_(float("nan"))
    cache.values.fill_(float("nan"))
    assert torch.equal(model.forward(TOKENS[:37], cache), expected)


def test_a_model_with_large_outliers_gets_two_int8_for_each_activation(
    tmp_path: Path, empty_home: Path
) -> None:
    """Some channels 10,000 times the others', the weights they meet as much smaller."""
    tiny_models.make(tmp_path / "model", "llama tied")
    assert Int8Model.load(tmp_path / "model", 256).parts == NARROW
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    for name, norm in tensors.items():
        if not name.endswith("layernorm.weight"):
            continue
        norm[::16] *= 1e4
        layer = name.rsplit(".", 2)[0]
        input_of = "self_attn." if "input" in name else "mlp."
        for matrix in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"):
            if (met := tensors.get(f"{layer}.{input_of}{matrix}.weight")) is not None:
                met[:, ::16] /= 1e4
    save_file(tensors, file, {"format": "pt"})
    for _ in range(2):  # measured, then read from what was kept
        assert Int8Model.load(tmp_path / "model", 256).parts == WIDE


def test_an_adapter_is_added_in_float32_and_the_base_stays(tmp_path: Path) -> None:
    reference = tiny_models.make(tmp_path / "base", "qwen2")
    modules = ["k_proj", "up_proj", "down_proj"]
    adapted = tiny_adapters.make(tmp_path / "lora", reference, target_modules=modules)
    base = Int8Model.load(tmp_path / "base", 256)
    before = read(base, TOKENS)
    ours = merge(base, lora.examine(tmp_path / "lora", tmp_path / "base"))
    assert torch.equal(read(base, TOKENS), before)
    assert ours.layers[0].output is base.layers[0].output
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    shutil.copy(tmp_path / "base" / "tokenizer.json", tmp_path / "merged")
    merged = Int8Model.load(tmp_path / "merged", 256)
    # peft sums in another order, so a weight may round to the int8 next to ours.
    torch.testing.assert_close(
        ours.logits(read(ours, TOKENS)), merged.logits(read(merged, TOKENS)), atol=0.05, rtol=0
    )
    assert not torch.allclose(read(ours, TOKENS), before, atol=0.1)


@pytest.fixture(scope="module")
def exact(default_model: InstalledModel) -> Decoder:
    return Decoder.load(default_model.folder, "float32")


@pytest.mark.parametrize("name", ["tandem/config.py", "completion/engine/model.py"])
def test_the_default_model_chooses_another_token_only_where_two_are_close(
    exact: Decoder, default_model: InstalledModel, name: str
) -> None:
    """The stated epsilon: 0.5 in logits, between the best and the chosen one."""
    ours = Int8Model.load(default_model.folder, 512)
    tokens = exact.tokenizer.encode((REPOSITORY / name).read_text("utf-8"))[:300]
    expected = exact.model.logits(read(exact.model, tokens))
    chosen = ours.logits(read(ours, tokens)).argmax(-1)
    gap = expected.max(-1).values - expected.gather(-1, chosen[:, None])[:, 0]
    assert float(gap.max()) < EPSILON
    assert float((gap == 0).float().mean()) > 0.93


def test_greedy_text_is_that_of_float32_until_two_tokens_are_close(
    exact: Decoder, default_model: InstalledModel
) -> None:
    ours = Decoder.load(default_model.folder, "int8")
    prompt = "def fibonacci(n):\n    if n <= 1:\n        return n\n    return"
    tokens = tuple(exact.tokenizer.encode(prompt))
    texts = ["".join(c.text for c in d.generate(Request(tokens, 24))) for d in (ours, exact)]
    mine, theirs = (exact.tokenizer.encode(text) for text in texts)
    same = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
    if same is not None:
        logits = exact.model.logits(read(exact.model, [*tokens, *theirs[:same]]))[-1]
        assert float(logits[theirs[same]] - logits[mine[same]]) < EPSILON


def test_auto_takes_int8_here_and_a_width_that_is_set_is_kept(folder: Path) -> None:
    assert weights.choose("float32").form == "float32"
    expected = "int8" if LEVELS[0] != "portable" else weights._in_torch("").form
    assert weights.choose("auto").form == expected
    assert isinstance(weights.load(folder, "int8"), Int8Model)
    assert isinstance(weights.load(folder, "bfloat16"), Model)


@pytest.fixture
def no_compiler(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(empty_home))
    kernels.load.cache_clear()


def test_without_a_compiler_torch_runs_and_the_reason_is_told(
    folder: Path, no_compiler: None
) -> None:
    choice = weights.choose("auto")
    assert choice.form in ("float32", "bfloat16")
    assert "no C++ compiler" in str(choice)
    assert isinstance(weights.load(folder), Model)
    with pytest.raises(ModelError, match="no C\\+\\+ compiler"):
        weights.load(folder, "int8")


@pytest.fixture
def own_kernels(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home in which nothing is compiled yet."""
    monkeypatch.delenv("TANDEM_KERNELS", raising=False)
    kernels.load.cache_clear()
    return empty_home


def test_a_compiler_that_fails_is_a_reason_not_a_crash(
    own_kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "c++"
    program.write_text("#!/bin/sh\necho 'x.cpp:1: fatal error: no <vector>' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="fatal error: no <vector>"):
        kernels.load()
    assert weights.choose("auto").form != "int8"


BUILD = """
import sys
from completion.engine import kernels
print(kernels.load("portable").level)
"""


def start_build() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", BUILD], stdout=subprocess.PIPE, text=True)


def test_two_processes_build_at_once_and_damage_is_built_again(own_kernels: Path) -> None:
    running = [start_build(), start_build()]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["portable"] * 2
    [library] = paths.kernels_dir().glob("*.so")
    whole = library.read_bytes()
    library.write_bytes(whole[: len(whole) // 2])
    assert start_build().communicate(timeout=120)[0].strip() == "portable"
    assert len(library.read_bytes()) == len(whole)


def test_a_cache_that_cannot_be_written_is_a_reason(own_kernels: Path) -> None:
    own_kernels.mkdir()
    (own_kernels / "cache").write_text("a file")
    with pytest.raises(Unavailable, match="cache"):
        kernels.load()
