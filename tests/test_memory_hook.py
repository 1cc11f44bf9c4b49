"""A memory mixed into a model: the arithmetic, and that it is the same however text is made."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from completion.engine.generate import Decoder
from completion.engine.memory import Level, Memory, Recall
from completion.engine.memory_hook import (
    FEATURES,
    WEIGHTS,
    MemoryHook,
    features,
    guess,
    log_softmax,
    mixed,
)
from completion.engine.request import Request
from completion.engine.scoring import losses
from tests import tiny_models

TOKENS = torch.randint(3, 512, (400,), generator=torch.Generator().manual_seed(9)).tolist()
PROMPT = tuple(TOKENS[:20])
# What followed the prompt elsewhere, twice; strong enough for any model.
SEEN = [*TOKENS[:20], *TOKENS[100:140]] * 2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder: Path = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    return Decoder.load(folder, "float32", threads=1, context=256)


def recall(tokens: Sequence[int] = SEEN, weight: float = 4.0) -> Recall:
    memory = Memory(512)
    memory.update({"seen": np.array(tokens, np.int32)})
    return Recall(memory.view, weight)


def text(decoder: Decoder, request: Request) -> str:
    return "".join(chunk.text for chunk in decoder.generate(request))


def levels(*counts: dict[int, int]) -> list[Level]:
    return [
        Level(n, np.array(sorted(one)), np.array([one[token] for token in sorted(one)]))
        for n, one in enumerate(counts, 1)
    ]


def test_a_guess_is_witten_and_bells() -> None:
    said = guess(levels({3: 6, 7: 2}, {7: 3}))
    # After one token: 6/10 and 2/10, 2/10 are left. After two 3 of 4 are token 7's.
    assert said.tokens.tolist() == [3, 7]
    assert said.chances.tolist() == pytest.approx([0.6 / 4, 0.2 / 4 + 3 / 4])
    assert said.rest == pytest.approx(0.2 / 4)


CHAINS = st.lists(st.dictionaries(st.integers(0, 19), st.integers(1, 9), min_size=1), min_size=1)


def nested(counts: list[dict[int, int]]) -> list[Level]:
    """What follows a longer match follows the shorter one, too."""
    for longer, shorter in zip(counts[::-1], counts[-2::-1], strict=False):
        for token, count in longer.items():
            shorter[token] = max(count, shorter.get(token, 0))
    return levels(*counts)


@given(CHAINS, st.floats(0, 1), st.sets(st.integers(0, 19), min_size=1, max_size=3))
def test_a_mixture_is_a_distribution_that_ends_as_the_model_does(
    counts: list[dict[int, int]], share: float, ends: set[int]
) -> None:
    said = guess(nested([dict(one) for one in counts]))
    assert said.chances.sum() + said.rest == pytest.approx(1)
    inside = ~np.isin(said.tokens, list(ends))
    said = replace(said, tokens=said.tokens[inside], chances=said.chances[inside])
    rest = 1 - float(said.chances.sum())
    said = replace(said, rest=rest)
    own = log_softmax(np.random.default_rng(1).normal(size=20))
    both = np.exp(mixed(own, said, share, np.array(sorted(ends))))
    assert float(both.sum()) == pytest.approx(1, abs=1e-6)
    for end in ends:
        assert float(both[end]) == pytest.approx(float(np.exp(own[end])))
    going_on = 1 - sum(float(np.exp(own[end])) for end in ends)
    for token, chance in zip(said.tokens, said.chances, strict=True):
        expected = (1 - share * (1 - rest)) * float(np.exp(own[token])) + share * going_on * chance
        assert float(both[token]) == pytest.approx(expected, abs=1e-9)


def test_there_is_a_weight_for_each_feature() -> None:
    logprobs = np.log(np.full(20, 0.05))
    found = features(levels({3: 6, 7: 2}), logprobs)
    assert len(found) == len(FEATURES) == len(WEIGHTS)
    named = dict(zip(FEATURES, found, strict=True))
    assert named["count"] == pytest.approx(math.log(8))
    assert named["share"] == pytest.approx(0.75)
    assert named["sure"] == named["agreed"] == pytest.approx(0.05)
    assert np.isfinite(features(levels({3: 1}), np.full(20, -np.inf) + 1)[:5]).all()


def test_a_model_says_what_the_memory_has_seen(tiny: Decoder) -> None:
    request = Request(PROMPT, 12)
    expected = tiny.tokenizer.decode(TOKENS[100:112])
    assert text(tiny, request) != expected
    assert text(tiny, replace(request, memory=recall())) == expected


def test_no_weight_or_no_match_changes_nothing(tiny: Decoder) -> None:
    request = Request(PROMPT, 12)
    plain = text(tiny, request)
    assert text(tiny, replace(request, memory=recall(weight=0.0))) == plain
    assert text(tiny, replace(request, memory=recall([]))) == plain


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("heal", ["", "tok"])
def test_text_is_the_same_with_drafts_and_without(
    tiny: Decoder, temperature: float, heal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = (*PROMPT, *TOKENS[100:104]) * 3 + PROMPT
    request = Request(prompt, 30, temperature, seed=4, heal=heal, memory=recall(weight=0.5))
    tiny.forget()
    drafted = text(tiny, request)
    again = text(tiny, request)
    monkeypatch.setattr(tiny, "speculation", None)
    tiny.forget()
    assert text(tiny, request) == drafted == again


@pytest.mark.parametrize("steps", [3, 6])
def test_who_types_what_is_being_written_gets_the_same_text(tiny: Decoder, steps: int) -> None:
    mixing = recall(weight=0.5)
    old = Request(PROMPT, 12, memory=mixing)
    running = tiny.start(old)
    while len(running.answer) < steps:
        tiny.step([running])
    newer = Request((*PROMPT, *running.answer[: steps - 1]), 8, memory=mixing)
    heir = tiny.hand_over(running, newer)
    assert heir is not None
    while heir.finish is None:
        tiny.step([heir])
    handed = "".join(chunk.text for chunk in heir.chunks())
    tiny.forget()
    assert handed == text(tiny, newer)


@pytest.mark.parametrize("other", [None, recall(weight=0.5)])
def test_another_memory_takes_nothing_over(tiny: Decoder, other: Recall | None) -> None:
    running = tiny.start(Request(PROMPT, 12, memory=recall(weight=0.5)))
    while len(running.answer) < 3:
        tiny.step([running])
    newer = Request((*PROMPT, *running.answer[:2]), 8, memory=other)
    assert tiny.hand_over(running, newer) is None
    tiny.drop(running)


def test_a_constraint_outranks_the_memory(tiny: Decoder) -> None:
    class Never:
        def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
            return logits.index_fill(0, torch.tensor([TOKENS[100]]), -math.inf)

        def accept(self, token: int) -> None:
            assert token != TOKENS[100]

    free = tiny.start(Request(PROMPT, 4, memory=recall()))
    held = tiny.start(Request(PROMPT, 4, memory=recall()), [Never()])
    while free.finish is None or held.finish is None:
        tiny.step([free, held])
    assert free.answer[0] == TOKENS[100]
    assert TOKENS[100] not in held.answer


def test_losses_are_those_of_the_mixture(tiny: Decoder) -> None:
    answer = TOKENS[100:110]
    hook = MemoryHook(recall(), PROMPT, tiny.ends)
    with_memory = losses(tiny, PROMPT, answer, [hook])
    without = losses(tiny, PROMPT, answer)
    assert sum(with_memory) < sum(without)
    request = Request(PROMPT, len(answer), logprobs=0, memory=recall())
    picked = [one for chunk in tiny.generate(request) for one in chunk.logprobs]
    assert [one.token for one in picked] == answer
    assert [-one.logprob for one in picked] == pytest.approx(with_memory, abs=1e-3)
