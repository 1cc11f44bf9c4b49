"""Adapters beside the weights: several in one pass, each sequence through its own."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from completion import adapters
from completion.engine.adapters import KEPT_BESIDE, Variants, with_adapter
from completion.engine.beside import BesideModel
from completion.engine.generate import Decoder
from completion.engine.request import Request
from completion.engine.running import Running
from tests.tiny_adapters import Store

TOKENS = torch.randint(3, 512, (120,), generator=torch.Generator().manual_seed(3)).tolist()
NAMES = ("", "a", "b")


@pytest.fixture
def store(empty_home: Path) -> Store:
    store = Store()
    for seed, name in enumerate("ab", 1):
        store.add(name, seed)
    return store


@pytest.fixture
def variants(store: Store) -> Variants:
    decoder = Decoder.load(store.folder, "float32", threads=1, context=256)
    return Variants(decoder, lambda: store.base, beside=True)


def text(runnings: Sequence[Running], decoder: Decoder) -> list[str]:
    texts = [""] * len(runnings)
    while any(running.finish is None for running in runnings):
        decoder.step(runnings)
        for number, running in enumerate(runnings):
            texts[number] += "".join(chunk.text for chunk in running.chunks())
    return texts


def test_logits_are_those_of_the_merged_model(store: Store, variants: Variants) -> None:
    plain = Decoder.load(store.folder, "float32", threads=1, context=256)
    for name in "ab":
        merged = with_adapter(plain, adapters.folder_of(name), store.folder).model
        beside = variants.decoder(name)
        cache = beside.model.new_cache()
        cache.owner = beside.owner
        ours = beside.model.logits(beside.model.forward(TOKENS, cache))
        expected = merged.logits(merged.forward(TOKENS, merged.new_cache()))
        torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-4)


def test_each_of_a_mixed_batch_answers_as_it_does_alone(variants: Variants) -> None:
    base = variants.decoder()
    base.forget()
    alone = {
        name: text([variants.decoder(name).start(Request(tuple(TOKENS), 24))], base)[0]
        for name in NAMES
    }
    assert len(set(alone.values())) == 3
    base.forget()
    order = ["a", "", "b", "b", "", "a"]
    runnings = [variants.decoder(name).start(Request(tuple(TOKENS), 24)) for name in order]
    assert text(runnings, base) == [alone[name] for name in order]


def test_all_adapters_share_one_model_and_keep_their_caches_apart(variants: Variants) -> None:
    decoders = [variants.decoder(name) for name in NAMES]
    assert len({id(decoder.model) for decoder in decoders}) == 1
    assert isinstance(decoders[0].model, BesideModel)
    text([decoders[1].start(Request(tuple(TOKENS), 2))], decoders[1])
    assert [decoder.cached(Request(tuple(TOKENS), 2)) for decoder in decoders] == [0, 119, 0]
    assert len(variants._loaded) <= KEPT_BESIDE
