"""Speculative decoding: never another text, fewer passes, and none where it does not pay."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from completion.engine.draft import Draft
from completion.engine.drafts import Lookup, Prediction
from completion.engine.generate import Decoder
from completion.engine.request import Chunk, Request
from completion.engine.running import Running
from completion.engine.served import ServedModel
from completion.engine.speculate import MAX_DRAFT, Acceptance, PassCost, Speculation
from tandem.config import EngineConfig
from tests import tiny_models

TOKENS = torch.randint(3, 512, (60,), generator=torch.Generator().manual_seed(3)).tolist()


class Always(Speculation):
    """Verifies whole drafts, whatever they cost."""

    def plan(self, drafts: Sequence[Draft]) -> list[int]:
        return [len(draft) for draft in drafts]


class Told:
    """A drafter that knows the answer, but for some places."""

    def __init__(self, answer: Sequence[int], wrong: frozenset[int]) -> None:
        self.answer = [(t + 1) % 512 if n in wrong else t for n, t in enumerate(answer)]
        self.at = 0

    def feed(self, token: int) -> None:
        self.at += 1

    def draft(self, most: int) -> Draft:
        tokens = self.answer[self.at : self.at + most]
        return Draft(tokens, [("prediction", 0)] * len(tokens))


@pytest.fixture(scope="module", params=["llama tied", "qwen2"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    folder: Path = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, request.param)
    return Decoder.load(folder, "float32", threads=1, context=160)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """A model whose end tokens are tokens like any other, to be counted."""
    folder = tmp_path_factory.mktemp("sampled")
    tiny_models.make(folder, "llama tied")
    decoder = Decoder.load(folder, "float32", threads=1, context=64)
    decoder._ends = frozenset()
    return decoder


def plain(decoder: Decoder, request: Request) -> tuple[list[int], list[Chunk]]:
    """The tokens that one at a time gives, without the end token, and the chunks."""
    decoder.speculation = None
    running = decoder.start(request)
    while running.finish is None:
        decoder.step([running])
    answer = running.cache.tokens[len(request.prompt) :]
    return answer, running.chunks()


def guessed(
    decoder: Decoder, request: Request, told: Told | None = None
) -> tuple[Running, list[Chunk], int]:
    """(the sequence at its end, its chunks, the passes it took), every draft verified."""
    decoder.speculation = Always()
    running = decoder.start(request)
    if told is not None:
        running.drafter = told
    passes = 0
    while running.finish is None:
        decoder.step([running])
        passes += 1
    return running, running.chunks(), passes


def shown(chunks: Sequence[Chunk]) -> tuple[str, str | None, int]:
    return (
        "".join(chunk.text for chunk in chunks),
        chunks[-1].finish,
        chunks[-1].usage.completion_tokens,
    )


REQUESTS = st.builds(
    Request,
    prompt=st.builds(
        lambda a, n, times: tuple(TOKENS[a : a + n]) * times,
        st.integers(0, 40),
        st.integers(1, 20),
        st.integers(1, 7),
    ),
    max_tokens=st.integers(1, 40),
    temperature=st.sampled_from([0.0, 0.0, 1.0]),
    top_p=st.sampled_from([1.0, 0.8]),
    seed=st.integers(0, 9),
    stop=st.sampled_from([(), ("e",), ("\n", "  "), ("def", "ab")]),
    heal=st.sampled_from(["", "self", "\n    ", "é"]),
    prediction=st.sampled_from(["", "self.x = 1\n" * 4, "\n    def f(x):\n        pass"]),
)


@settings(max_examples=60, deadline=None)
@given(request=REQUESTS, wrong=st.frozensets(st.integers(0, 40), max_size=6), lookup=st.booleans())
def test_text_is_that_of_one_token_at_a_time(
    tiny: Decoder, request: Request, wrong: frozenset[int], lookup: bool
) -> None:
    """Drafts right, wrong and from lookup; greedy and drawn; healing, stops, budgets, the end."""
    answer, expected = plain(tiny, request)
    running, chunks, _ = guessed(tiny, request, None if lookup else Told(answer, wrong))
    assert shown(chunks) == shown(expected)
    assert [c.usage.completion_tokens for c in chunks if c.text and not c.last] == [
        c.usage.completion_tokens for c in expected if c.text and not c.last
    ]
    assert running.cache.tokens[len(request.prompt) :] == answer


def test_a_true_draft_is_verified_in_one_pass(tiny: Decoder) -> None:
    request = Request(tuple(TOKENS[:20]), MAX_DRAFT)
    answer, expected = plain(tiny, request)
    _, chunks, passes = guessed(tiny, request, Told(answer, frozenset()))
    assert shown(chunks) == shown(expected)
    assert passes <= 2
    usage = chunks[-1].usage
    assert usage.accepted_tokens == usage.drafted_tokens
    assert usage.accepted_tokens >= len(answer) - 1


def test_neighbours_with_drafts_of_other_lengths_change_nothing(tiny: Decoder) -> None:
    requests = [
        Request(tuple(TOKENS[n : n + 9]) * 3, 20, heal=heal)
        for n, heal in ((0, ""), (5, "x"), (11, ""), (20, "\n"))
    ]
    expected = [shown(plain(tiny, request)[1]) for request in requests]
    answers = [plain(tiny, request)[0] for request in requests]
    tiny.speculation = Always()
    runnings = [tiny.start(request) for request in requests]
    for n, (running, answer) in enumerate(zip(runnings, answers, strict=True)):
        running.drafter = Told(answer, frozenset(range(n, 30, n + 2)))
    while any(running.finish is None for running in runnings):
        tiny.step(runnings)
    assert [shown(running.chunks()) for running in runnings] == expected


@pytest.mark.parametrize("guess", [1, 3])
def test_drawn_tokens_follow_the_exact_distribution(sampled: Decoder, guess: int) -> None:
    """Chi-square over pairs of tokens, the first of them guessed always alike.

    The exact distribution is the model's own, computed apart; what is rare is one bin.
    """
    prompt, draws, temperature = tuple(TOKENS[:12]), 1500, 0.5
    cache = sampled.model.new_cache()
    first = sampled.model.logits(sampled.model.forward(prompt, cache)[-1:])[0] / temperature
    chances = first.softmax(-1)
    told = int(chances.argsort(descending=True)[guess])
    after = sampled.model.logits(sampled.model.forward((told,), cache))[0] / temperature
    exact = {(token, -1): p for token, p in enumerate(chances.tolist()) if token != told}
    reached = float(chances[told])
    exact |= {(told, token): reached * p for token, p in enumerate(after.softmax(-1).tolist())}
    seen = Counter(drawn_pairs(sampled, Request(prompt, 4, temperature), told, draws))
    bins = [(p * draws, seen[pair]) for pair, p in exact.items() if p * draws >= 8]
    bins.append((draws - sum(e for e, _ in bins), draws - sum(o for _, o in bins)))
    assert seen.total() == draws
    statistic = sum((o - e) ** 2 / e for e, o in bins if e > 1)
    freedom = len(bins) - 1
    assert freedom >= 3
    # Wilson and Hilferty 1931: z of a chi-square; 3.3 is one in two thousand, and seeds are fixed.
    z = ((statistic / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) / (2 / (9 * freedom)) ** 0.5
    assert z < 3.3


def drawn_pairs(
    decoder: Decoder, request: Request, told: int, draws: int
) -> Iterator[tuple[int, int]]:
    """The first token with the second where the first was as told, else with -1."""
    decoder.speculation = Always()
    for start in range(0, draws, 20):
        runnings = [decoder.start(replace(request, seed=seed)) for seed in range(start, start + 20)]
        spies = [Spy(told) for _ in runnings]
        for running, spy in zip(runnings, spies, strict=True):
            running.drafter = spy
        decoder.step(runnings)
        for running, spy in zip(runnings, spies, strict=True):
            decoder.drop(running)
            first, *rest = spy.heard
            yield (first, rest[0]) if first == told else (first, -1)
        decoder.forget()


class Spy:
    """Guesses one token at the very start, and hears what came."""

    def __init__(self, told: int) -> None:
        self._told = told
        self.heard: list[int] = []

    def feed(self, token: int) -> None:
        self.heard.append(token)

    def draft(self, most: int) -> Draft:
        return Draft([self._told], [("prediction", 0)])


def follow(source: Prediction, truth: Sequence[int], most: int = 8) -> int:
    """Passes needed to write `truth` with the drafts of `source`."""
    passes = at = 0
    while at < len(truth):
        guesses = source.draft(most).tokens
        held = 0
        while held < len(guesses) and at + held < len(truth) and guesses[held] == truth[at + held]:
            held += 1
        for token in truth[at : at + held + 1]:
            source.feed(token)
        at += held + 1
        passes += 1
    return passes


OLD = [*range(100, 110), 7, *range(110, 130), 7, *range(130, 150), 7, *range(150, 180)]


@pytest.mark.parametrize(
    ("edit", "passes"),
    [
        (OLD, 11),
        ([*OLD[:15], 999, *OLD[16:]], 12),  # a token replaced
        ([*OLD[:15], 999, 998, 997, *OLD[16:]], 15),  # by more
        ([*OLD[:15], *OLD[30:]], 12),  # left out
        ([*OLD[:15], 7, 999, 998, 7, 997, *OLD[15:]], 17),  # put in, with tokens seen elsewhere
        ([999, *OLD], 12),
    ],
)
def test_a_prediction_is_found_again_after_an_edit(edit: list[int], passes: int) -> None:
    assert follow(Prediction(OLD), edit) <= passes


def test_what_stood_before_a_prediction_counts_until_the_answer_strays() -> None:
    prediction = Prediction(OLD, 40)
    assert prediction.draft(2).keys == [("prediction", 40), ("prediction", 41)]
    prediction.feed(OLD[0])
    assert prediction.draft(1).keys == [("prediction", 41)]
    prediction.feed(511)
    assert all(matched < 40 for _, matched in prediction.draft(9).keys)


@pytest.mark.parametrize(("typed", "certain"), [("", True), ("right", True), ("wrong", False)])
def test_the_rest_of_the_last_answer_is_certain_unless_something_else_was_typed(
    tiny: Decoder, typed: str, certain: bool
) -> None:
    """`typed` is the answer's own first characters, or others."""
    prompts = (tuple(TOKENS[n : n + 30]) for n in range(30))
    texts = ((p, "".join(c.text for c in tiny.generate(Request(p, 12)))) for p in prompts)
    prompt, answer = next((p, text) for p, text in texts if text[:1].isascii() and text)
    heal = {"right": answer[:1], "wrong": chr(ord(answer[0]) ^ 1)}.get(typed, "")
    running = tiny.start(Request(prompt, 12, heal=heal))
    keys = running.propose(64).keys
    tiny.drop(running)
    assert keys
    assert (keys[0][1] >= len(prompt)) == certain


