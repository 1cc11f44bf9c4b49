"""Beam search: the likeliest whole answers, where greedy takes the likeliest token each time.

It is measured here and not in the engine: branching off the greedy answer finds nearly as much
and costs less. The beams share their passes. Each has a KV cache of its own, and all hold the same prompt, so a
beam that goes two ways costs a copy of what was generated, not of the prompt.
"""

import copy
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import torch

from completion.engine.generate import PREFILL_TOKENS, Decoder
from completion.engine.kv import BLOCK, KVCache
from completion.engine.request import FinishReason, Request
from completion.engine.sample import Healer
from completion.engine.textstream import TextStream


@dataclass(eq=False)
class Beam:
    """An answer on its way, or found.

    `total` is the log-probability of all its tokens in nats, those that spell healed text and the
    one that ends it included; `logprobs` are those of the tokens past that text.
    """

    cache: KVCache
    healer: Healer
    stream: TextStream
    tokens: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[float, ...] = ()
    total: float = 0.0
    count: int = 0
    finish: FinishReason | None = None


@dataclass(frozen=True)
class Found:
    """All different answers, the likeliest first; `ms` without what reading the prompt took."""

    beams: list[Beam]
    ms: float


def search(decoder: Decoder, request: Request, beams: int, answers: int) -> Found:
    """The `answers` likeliest answers that `beams` beams find; there may be fewer."""
    assert beams >= answers >= 1, "an answer comes from a beam"
    room = len(request.prompt) + request.max_tokens + len(request.heal.encode())
    room = min(room, decoder.context)
    taken = decoder.pool.take(request.prompt, room, decoder.owner, urgent=True)
    assert taken is not None, "what is urgent is had at once"
    cache = taken.cache
    try:
        while len(cache) < len(request.prompt) - 1:
            piece = request.prompt[len(cache) : -1][:PREFILL_TOKENS]
            decoder.model.forward(piece, cache)
        began = time.perf_counter()
        found = _Search(decoder, request, cache, beams, answers).run()
        return Found(found, (time.perf_counter() - began) * 1000)
    finally:
        decoder.pool.give_back(cache)


class _Search:
    def __init__(
        self, decoder: Decoder, request: Request, cache: KVCache, beams: int, answers: int
    ) -> None:
        self._model = decoder.model
        self._context = decoder.context
        self._ends: Set[int] = decoder.model.config.eos_ids | decoder.tokenizer.special_ids
        self._request = request
        self._beams = beams
        self._answers = answers
        healer = Healer(decoder.tokenizer, request.heal)
        self._live = [Beam(cache, healer, TextStream(request.stop))]
        self._found: list[Beam] = []
        self._free: list[KVCache] = []

    def run(self) -> list[Beam]:
        while self._live:
            self._grow()
        return self._found[: self._answers]

    def _grow(self) -> None:
        """Let every beam grow by a token, all in one pass."""
        last = [beam.tokens[-1] if beam.tokens else self._request.prompt[-1] for beam in self._live]
        parts = [([token], beam.cache) for token, beam in zip(last, self._live, strict=True)]
        logits = self._model.logits(torch.cat(self._model.forward_all(parts)))
        grown: list[tuple[float, int, int, float]] = []
        for number, (beam, row) in enumerate(zip(self._live, logits, strict=True)):
            grown += [
                (beam.total + logprob, -number, token, logprob)
                for token, logprob in self._likeliest(beam, row)
            ]
        grown.sort(reverse=True)
        best = [(-number, token, logprob) for _, number, token, logprob in grown]
        self._choose(best[: self._beams - len(self._found)])

    def _likeliest(self, beam: Beam, logits: torch.Tensor) -> list[tuple[int, float]]:
        """Tokens that may come next, and their log-probabilities before healing."""
        logprobs, allowed = logits.log_softmax(-1), beam.healer.allowed()
        ids = None if allowed is None else torch.from_numpy(allowed)
        scores = logprobs if ids is None else logprobs[ids]
        best = scores.topk(min(self._beams, len(scores)))
        tokens = best.indices if ids is None else ids[best.indices]
        return list(zip(tokens.tolist(), best.values.tolist(), strict=True))

    def _choose(self, best: Sequence[tuple[int, int, float]]) -> None:
        """Go on with the best (beam, token, logprob); what cannot win any more is left."""
        parents, self._live = self._live, []
        used = {number for number, _, _ in best}
        self._free += [b.cache for n, b in enumerate(parents) if n not in used]
        taken: set[int] = set()
        for number, token, logprob in best:
            child = self._child(parents[number], token, logprob)
            if child.finish is not None:
                self._keep(child)
                continue
            if number in taken:
                child.cache = self._copy(parents[number].cache)
            taken.add(number)
            self._live.append(child)
        self._free += [parents[number].cache for number in used - taken]
        if len(self._found) >= self._answers:
            least = self._found[self._answers - 1].total
            self._free += [beam.cache for beam in self._live if beam.total <= least]
            self._live = [beam for beam in self._live if beam.total > least]

    def _child(self, parent: Beam, token: int, logprob: float) -> Beam:
        total = parent.total + logprob
        if token in self._ends:
            text = parent.text + copy.deepcopy(parent.stream).close()
            logprobs = (*parent.logprobs, logprob)
            return replace(parent, text=text, logprobs=logprobs, total=total, finish="stop")
        healer, stream = copy.copy(parent.healer), copy.deepcopy(parent.stream)
        count = parent.count + (not healer.active)
        data = healer.accept(token)
        text = parent.text + stream.feed(data)
        tokens = (*parent.tokens, token)
        finish: FinishReason | None = None
        if stream.stopped:
            finish = "stop"
        elif count >= self._request.max_tokens or self._full(len(tokens)):
            finish, text = "length", text + stream.close()
        logprobs = (*parent.logprobs, logprob) if data else parent.logprobs
        return Beam(parent.cache, healer, stream, tokens, text, logprobs, total, count, finish)

    def _full(self, tokens: int) -> bool:
        return len(self._request.prompt) + tokens >= self._context

    def _keep(self, beam: Beam) -> None:
        """A found answer, in its place by likelihood; of equal texts the likelier one stays."""
        same = next((one for one in self._found if one.text == beam.text), None)
        if same is not None and same.total >= beam.total:
            return
        kept = [one for one in self._found if one is not same]
        self._found = sorted([*kept, beam], key=lambda one: -one.total)

    def _copy(self, source: KVCache) -> KVCache:
        """All caches hold the same prompt, so that only what is after it must be copied."""
        cache = self._free.pop() if self._free else self._model.new_cache()
        first = (len(self._request.prompt) - 1) // BLOCK * BLOCK if len(cache) else 0
        end = -(-len(source) // BLOCK) * BLOCK
        cache.keys[:, :, first:end] = source.keys[:, :, first:end]
        cache.values[:, :, first:end] = source.values[:, :, first:end]
        cache.tokens[:] = source.tokens
        return cache
