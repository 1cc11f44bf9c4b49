"""Ways to make several candidates for one hole: sampled, by beam search, branching off greedy.

Each candidate goes through the stop rule and the filters that the editor's answer goes through,
and keeps the log-probability of each of its tokens. Times are of the passes, in milliseconds,
with the prompt read before.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from benchmarks.parts import beams
from completion import filters
from completion.asking import FILTERED_SUFFIX
from completion.engine.generate import Decoder
from completion.engine.request import Request
from completion.engine.sample import Healer
from completion.hole import hole_kind
from completion.indent import Dedent
from completion.prompt import Prompt
from finetune.cases import Case
from tandem.config import CompletionConfig

OPTIONS = CompletionConfig()
FEW_TOKENS = 64  # a pass that reads more of a prompt is not counted to the answer's time
ANSWERS = 4
LIKELIEST = 4  # tokens that a branch may begin with, at each place


@dataclass
class Made:
    """A candidate: `text` as generated, `shown` as the editor would show it.

    `logprobs` are those of its tokens, the end token's included where the model ended it.
    """

    text: str
    shown: str
    logprobs: list[float]
    ended: bool


@dataclass
class Step:
    """One token of an answer: its text past what was healed, and what else it might have been."""

    token: int
    logprob: float
    others: list[tuple[int, float]] = field(default_factory=list)


class Place:
    """A hole, its prompt's tokens, and what is shown of a text in it."""

    def __init__(self, case: Case, built: Prompt, decoder: Decoder) -> None:
        self.case = case
        self.decoder = decoder
        self.tokens = tuple(decoder.tokenizer.encode(built.text, begin=True))
        self.heal, self.stop = built.heal, built.stop
        self.ends = decoder.model.config.eos_ids | decoder.tokenizer.special_ids
        self._hole = hole_kind(case.prefix + case.suffix, len(case.prefix), case.language)
        self._after = case.suffix[:FILTERED_SUFFIX]

    def read(self, text: str) -> filters.StopRule:
        dedent = Dedent(self.case.prefix, self._hole)
        stop = filters.StopRule(self.case.prefix, self._after, self._hole, OPTIONS.max_lines)
        stop.feed(dedent.feed(text))
        return stop

    def shown(self, text: str, ended: bool) -> str:
        stop, hole = self.read(text), self._hole
        complete = stop.stopped or ended
        return filters.finish(stop.text, self.case.prefix, self._after, hole, complete).text

    def text_of(self, tokens: Sequence[int]) -> str:
        """Of an answer's tokens, without what was healed."""
        data = b"".join(self.decoder.tokenizer.bytes_at(token) for token in tokens)
        return data[len(self.heal.encode()) :].decode("utf-8", "ignore")

    def cut(self, steps: Sequence[Step]) -> list[Step]:
        """The steps up to the one with which the stop rule is content."""
        for count in range(1, len(steps) + 1):
            tokens = [step.token for step in steps[:count] if step.token not in self.ends]
            if self.read(self.text_of(tokens)).stopped:
                return list(steps[:count])
        return list(steps)

    def made(self, steps: Sequence[Step]) -> Made:
        tokens = [step.token for step in steps if step.token not in self.ends]
        text, ended = self.text_of(tokens), len(tokens) < len(steps)
        return Made(text, self.shown(text, ended), [step.logprob for step in steps], ended)