def test_a_draft_goes_on_as_the_longest_repeat_did() -> None:
    drafter = Lookup([1, 2, 3, 4, 5, 9, 2, 8], [], Acceptance())
    assert drafter.draft(5).tokens == []  # before the first token nothing is searched
    for token in (1, 2, 3):
        drafter.feed(token)
    assert drafter.draft(3).tokens == [4, 5, 9]


def test_a_draft_of_a_loop_runs_on_into_itself() -> None:
    drafter = Lookup([5, 1, 2, 1, 2, 1], [], Acceptance())
    drafter.feed(2)
    assert drafter.draft(7).tokens == [1, 2, 1, 2, 1, 2, 1]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 40))
def test_a_draft_is_never_longer_than_asked_for(tokens: list[int], most: int) -> None:
    drafter = Lookup(tokens, tokens[::2], Acceptance())
    for token in tokens:
        assert len(drafter.draft(most)) <= most
        drafter.feed(token)


def draft(length: int, source: str = "context", matched: int = 4) -> Draft:
    return Draft([1] * length, [(source, matched + n) for n in range(length)])


def measured(cost: dict[int, float]) -> Speculation:
    speculation = Speculation()
    for width, time in cost.items():
        speculation.cost.measured(width, time)
    return speculation


def test_drafts_are_off_where_wider_passes_cost_too_much() -> None:
    assert measured({1: 10, 2: 60, 33: 300}).plan([draft(32)]) == [0]
    [taken] = measured({1: 10, 8: 11, 33: 60}).plan([draft(32)])
    assert 2 <= taken <= 10


