"""The decoder: sequences that are stepped together, one forward pass at a time."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from completion.engine.drafts import Draft, Lookup
from completion.engine.kv import KVPool
from completion.engine.model import Model
from completion.engine.request import Chunk, Request
from completion.engine.running import Running
from completion.engine.shipped import Shipped
from completion.engine.speculate import Speculation
from completion.engine.tokenizer import Tokenizer
from tandem.errors import EngineError

# Long prompts are read in pieces, so that a cancel takes effect between them and the attention
# mask stays small.
PREFILL_TOKENS = 256
CACHED_SEQUENCES = 3


class Decoder:
    """A loaded model with its tokenizer and KV caches. Not thread-safe: see `scheduler`.

    `speculation` is what it has learned about drafts; None decodes without them.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.context = model.context
        self.generated_tokens = 0
        self.speculation: Speculation | None = Speculation()
        self._pool = KVPool(model.new_cache, CACHED_SEQUENCES)
        self._ends = model.config.eos_ids | tokenizer.special_ids

    @classmethod
    def load(
        cls,
        folder: Path,
        dtype: str = "auto",
        threads: int = 0,
        context: int = 2048,
        shipped: Shipped | None = None,
    ) -> "Decoder":
        """The folder's model as it is, or with a shipped difference (`shipped.of`) merged.

        Raises ModelError if the folder cannot be read or run.
        """
        torch.set_num_threads(threads or usable_cores())
        tokenizer = Tokenizer.load(folder)
        model = Model.load(folder, choose_dtype(dtype), context, shipped)
        decoder = cls(model, tokenizer, folder.name)
        decoder.warm_up()
        return decoder

    def warm_up(self) -> None:
        """Touch all weights and tables once, so that the first keystroke does not wait for it."""
        token = next(i for i, data in enumerate(self.tokenizer.bytes_of) if data)
        for _ in self.generate(Request((token,) * 8, 2, heal=" ")):
            pass
        self.forget()
        self.generated_tokens = 0
        self.speculation = Speculation()

    def forget(self) -> None:
        """Empty every KV cache, so that the next prompt is read as the first one was."""
        self._pool.clear()

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
        """A sequence for `step`. Raises EngineError if the prompt does not fit the context.

        It holds a KV cache until it has finished or is dropped.
        """
        if not request.prompt:
            raise EngineError("The prompt is empty.", "Send at least one token.")
        if len(request.prompt) >= self.context:
            raise EngineError(
                f"The prompt has {len(request.prompt)} tokens, the context {self.context}.",
                "Shorten the prompt, or raise engine.context.",
            )
        cache = self._pool.take(request.prompt)
        drafter = None
        if self.speculation is not None:
            foretold = request.heal + request.prediction if request.prediction else ""
            prediction = self.tokenizer.encode(foretold)
            drafter = Lookup(request.prompt, prediction, self.speculation.acceptance)
        return Running(request, cache, self.tokenizer, self._ends, self.context, drafter)

    def step(self, runnings: Sequence[Running]) -> None:
        """One forward pass for all of them that have not finished.

        A sequence reads a piece of its prompt, or its last token and what it guesses to follow,
        and then picks what follows. Its text depends neither on the others nor on guesses.
        """
        live = [running for running in runnings if running.finish is None]
        if not live:
            return
        began = time.perf_counter()
        prefilling = [running.prefilling for running in live]
        drafts = [running.propose(PREFILL_TOKENS) for running in live]
        counts = self.speculation.plan(drafts) if self.speculation else [0] * len(live)
        guesses = [draft.tokens[:n] for draft, n in zip(drafts, counts, strict=True)]
        pieces = [running.next_tokens(PREFILL_TOKENS) for running in live]
        parts = [
            (piece + guessed, running.cache)
            for piece, guessed, running in zip(pieces, guesses, live, strict=True)
        ]
        self._pick(live, self.model.forward_all(parts), drafts, guesses)
        elapsed = (time.perf_counter() - began) * 1000
        if self.speculation is not None and not any(prefilling):
            self.speculation.cost.measured(sum(len(tokens) for tokens, _ in parts), elapsed)
        for running, was_prefilling in zip(live, prefilling, strict=True):
            running.took(elapsed, was_prefilling)
            if running.finish is not None:
                self._give_back(running)

    def _pick(
        self,
        live: Sequence[Running],
        hidden: Sequence[torch.Tensor],
        drafts: Sequence[Draft],
        guesses: Sequence[Sequence[int]],
    ) -> None:
        """Let each sequence that has read all it knows pick what follows."""
        ready = [number for number, running in enumerate(live) if running.all_read]
        if not ready:
            return
        counts = [1 + len(guesses[number]) for number in ready]
        rows = [hidden[n][-count:] for n, count in zip(ready, counts, strict=True)]
        logits = self.model.logits(torch.cat(rows)).split(counts)
        for number, own in zip(ready, logits, strict=True):
            picked = live[number].verify(own, guesses[number])
            self.generated_tokens += len(picked)
            if self.speculation is not None:
                self.speculation.acceptance.learn(drafts[number], picked)

    def drop(self, running: Running) -> None:
        """Cancel, and let others have the KV cache. Harmless when it has finished."""
        running.cancel()
        self._give_back(running)

    def _give_back(self, running: Running) -> None:
        if not running.gave_back:
            running.gave_back = True
            self._pool.give_back(running.cache)

    def losses(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """Nats of each token of `answer` after the prompt and the tokens before it.

        Asserts that both fit the context and that the prompt has a token.
        """
        assert prompt, "something must come before the answer"
        assert len(prompt) + len(answer) <= self.context, "the caller cuts to the context"
        cache = self._pool.take(tuple(prompt))
        try:
            while len(cache) < len(prompt) - 1:
                self.model.forward(prompt[len(cache) : -1][:PREFILL_TOKENS], cache)
            hidden = self.model.forward((prompt[-1], *answer[:-1]), cache)
        finally:
            self._pool.give_back(cache)
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
