"""How likely a model finds a changed file: only what the change touches is read anew.

Continuations of one place differ in few tokens. They are read in the order of their tokens, each
on a KV cache that still holds what it shares with the one before it, several caches in one pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from completion.engine.generate import PREFILL_TOKENS, Decoder
from completion.engine.kv import KVCache
from completion.shared import shared_length
from sandbox.repair.change import Candidate
from sandbox.repair.order import Gain

BEFORE = 2400  # characters of the file above the change
AFTER = 32  # characters below it: what follows should fit, too
LONGEST = 120  # tokens of a changed place; of a longer one the rest is not read
LANES = 8  # caches read in one pass


class Reader:
    """A loaded model as `order.Likelihood`. Not thread-safe, as the decoder is not."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def gains(self, source: str, candidates: Sequence[Candidate]) -> list[Gain]:
        found: list[Gain | None] = [None] * len(candidates)
        places: dict[int, list[int]] = {}
        for number, one in enumerate(candidates):
            # The line break goes with what follows it: so the tokenizer takes it when it reads on.
            places.setdefault(max(0, source.rfind("\n", 0, one.start)), []).append(number)
        for place, numbers in sorted(places.items()):
            texts: list[str] = []
            for number in numbers:
                one = candidates[number]
                after = source[one.end : one.end + AFTER]
                texts += [
                    source[place : one.start] + one.text + after,
                    source[place : one.end] + after,
                ]
            nats = self._nats(source[_window(source, place) : place], texts)
            for index, number in enumerate(numbers):
                new, old = nats[2 * index : 2 * index + 2]
                found[number] = _gain(new, old)
        assert None not in found
        return [one for one in found if one is not None]

    def _nats(self, before: str, texts: Sequence[str]) -> list[list[float]]:
        """Log-probabilities of each text's tokens after `before`."""
        tokenizer = self._decoder.tokenizer
        prompt = tokenizer.encode(before, begin=True) or tokenizer.encode("\n")
        prompt = prompt[-(self._decoder.context - LONGEST) :]
        tokens = [tuple(tokenizer.encode(text)[:LONGEST]) for text in texts]
        told = self._read(prompt, sorted(set(tokens)))
        return [told[one] for one in tokens]

    @torch.inference_mode()
    def _read(
        self, prompt: Sequence[int], texts: Sequence[tuple[int, ...]]
    ) -> dict[tuple[int, ...], list[float]]:
        model, pool = self._decoder.model, self._decoder.pool
        taken = pool.take(prompt, len(prompt) + LONGEST, self._decoder.owner, urgent=True)
        assert taken is not None, "what is urgent is had at once"
        cache = taken.cache
        try:
            while len(cache) < len(prompt) - 1:
                model.forward(prompt[len(cache) : -1][:PREFILL_TOKENS], cache)
            size = -(-len(texts) // LANES)
            lanes = []
            for first in range(0, len(texts), size):
                own = cache
                if lanes:
                    own = model.new_cache()
                    own.copy_prefix(cache, len(prompt) - 1)
                lanes.append(_Lane(own, list(prompt), list(texts[first : first + size])))
            told: dict[tuple[int, ...], list[float]] = {}
            while lanes := [lane for lane in lanes if lane.waiting]:
                parts = [lane.next() for lane in lanes]
                reading = [(lane, part) for lane, part in zip(lanes, parts, strict=True) if part]
                if reading:
                    hidden = model.forward_all([(part, lane.cache) for lane, part in reading])
                    for (lane, _), states in zip(reading, hidden, strict=True):
                        wanted = torch.tensor(lane.tokens[len(lane.nats) :])
                        logprobs = model.logits(states).log_softmax(-1)
                        lane.nats += logprobs.gather(-1, wanted[:, None])[:, 0].tolist()
                told |= {lane.tokens: list(lane.nats) for lane in lanes}
            cache.rewind(len(prompt) - 1)
        finally:
            pool.give_back(cache)
        return told


@dataclass
class _Lane:
    """One cache, which reads text after text; `nats` of the tokens read of the present one."""

    cache: KVCache
    prompt: list[int]
    waiting: list[tuple[int, ...]]
    tokens: tuple[int, ...] = ()
    nats: list[float] = field(default_factory=list)

    def next(self) -> tuple[int, ...]:
        """Go on to the next text; the tokens to read so that all of its are known."""
        text = self.waiting.pop(0)
        kept = shared_length(self.tokens, text)
        self.tokens = text
        del self.nats[kept:]
        if kept == len(text):
            return ()
        self.cache.rewind(len(self.prompt) - 1 + kept)
        # To judge a token, the one before it must have been read.
        return (self.prompt[-1], *text)[kept : len(text)]


def _gain(new: Sequence[float], old: Sequence[float]) -> Gain:
    """Of two readings of one place: what they share at their start cancels out."""
    shared = shared_length(new, old)
    left, right = new[shared:], old[shared:]
    means = [sum(one) / len(one) if one else 0.0 for one in (left, right)]
    return Gain(sum(left) - sum(right), len(left) - len(right), means[0] - means[1])


def _window(source: str, place: int) -> int:
    """Where reading begins: a line's start, the same for places near each other."""
    first = max(0, place - BEFORE)
    first -= first % (BEFORE // 2)
    return 0 if first == 0 else source.find("\n", first, place) + 1
