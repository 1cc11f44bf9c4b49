"""Passes of a fixed shape, as a GPU captures them: the same numbers as the layers one by one.

There is no GPU here: what is recorded is computed again at each launch.
"""

import gc
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from completion.engine import weights
from completion.engine.generate import Decoder
from completion.engine.graphs import WIDTHS, Graphs, Pass
from completion.engine.kv import KVCache
from completion.engine.model import Model
from completion.engine.request import Request
from tandem.errors import ModelError
from tests import tiny_models

TOKENS = torch.randint(3, 512, (400,), generator=torch.Generator().manual_seed(3)).tolist()


@pytest.fixture(scope="module", params=["llama tied", "qwen2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("tiny")
    tiny_models.make(made, request.param)
    return made


def load(folder: Path, context: int = 160) -> Model:
    return Model.load(folder, torch.float32, context)


def clean(model: Model) -> KVCache:
    """As on a GPU: nothing in it that could be no number."""
    cache = model.new_cache()
    cache.keys.zero_()
    cache.values.zero_()
    return cache


class Recorder:
    """Counts what is recorded; a launch computes it again."""

    def __init__(self) -> None:
        self.recorded = self.launched = 0

    def __call__(self, compute: Pass) -> Pass:
        self.recorded += 1

        def launch() -> torch.Tensor:
            self.launched += 1
            return compute()

        return launch


@pytest.mark.parametrize("seed", range(5))
def test_hidden_states_are_those_of_the_plain_pass(folder: Path, seed: int) -> None:
    rng, plain, fixed, recorder = random.Random(seed), load(folder), load(folder), Recorder()
    fixed.graphs = Graphs(fixed, recorder)
    ours, theirs = clean(fixed), plain.new_cache()
    while len(ours) < 120:
        tokens = rng.sample(TOKENS, rng.choice([1, 1, 1, 2, 3, 7, 20]))
        expected = plain.forward(tokens, theirs)
        torch.testing.assert_close(fixed.forward(tokens, ours), expected, atol=2e-5, rtol=1e-4)
        assert ours.tokens == theirs.tokens
        if rng.random() < 0.3:
            length = rng.randint(0, len(ours))
            ours.rewind(length)
            theirs.rewind(length)
    assert 0 < recorder.recorded <= len(WIDTHS) < recorder.launched


def test_text_is_that_without_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    request = Request(tuple(TOKENS[:40]), 48)
    expected = "".join(chunk.text for chunk in Decoder.load(folder, "float32").generate(request))
    monkeypatch.setattr(Model, "new_cache", zeroed(Model.new_cache))
    decoder = Decoder.load(folder, "float32")
    assert isinstance(decoder.model, Model)
    decoder.model.graphs = Graphs(decoder.model, recorder)
    for _ in range(2):
        assert "".join(chunk.text for chunk in decoder.generate(request)) == expected
    assert recorder.launched


def zeroed(new_cache: Callable[[Model], KVCache]) -> Callable[[Model], KVCache]:
    def made(model: Model) -> KVCache:
        cache = new_cache(model)
        cache.keys.zero_()
        cache.values.zero_()
        return cache

    return made


def test_the_first_pass_long_ones_and_those_at_the_end_go_the_plain_way(folder: Path) -> None:
    model, recorder = load(folder, 96), Recorder()
    graphs = Graphs(model, recorder)
    cache = clean(model)
    assert graphs.run(TOKENS[:33], cache) is None  # wider than any
    assert graphs.run(TOKENS[:1], cache) is None
    assert graphs.run(TOKENS[:1], cache) is not None
    model.forward(TOKENS[:64], cache)
    model.forward(TOKENS[:30], cache)
    for _ in range(3):
        assert graphs.run(TOKENS[:3], cache) is None  # four would not fit
    assert recorder.recorded == 1


def test_what_is_kept_for_a_cache_goes_with_it(folder: Path) -> None:
    model, recorder = load(folder), Recorder()
    graphs = Graphs(model, recorder)
    cache = clean(model)
    for _ in range(2):
        graphs.run(TOKENS[:1], cache)
    assert len(graphs._steps) == 1
    del cache
    gc.collect()
    assert len(graphs._steps) == 0


def test_an_adapter_has_passes_of_its_own(folder: Path) -> None:
    model, other = load(folder), load(folder)
    graphs = Graphs(model, Recorder())
    assert graphs.of(other)._model is other


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_setting_is_refused_in_one_line(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"finds no GPU") as refused:
        weights.load(folder, device="cuda")
    assert 'engine.device = "cpu"' in str(refused.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_captured_passes_say_what_the_cpu_says(folder: Path) -> None:
    request = Request(tuple(TOKENS[:40]), 48)
    here, there = (Decoder.load(folder, "float32", device=d) for d in ("cpu", "cuda"))
    expected = "".join(chunk.text for chunk in here.generate(request))
    for _ in range(3):
        assert "".join(chunk.text for chunk in there.generate(request)) == expected
