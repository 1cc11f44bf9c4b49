"""The decoder: sequences that are stepped together, one forward pass at a time."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from completion.engine.kv import KVCache
from completion.engine.kvpool import KVPool
from completion.engine.model import Model
from completion.engine.request import Chunk, Request
from completion.engine.running import Running
from completion.engine.shipped import Shipped
from completion.engine.tokenizer import Tokenizer
from tandem.errors import EngineError

# Long prompts are read in pieces, so that a cancel takes effect between them and the attention
# mask stays small.
PREFILL_TOKENS = 256
CACHE_MB = 64


class Decoder:
    """A loaded model with its tokenizer and KV caches. Not thread-safe: see `scheduler`.

    Decoders may share a `pool` of caches, and decoders of one model may be stepped together:
    keys and values that come from different weights have different owners.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        name: str,
        pool: KVPool | None = None,
        owner: object = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.context = model.context
        self.generated_tokens = 0
        self.pool = pool or KVPool(model.new_cache, CACHE_MB << 20)
        self.owner = owner or self
        self._ends = model.config.eos_ids | tokenizer.special_ids

    @classmethod
    def load(
        cls,
        folder: Path,
        dtype: str = "auto",
        threads: int = 0,
        context: int = 2048,
        shipped: Shipped | None = None,
        cache_mb: int = CACHE_MB,
    ) -> "Decoder":
        """The folder's model as it is, or with a shipped difference (`shipped.of`) merged.

        `threads` 0 takes all cores; the KV caches take at most `cache_mb` or one sequence.
        Raises ModelError if the folder cannot be read or run.
        """
        torch.set_num_threads(threads or usable_cores())
        tokenizer = Tokenizer.load(folder)
        model = Model.load(folder, choose_dtype(dtype), context, shipped)
        decoder = cls(model, tokenizer, folder.name, KVPool(model.new_cache, cache_mb << 20))
        decoder.warm_up()
        return decoder

    def warm_up(self) -> None:
        """Touch all weights and tables once, so that the first keystroke does not wait for it."""
        token = next(i for i, data in enumerate(self.tokenizer.bytes_of) if data)
        for _ in self.generate(Request((token,) * 8, 2, heal=" ")):
            pass
        self.forget()
        self.generated_tokens = 0

    def forget(self) -> None:
        """Empty every KV cache, so that the next prompt is read as the first one was."""
        self.pool.clear()

    def generate(
        self, request: Request, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Chunk]:
        """Chunks of the answer; the last one says why it ended.

        `cancelled` is asked before each pass: each token and each piece of the prompt. Raises
        EngineError if the prompt does not fit the context.
        """
        running = self.start(request)
        try:
            while running.finish is None:
                if cancelled():
                    self.drop(running)
                else:
                    self.step([running])
                yield from running.chunks()
        finally:
            self.drop(running)

    def start(self, request: Request) -> Running:
        """A sequence for `step`, which holds a KV cache until it has finished or is dropped.

        Raises EngineError if the prompt does not fit the context.
        """
        running = self.try_start(request, urgent=True)
        assert running is not None, "what is urgent is had at once"
        return running

    def try_start(self, request: Request, urgent: bool = False) -> Running | None:
        """As `start`, but None if there is no memory for one more and it is not `urgent`."""
        if not request.prompt:
            raise EngineError("The prompt is empty.", "Send at least one token.")
        if len(request.prompt) >= self.context:
            raise EngineError(
                f"The prompt has {len(request.prompt)} tokens, the context {self.context}.",
                "Shorten the prompt, or raise engine.context.",
            )
        taken = self.pool.take(request.prompt, self._room(request), self.owner, urgent)
        return taken and self._running(request, taken.cache)

    def hand_over(self, running: Running, request: Request) -> Running | None:
        """The same sequence as the answer to another request, whose user typed what came.

        The tokens picked so far count as picked for `request`, which is what it would have
        picked by itself; `running` has ended then. None, and nothing has changed, if it is not
        so, or if that cannot be known because tokens were drawn at random.
        """
        old = running.request
        known = (*old.prompt, *running.answer)
        start = len(request.prompt)
        greedy = old.temperature == request.temperature == 0 and not old.logprobs
        if not greedy or running.finish is not None or not running.prompt_read:
            return None
        if not len(old.prompt) <= start <= len(known) or request.prompt != known[:start]:
            return None
        picked = known[len(old.prompt) : start]
        typed = b"".join(map(self.tokenizer.bytes_at, picked)) + request.heal.encode()
        if not typed.startswith(old.heal.encode()):
            return None
        heir = self._running(request, running.cache)
        if not heir.replay(known[start:]):
            return None
        if not self.pool.renew(running.cache, request.prompt, self._room(request)):
            return None
        running.hand_over()
        if heir.finish is not None:
            self._give_back(heir)
        return heir

    def cached(self, request: Request) -> int:
        """How many tokens of the prompt a KV cache holds now."""
        return self.pool.cached(request.prompt, self.owner)

    def _running(self, request: Request, cache: KVCache) -> Running:
        return Running(request, cache, self.tokenizer, self._ends, self.context)

    def _room(self, request: Request) -> int:
        """Tokens that the request may write: healed text takes tokens of its own."""
        most = len(request.prompt) + request.max_tokens + len(request.heal.encode())
        return min(most, self.context)

    def step(self, runnings: Sequence[Running]) -> None:
        """One forward pass for all of them that have not finished.

        A sequence reads a piece of its prompt, or one token and then picks the next. Its text
        does not depend on the others in the pass.
        """
        live = [running for running in runnings if running.finish is None]
        if not live:
            return
        began = time.perf_counter()
        prefill = [not running.prompt_read for running in live]
        hidden = self.model.forward_all([(r.next_tokens(PREFILL_TOKENS), r.cache) for r in live])
        picking = [(r, h[-1:]) for r, h in zip(live, hidden, strict=True) if r.prompt_read]
        if picking:
            logits = self.model.logits(torch.cat([h for _, h in picking]))
            for (running, _), row in zip(picking, logits, strict=True):
                running.pick(row)
                self.generated_tokens += 1
        elapsed = (time.perf_counter() - began) * 1000
        for running, was_prefill in zip(live, prefill, strict=True):
            running.took(elapsed, was_prefill)
            if running.finish is not None:
                self._give_back(running)

    def drop(self, running: Running) -> None:
        """Cancel, and let others have the KV cache. Harmless when it has finished."""
        running.cancel()
        self._give_back(running)

    def _give_back(self, running: Running) -> None:
        if not running.gave_back:
            running.gave_back = True
            self.pool.give_back(running.cache)

    def losses(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """Nats of each token of `answer` after the prompt and the tokens before it.

        Asserts that both fit the context and that the prompt has a token.
        """
        assert prompt, "something must come before the answer"
        assert len(prompt) + len(answer) <= self.context, "the caller cuts to the context"
        taken = self.pool.take(prompt, len(prompt) + len(answer), self.owner, urgent=True)
        assert taken is not None, "what is urgent is had at once"
        cache = taken.cache
        try:
            while len(cache) < len(prompt) - 1:
                self.model.forward(prompt[len(cache) : -1][:PREFILL_TOKENS], cache)
            hidden = self.model.forward((prompt[-1], *answer[:-1]), cache)
        finally:
            self.pool.give_back(cache)
        logits = self.model.logits(hidden)
        return F.cross_entropy(logits, torch.tensor(answer), reduction="none").tolist()


def usable_cores() -> int:
    """Cores this process may run on; not every system can tell, then all there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def choose_dtype(name: str) -> torch.dtype:
    """The weights' width. `auto` is bfloat16 where the CPU multiplies it, float32 elsewhere.

    Decoding is bound by reading the weights, so half the width is nearly twice the speed where
    the CPU has AVX512-BF16 or AMX; without them bfloat16 is emulated and slower.
    """
    if name == "auto":
        name = "bfloat16" if fast_bfloat16() else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def fast_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products."""
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
