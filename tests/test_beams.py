"""Beam search: one beam is greedy, and many find what is likelier."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.parts.beams import search
from completion.engine.generate import Decoder
from completion.engine.request import Request
from completion.engine.scoring import score
from tests import tiny_models

TOKENS = torch.randint(3, 512, (120,), generator=torch.Generator().manual_seed(2)).tolist()
PROMPT = tuple(TOKENS[:30])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder: Path = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    return Decoder.load(folder, "float32", threads=1, context=160)


def greedy(decoder: Decoder, request: Request) -> str:
    return "".join(chunk.text for chunk in decoder.generate(request))


REQUESTS = st.builds(
    Request,
    prompt=st.builds(lambda a, n: tuple(TOKENS[a : a + n]), st.integers(0, 60), st.integers(1, 60)),
    max_tokens=st.integers(1, 12),
    stop=st.sampled_from([(), ("e",), ("\n", "  ")]),
    heal=st.sampled_from(["", "self", "\n    ", "é"]),
)


@settings(max_examples=30, deadline=None)
@given(request=REQUESTS)
def test_one_beam_is_the_greedy_answer(tiny: Decoder, request: Request) -> None:
    [found] = search(tiny, request, 1, 1).beams
    assert found.text == greedy(tiny, request)
    assert not tiny.pool._held


@settings(max_examples=20, deadline=None)
@given(request=REQUESTS, beams=st.integers(2, 8), data=st.data())
def test_answers_are_different_and_the_likeliest_comes_first(
    tiny: Decoder, request: Request, beams: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, beams))
    found = search(tiny, request, beams, count).beams
    assert 1 <= len({one.text for one in found}) == len(found) <= count
    totals = [one.total for one in found]
    assert totals == sorted(totals, reverse=True)


def test_beams_find_what_is_likelier_than_greedy(tiny: Decoder) -> None:
    likelier = 0
    for start in range(12):
        request = Request(tuple(TOKENS[start : start + 30]), 5)
        [one], [best] = (search(tiny, request, width, 1).beams for width in (1, 8))
        assert best.total >= one.total - 1e-3
        likelier += best.total > one.total + 1e-3
    assert likelier


def test_a_search_as_wide_as_the_vocabulary_finds_the_likeliest_pairs(tiny: Decoder) -> None:
    found = search(tiny, Request(PROMPT, 2), 512, 3).beams
    for one in found:
        [expected] = score(tiny, PROMPT, [list(one.tokens)]) if one.tokens else [[]]
        told = one.logprobs[: len(one.tokens)]
        assert list(told) == pytest.approx(expected, abs=2e-3)
    singles = torch.tensor(score(tiny, PROMPT, [[token] for token in range(3, 512)]))[:, 0]
    likely = (singles.topk(6).indices + 3).tolist()
    pairs = [
        first + after
        for first, token in zip(singles.topk(6).values.tolist(), likely, strict=True)
        for after, *_ in score(tiny, [*PROMPT, token], [[other] for other in range(3, 512)])
    ]
    assert max(one.total for one in found) >= max(pairs) - 1e-3
