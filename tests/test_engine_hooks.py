"""What the loop opens to its caller: log-probabilities, hooks, candidates, scores."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from completion.engine.generate import Decoder
from completion.engine.request import Chunk, Request
from completion.engine.running import Running
from completion.engine.scoring import TOGETHER, score
from tests import tiny_models

TOKENS = torch.randint(3, 512, (90,), generator=torch.Generator().manual_seed(5)).tolist()
PROMPT = tuple(TOKENS[:30])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder: Path = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    return Decoder.load(folder, "float32", threads=1, context=128)


def finish(decoder: Decoder, runnings: list[Running]) -> list[list[Chunk]]:
    while any(running.finish is None for running in runnings):
        decoder.step(runnings)
    return [running.chunks() for running in runnings]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def logprobs(decoder: Decoder, tokens: list[int]) -> torch.Tensor:
    """The model's own after the last of the tokens [vocabulary]."""
    model = decoder.model
    return model.logits(model.forward(tokens, model.new_cache())[-1:])[0].log_softmax(-1)


def test_each_token_has_its_log_probability_and_the_likeliest_ones(tiny: Decoder) -> None:
    [chunks] = finish(tiny, [tiny.start(Request(PROMPT, 10, 1.0, seed=3, logprobs=4))])
    found = [one for chunk in chunks for one in chunk.logprobs]
    assert len(found) == chunks[-1].usage.completion_tokens
    so_far = list(PROMPT)
    for one in found:
        expected = logprobs(tiny, so_far)
        assert one.logprob == pytest.approx(float(expected[one.token]), abs=1e-3)
        best = expected.topk(4)
        assert [value for _, value in one.top] == pytest.approx(best.values.tolist(), abs=1e-3)
        so_far.append(one.token)


def test_none_are_computed_unless_asked_for_and_zero_asks_for_the_tokens_own(tiny: Decoder) -> None:
    plain, own = finish(
        tiny, [tiny.start(Request(PROMPT, 6)), tiny.start(Request(PROMPT, 6, logprobs=0))]
    )
    assert not any(chunk.logprobs for chunk in plain)
    assert all(one.top == () for chunk in own for one in chunk.logprobs)
    assert text(own) == text(plain)


def test_text_that_was_healed_has_no_log_probabilities(tiny: Decoder) -> None:
    [chunks] = finish(tiny, [tiny.start(Request(PROMPT, 6, heal="self.name = ", logprobs=0))])
    shown = b"".join(tiny.tokenizer.bytes_at(o.token) for c in chunks for o in c.logprobs)
    assert shown.decode("utf-8", "replace").endswith(text(chunks))
    assert len(shown) < len(text(chunks).encode()) + 16


class Mixed:
    """Half of what the model thinks, half a memory that is sure of one token."""

    def __init__(self, sure_of: int) -> None:
        self.sure_of = sure_of
        self.heard: list[int] = []

    def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        assert hidden.ndim == 1
        mixed = logits.log_softmax(-1) - math.log(2)
        mixed[self.sure_of] = torch.logaddexp(mixed[self.sure_of], torch.tensor(-math.log(2)))
        return mixed

    def accept(self, token: int) -> None:
        self.heard.append(token)


class Only:
    """Rules out all but some tokens, another set at each place."""

    def __init__(self, *allowed: set[int]) -> None:
        self.allowed = list(allowed)

    def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        ruled = torch.full_like(logits, -math.inf)
        ids = torch.tensor(sorted(self.allowed[0]))
        ruled[ids] = logits[ids]
        return ruled

    def accept(self, token: int) -> None:
        self.allowed.pop(0)


def test_a_hook_mixes_another_distribution_in(tiny: Decoder) -> None:
    hook = Mixed(77)
    running = tiny.start(Request(PROMPT, 4, logprobs=1), [hook])
    [chunks] = finish(tiny, [running])
    first = next(one for chunk in chunks for one in chunk.logprobs)
    own = float(logprobs(tiny, list(PROMPT)).exp()[77])
    assert first.token == 77
    assert math.exp(first.logprob) == pytest.approx(0.5 + own / 2, abs=1e-4)
    assert hook.heard == [one.token for chunk in chunks for one in chunk.logprobs]


