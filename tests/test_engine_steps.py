"""Sequences stepped together: each answers as if it were alone, and ends on its own."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from completion.engine import generate
from completion.engine.generate import Decoder
from completion.engine.model import Model
from completion.engine.request import Chunk, Request
from completion.engine.running import Running
from tests import tiny_models

TOKENS = torch.randint(3, 512, (120,), generator=torch.Generator().manual_seed(2)).tolist()


@pytest.fixture(scope="module", params=["llama tied", "qwen2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, request.param)
    return folder


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Decoder:
    return Decoder.load(folder, "float32", threads=1, context=160)


def finish(decoder: Decoder, runnings: Sequence[Running]) -> list[list[Chunk]]:
    """Step them all to their ends."""
    while any(running.finish is None for running in runnings):
        decoder.step(runnings)
    chunks = [running.chunks() for running in runnings]
    assert all(so_far[-1].finish for so_far in chunks)
    return chunks


def text(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_one_pass_over_several_sequences_is_that_over_each_alone(folder: Path) -> None:
    model = Model.load(folder, torch.float32, 160)
    pieces = [[TOKENS[:40], TOKENS[40:41]], [TOKENS[60:63], TOKENS[63:90]], [[7], [8, 9]]]
    alone, together = ([model.new_cache() for _ in pieces] for _ in range(2))
    for turn in range(2):
        parts = [piece[turn] for piece in pieces]
        expected = [model.forward(p, cache) for p, cache in zip(parts, alone, strict=True)]
        found = model.forward_all(list(zip(parts, together, strict=True)))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        assert [cache.tokens for cache in together] == [cache.tokens for cache in alone]


REQUESTS = st.builds(
    Request,
    prompt=st.builds(lambda a, n: tuple(TOKENS[a : a + n]), st.integers(0, 60), st.integers(1, 60)),
    max_tokens=st.integers(1, 12),
    temperature=st.sampled_from([0.0, 1.0]),
    seed=st.integers(0, 9),
    stop=st.sampled_from([(), ("e",), ("\n", "  ")]),
    heal=st.sampled_from(["", "self", "\n    ", "é"]),
)


@settings(max_examples=25, deadline=None)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=5), late=st.integers(0, 4))
def test_text_never_depends_on_neighbours(
    tiny: Decoder, requests: list[Request], late: int
) -> None:
    alone = [text(list(tiny.generate(request))) for request in requests]
    tiny.forget()
    runnings = [tiny.start(request) for request in requests[:late]]
    tiny.step(runnings)  # the rest join a batch that is on its way
    runnings += [tiny.start(request) for request in requests[late:]]
    assert [text(chunks) for chunks in finish(tiny, runnings)] == alone


def test_a_long_prompt_is_read_in_pieces_beside_a_sequence_that_answers(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "PREFILL_TOKENS", 8)
    monkeypatch.setattr(tiny, "speculation", None)
    tiny.forget()
    quick = tiny.start(Request(tuple(TOKENS[:4]), 30))
    tiny.step([quick])
    slow = tiny.start(Request(tuple(TOKENS[20:60]), 2))
    for known in (8, 16, 24, 32):
        tiny.step([quick, slow])
        assert (len(slow.cache), len(slow.chunks())) == (known, 0)
    assert quick.usage.completion_tokens == 5
    tiny.drop(quick)
    assert text(finish(tiny, [slow])[0]) == text(
        list(tiny.generate(Request(slow.request.prompt, 2)))
    )


def test_a_dropped_sequence_says_so_once_and_the_others_go_on(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "speculation", None)  # known answers would come in one pass
    requests = [Request(tuple(TOKENS[n : n + 20]), 20) for n in (0, 30)]
    expected = text(list(tiny.generate(requests[1])))
    gone, kept = (tiny.start(request) for request in requests)
    tiny.step([gone, kept])
    before = tiny.work.written
    tiny.drop(gone)
    tiny.drop(gone)
    tiny.step([gone])
    assert tiny.work.written == before
    assert [chunk.finish for chunk in gone.chunks() if chunk.last] == ["cancelled"]
    first = kept.chunks()
    assert text(first + finish(tiny, [kept])[0]) == expected


def test_a_running_sequence_shares_its_cache_with_nobody(tiny: Decoder) -> None:
    requests = [Request(tuple(TOKENS[:30]), 4) for _ in range(8)]
    runnings = [tiny.start(request) for request in requests]
    assert len({id(running.cache) for running in runnings}) == len(runnings)
    assert len({text(chunks) for chunks in finish(tiny, runnings)}) == 1


def test_what_a_finished_sequence_read_serves_the_next(tiny: Decoder) -> None:
    tiny.forget()
    [first] = finish(tiny, [tiny.start(Request(tuple(TOKENS[:40]), 2))])
    [second] = finish(tiny, [tiny.start(Request(tuple(TOKENS[:50]), 2))])
    assert (first[-1].usage.cached_tokens, second[-1].usage.cached_tokens) == (0, 40)


def test_an_answer_that_nobody_reads_to_its_end_hands_its_cache_back(tiny: Decoder) -> None:
    tiny.forget()
    for _ in range(10):
        next(tiny.generate(Request(tuple(TOKENS[:40]), 20)))
    assert next(tiny.generate(Request(tuple(TOKENS[:40]), 1))).usage.cached_tokens == 39
    assert tiny.pool.sequences == 1