def test_drafts_are_off_while_they_do_not_hold_and_come_back_when_they_do() -> None:
    speculation = measured({1: 10, 8: 17, 33: 40})
    assert speculation.plan([draft(8)])[0] > 0
    for _ in range(200):
        speculation.acceptance.learn(draft(8), [2])
    assert speculation.plan([draft(8)]) == [0]
    for _ in range(300):
        speculation.acceptance.learn(draft(8), [1] * 8)
    assert speculation.plan([draft(8)])[0] > 0


@pytest.mark.parametrize("wanted", [True, False])
def test_the_setting_decides_whether_there_are_drafts(tmp_path: Path, wanted: bool) -> None:
    tiny_models.make(tmp_path, "llama tied")
    config = EngineConfig(dtype="float32", threads=1, speculation=wanted)
    served = ServedModel("tiny", tmp_path, "plain", config)
    served.load()
    try:
        assert (served.ready().decoder.speculation is not None) == wanted
    finally:
        served.stop()


def test_the_likeliest_guesses_of_a_batch_are_verified() -> None:
    speculation = measured({1: 10, 2: 10, 8: 11, 16: 30, 64: 200})
    sure, unsure = speculation.plan([draft(20, "prediction", 20), draft(20, "context", 1)])
    assert sure > 3 > unsure


def test_a_width_that_was_slow_long_ago_is_tried_again() -> None:
    cost = PassCost()
    cost.measured(8, 500.0)
    for _ in range(600):
        cost.measured(1, 10.0)
    assert cost.of(8) < 20


@given(st.dictionaries(st.integers(1, 64), st.floats(1, 100), max_size=6), st.integers(1, 99))
def test_a_cost_between_measured_widths_lies_between_theirs(
    times: dict[int, float], width: int
) -> None:
    cost = measured(times).cost
    below = [w for w in times if w <= width]
    above = [w for w in times if w >= width]
    assert cost.of(width) > 0
    if below and above:
        ends = sorted((times[max(below)], times[min(above)]))
        assert ends[0] - 1e-9 <= cost.of(width) <= ends[1] + 1e-9
