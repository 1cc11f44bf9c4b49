"""The decoder: sequences that are stepped together, one forward pass at a time."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from completion.engine import weights
from completion.engine.kv import KVPool
from completion.engine.request import Chunk, Request
from completion.engine.running import Running
from completion.engine.shipped import Shipped
from completion.engine.tokenizer import Tokenizer
from completion.engine.weights import AnyModel
from tandem.errors import EngineError

# Long prompts are read in pieces, so that a cancel takes effect between them and the attention
# mask stays small.
PREFILL_TOKENS = 256
CACHED_SEQUENCES = 3


class Decoder:
    """A loaded model with its tokenizer and KV caches. Not thread-safe: see `scheduler`."""

    def __init__(self, model: AnyModel, tokenizer: Tokenizer, name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.context = model.context
        self.generated_tokens = 0
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
        tokenizer = Tokenizer.load(folder)
        model = weights.load(folder, dtype, threads, context, shipped)
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
        return Running(request, cache, self.tokenizer, self._ends, self.context)

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