def test_a_constraint_with_state_holds_whatever_is_guessed(tiny: Decoder) -> None:
    sets = [{40 + n, 90 + n, 200 + n} for n in range(8)]
    running = tiny.start(Request(PROMPT * 2, 8, 1.0, seed=1, logprobs=0), [Only(*sets)])
    [chunks] = finish(tiny, [running])
    found = [one.token for chunk in chunks for one in chunk.logprobs]
    assert len(found) == 8
    assert all(token in allowed for token, allowed in zip(found, sets, strict=True))


def test_the_end_has_its_log_probability_too_and_no_text(tiny: Decoder) -> None:
    [end] = tiny.model.config.eos_ids
    running = tiny.start(Request(PROMPT, 8, logprobs=0), [Only({40}, {90}, {end})])
    [chunks] = finish(tiny, [running])
    assert [one.token for chunk in chunks for one in chunk.logprobs] == [40, 90, end]
    assert chunks[-1].finish == "stop"
    assert chunks[-1].usage.completion_tokens == 2


@pytest.mark.parametrize("prompt", [PROMPT, tuple(TOKENS * 1)[:90], PROMPT[:1]])
def test_candidates_read_their_prompt_once_and_are_those_of_their_seeds(
    tiny: Decoder, prompt: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [
        text(list(tiny.generate(Request(prompt, 12, 1.0, seed=7 + number)))) for number in range(4)
    ]
    tiny.forget()
    monkeypatch.setattr("completion.engine.generate.PREFILL_TOKENS", 16)
    read: list[int] = []
    forward_all = tiny.model.forward_all

    def counted(parts):
        read.append(sum(len(tokens) for tokens, _ in parts))
        return forward_all(parts)

    monkeypatch.setattr(tiny.model, "forward_all", counted)
    monkeypatch.setattr(tiny, "speculation", None)
    runnings = tiny.candidates(Request(prompt, 12, 1.0, seed=7, n=4))
    assert [text(chunks) for chunks in finish(tiny, runnings)] == alone
    assert sum(read) <= len(prompt) + 4 * 12
    assert not tiny.pool._held


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_candidates_go_on_when_the_first_is_dropped(
    tiny: Decoder, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = text(list(tiny.generate(Request(PROMPT, 8, 1.0, seed=5))))
    tiny.forget()
    monkeypatch.setattr("completion.engine.generate.PREFILL_TOKENS", 8)
    first, second, third = tiny.candidates(Request(PROMPT, 8, 1.0, seed=3, n=3))
    for _ in range(steps):
        tiny.step([first, second, third])
    tiny.drop(first)
    tiny.drop(second)
    assert text(finish(tiny, [first, second, third])[2]) == expected


def test_scores_are_the_models_own_and_cost_one_pass(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    continuations = [TOKENS[40:45], [7], TOKENS[50:80]]
    passes: list[int] = []
    forward_all = tiny.model.forward_all
    monkeypatch.setattr(
        tiny.model, "forward_all", lambda parts: passes.append(len(parts)) or forward_all(parts)
    )
    tiny.forget()
    scores = score(tiny, PROMPT, continuations)
    assert passes == [1, 3]
    for tokens, found in zip(continuations, scores, strict=True):
        expected = [
            float(logprobs(tiny, [*PROMPT, *tokens[:n]])[token]) for n, token in enumerate(tokens)
        ]
        assert found == pytest.approx(expected, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.integers(3, 500), min_size=1, max_size=6), max_size=2 * TOGETHER + 1),
    st.integers(1, 40),
)
def test_a_score_does_not_depend_on_what_else_is_scored(
    tiny: Decoder, continuations: list[list[int]], length: int
) -> None:
    together = score(tiny, PROMPT[:length], continuations)
    alone = [score(tiny, PROMPT[:length], [tokens])[0] for tokens in continuations]
    assert together == [pytest.approx(one, abs=1e-3) for one in alone]
