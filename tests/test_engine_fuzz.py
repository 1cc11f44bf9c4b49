"""A thousand prompts in all mixes of guesses, caches, adapters, tenants and neighbours: each is
answered as by an engine that is cold, guesses nothing, and has nobody else to serve."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from completion.engine.adapters import Variants
from completion.engine.generate import Decoder
from completion.engine.request import Chunk, Request
from completion.engine.scheduler import Scheduler
from tests.tiny_adapters import Store
from tests.wire import wait_until

PROMPTS, BATCH, MOST = 1000, 8, 12
ADAPTERS = ("", "a", "b")
SALTS = ("", "ann", "bob")


@pytest.fixture
def store(empty_home: Path) -> Store:
    store = Store()
    for seed, name in enumerate(ADAPTERS[1:], 1):
        store.add(name, seed)
    return store


def variants(store: Store) -> Variants:
    decoder = Decoder.load(store.folder, "float32", threads=1, context=256)
    return Variants(decoder, lambda: store.base, beside=True)


def plain(cold: Variants, request: Request) -> str:
    """One token at a time, from the first token of the prompt on."""
    decoder = cold.decoder(request.adapter)
    decoder.forget()
    assert decoder.speculation is None
    return "".join(chunk.text for chunk in decoder.generate(request))


def requests(chance: random.Random) -> Iterator[Request]:
    """Documents that are typed on, gone back in, and asked for by others in the same moment."""
    documents = [[chance.randrange(3, 512) for _ in range(180)] for _ in range(12)]
    for document in documents[::2]:  # half repeat themselves, so that guesses are made
        document[60:] = (document[:20] * 9)[:120]
    for _ in range(PROMPTS):
        prompt = chance.choice(documents)[: chance.randrange(8, 180)]
        yield Request(
            tuple(prompt),
            chance.randrange(1, MOST + 1),
            adapter=chance.choice(ADAPTERS),
            salt=chance.choice(SALTS),
        )


@pytest.mark.parametrize("seed", [11])
def test_guesses_caches_adapters_and_neighbours_change_no_text(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    cold, warm = variants(store), variants(store)
    cold.decoder().speculation = None
    known: dict[tuple[tuple[int, ...], int, str], str] = {}
    asked: list[Request] = []
    for request in requests(chance):
        key = request.prompt, request.max_tokens, request.adapter
        if key not in known:
            known[key] = plain(cold, request)
        prediction = chance.choice(["", known[key], known[key][:4] + " something else"])
        asked.append(Request(*key[:2], adapter=key[2], salt=request.salt, prediction=prediction))
    got: list[list[Chunk]] = [[] for _ in asked]
    scheduler = Scheduler(warm, queue=PROMPTS, batch=BATCH)
    scheduler.start()
    try:
        for chunks, request in zip(got, asked, strict=True):
            scheduler.submit(request, chunks.append)
        wait_until(lambda: all(chunks and chunks[-1].last for chunks in got))
    finally:
        scheduler.stop()
    wrong = [
        request
        for request, chunks in zip(asked, got, strict=True)
        if "".join(chunk.text for chunk in chunks)
        != known[request.prompt, request.max_tokens, request.adapter]
    ]
    assert wrong == []
    usages = [chunks[-1].usage for chunks in got]
    # All of it took part.
    assert sum(usage.accepted_tokens for usage in usages) > 30
    assert sum(usage.drafted_tokens > usage.accepted_tokens for usage in usages) > 30
    assert sum(usage.cached_tokens > 0 for usage in usages) > 30
    assert sum(usage.cached_tokens == 0 for usage in usages) > 30
    by_adapter = {r.adapter: t for r in asked if (t := known[r.prompt, r.max_tokens, r.adapter])}
    assert {*by_adapter} == {*ADAPTERS}