class Recorder:
    """A hook that changes nothing: what each token was picked from, after healing."""

    def __init__(self, place: Place, typed: Sequence[int] = ()) -> None:
        self._healer = Healer(place.decoder.tokenizer, place.heal)
        for token in typed:
            self._healer.accept(token)
        self._ends = place.ends
        self._last: torch.Tensor | None = None
        self.steps: list[Step] = []

    def adjust(self, logits: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        self._last = logits.log_softmax(-1)
        return logits

    def accept(self, token: int) -> None:
        self._note(token)
        self._healer.accept(token)

    def ended(self) -> None:
        """The model ended the answer: of that, hooks are not told."""
        assert self._last is not None
        ends = sorted(self._ends)
        self._note(ends[int(self._last[ends].argmax())])

    def _note(self, token: int) -> None:
        assert self._last is not None
        allowed = self._healer.allowed()
        scores = self._last if allowed is None else self._last[torch.from_numpy(allowed)]
        best = scores.topk(min(LIKELIEST, len(scores)))
        ids = best.indices if allowed is None else torch.from_numpy(allowed)[best.indices]
        pairs = zip(ids.tolist(), best.values.tolist(), strict=True)
        self.steps.append(Step(token, float(self._last[token]), list(pairs)))


def together(
    place: Place, parts: Sequence[tuple[Request, list[Step]]]
) -> tuple[list[list[Step]], float]:
    """The steps of each answer, those that came before its request first; and the time of the
    passes that read no prompt of their own."""
    decoder = place.decoder
    recorders = [Recorder(place, [step.token for step in before]) for _, before in parts]
    runnings = [
        decoder.start(request, [recorder])
        for (request, _), recorder in zip(parts, recorders, strict=True)
    ]
    elapsed = 0.0
    texts = [place.text_of([step.token for step in before]) for _, before in parts]
    live = list(range(len(parts)))
    while live:
        reads = max(len(runnings[n].request.prompt) - len(runnings[n].cache) for n in live)
        began = time.perf_counter()
        decoder.step([runnings[number] for number in live])
        if reads < FEW_TOKENS:
            elapsed += (time.perf_counter() - began) * 1000
        for number in list(live):
            running = runnings[number]
            texts[number] += "".join(chunk.text for chunk in running.chunks())
            if running.finish is not None or place.read(texts[number]).stopped:
                decoder.drop(running)
                live.remove(number)
    found = []
    for (_, before), recorder, running in zip(parts, recorders, runnings, strict=True):
        if running.finish == "stop":
            recorder.ended()
        found.append(place.cut([*before, *recorder.steps]))
    return found, elapsed


def greedy(place: Place) -> tuple[list[Step], float]:
    found, elapsed = together(place, [(request(place), [])])
    return found[0], elapsed


def request(place: Place, temperature: float = 0.0, seed: int | None = None) -> Request:
    most = OPTIONS.max_tokens
    return Request(
        place.tokens, most, temperature, seed=seed, stop=place.stop, heal=place.heal, logprobs=0
    )


def sampled(place: Place, count: int, temperature: float) -> tuple[list[Made], float]:
    """`count` answers drawn at random, in the same passes."""
    parts = [(request(place, temperature, seed), []) for seed in range(count)]
    found, elapsed = together(place, parts)
    return [place.made(steps) for steps in found], elapsed


@dataclass(frozen=True)
class Fork:
    """Another token than the greedy one at a step; `margin` is what it costs, in nats."""

    at: int
    token: int
    logprob: float
    margin: float


def forks(place: Place, steps: Sequence[Step]) -> list[Fork]:
    """The alternatives to a greedy answer's tokens, the least costly first."""
    found: list[Fork] = []
    for at, step in enumerate(steps):
        for token, logprob in step.others:
            same_end = token in place.ends and step.token in place.ends
            if token != step.token and not same_end:
                found.append(Fork(at, token, logprob, step.logprob - logprob))
    return sorted(found, key=lambda fork: fork.margin)


def branches(
    place: Place, steps: Sequence[Step], chosen: Sequence[Fork]
) -> tuple[list[Made], float]:
    """The greedy answers that follow each fork, in the same passes."""
    parts, instant = [], {}
    for number, fork in enumerate(chosen):
        before = [*steps[: fork.at], Step(fork.token, fork.logprob)]
        tokens = [step.token for step in before if step.token not in place.ends]
        done = len(tokens) < len(before) or place.read(place.text_of(tokens)).stopped
        if done or len(tokens) >= OPTIONS.max_tokens:
            instant[number] = place.made(place.cut(before))
            continue
        spelled = sum(len(place.decoder.tokenizer.bytes_at(token)) for token in tokens)
        heal = place.heal.encode()[spelled:].decode("utf-8", "ignore")
        asked = Request(
            (*place.tokens, *tokens),
            OPTIONS.max_tokens - len(tokens),
            stop=place.stop,
            heal=heal,
            logprobs=0,
        )
        parts.append((number, asked, before))
    found, elapsed = together(place, [(asked, before) for _, asked, before in parts])
    made = {
        number: place.made(steps) for (number, _, _), steps in zip(parts, found, strict=True)
    } | instant
    return [made[number] for number in range(len(chosen))], elapsed


def beam(place: Place, width: int, one_line: bool) -> tuple[list[Made], float]:
    """The ANSWERS likeliest answers by the engine's search; of one line, where greedy's is."""
    stop = (*place.stop, "\n") if one_line else place.stop
    wanted = replace(request(place), stop=stop)
    found = beams.search(place.decoder, wanted, width, min(width, ANSWERS))
    made = []
    for one in found.beams:
        ended = one.finish == "stop"
        made.append(Made(one.text, place.shown(one.text, ended), list(one.logprobs), ended))
    return made, found.ms
