"""The loop of one request: prefill, then token by token, until something ends it."""

import codecs
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from completion.engine.kv import KVCache, KVPool
from completion.engine.model import Model
from completion.engine.request import Chunk, FinishReason, Request, Usage
from completion.engine.sample import Healer, Sampler
from completion.engine.shipped import Shipped
from completion.engine.tokenizer import Tokenizer
from tandem.errors import EngineError

# Long prompts are read in pieces, so that a cancel takes effect between them and the attention
# mask stays small.
PREFILL_TOKENS = 256
CACHED_SEQUENCES = 3


class Decoder:
    """A loaded model with its tokenizer and KV caches. Not thread-safe: see `scheduler`."""

    def __init__(self, model: Model, tokenizer: Tokenizer, name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.context = model.context
        self.generated_tokens = 0
        self._pool = KVPool([model.new_cache() for _ in range(CACHED_SEQUENCES)])
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

    def forget(self) -> None:
        """Empty every KV cache, so that the next prompt is read as the first one was."""
        self._pool.clear()

    def generate(
        self, request: Request, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Chunk]:
        """Chunks of the answer; the last one says why it ended.

        `cancelled` is asked before each token and each piece of the prompt. Raises EngineError
        if the prompt does not fit the context.
        """
        if not request.prompt:
            raise EngineError("The prompt is empty.", "Send at least one token.")
        if len(request.prompt) >= self.context:
            raise EngineError(
                f"The prompt has {len(request.prompt)} tokens, the context {self.context}.",
                "Shorten the prompt, or raise engine.context.",
            )
        usage = Usage(prompt_tokens=len(request.prompt))
        cache = self._pool.take(request.prompt)
        usage.cached_tokens = len(cache)
        began = time.perf_counter()
        hidden = self._prefill(request, cache, cancelled)
        usage.prefill_ms = (time.perf_counter() - began) * 1000
        if hidden is None:
            yield Chunk(finish="cancelled", usage=usage)
            return
        began = time.perf_counter()
        for chunk in self._decode(request, cache, hidden, cancelled, usage):
            usage.decode_ms = (time.perf_counter() - began) * 1000
            yield chunk

    def _prefill(
        self, request: Request, cache: KVCache, cancelled: Callable[[], bool]
    ) -> torch.Tensor | None:
        """The last prompt token's hidden state [1, hidden]; None if cancelled on the way."""
        hidden = None
        while len(cache) < len(request.prompt):
            if cancelled():
                return None
            piece = request.prompt[len(cache) : len(cache) + PREFILL_TOKENS]
            hidden = self.model.forward(piece, cache)[-1:]
        return hidden

    def _decode(
        self,
        request: Request,
        cache: KVCache,
        hidden: torch.Tensor,
        cancelled: Callable[[], bool],
        usage: Usage,
    ) -> Iterator[Chunk]:
        sampler = Sampler(request.temperature, request.top_p, request.seed)
        healer = Healer(self.tokenizer, request.heal)
        text = TextStream(request.stop)
        finish: FinishReason = "length"
        while usage.completion_tokens < request.max_tokens:
            if cancelled():
                finish = "cancelled"
                break
            token = sampler.pick(self.model.logits(hidden)[0], healer.allowed())
            self.generated_tokens += 1
            if token in self._ends:
                finish = "stop"
                break
            # Spelling out text the caller already has costs the caller none of its budget.
            usage.completion_tokens += not healer.active
            piece = text.feed(healer.accept(token))
            if piece:
                yield Chunk(text=piece, usage=usage)
            if text.stopped:
                finish = "stop"
                break
            if len(cache) + 1 >= self.context:
                break
            if usage.completion_tokens < request.max_tokens:
                hidden = self.model.forward((token,), cache)
        yield Chunk(text=text.close(), finish=finish, usage=usage)


class TextStream:
    """Bytes of tokens to text that may be shown: whole characters, nothing of a stop string."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = tuple(s for s in stop if s)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False

    def feed(self, data: bytes) -> str:
        """The text that is safe to show now."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(data)
        found = [at for at in (self._held.find(s) for s in self._stop) if at >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = self._possible_start()
        shown, self._held = self._held[: len(self._held) - keep], self._held[-keep:] if keep else ""
        return shown

    def close(self) -> str:
        """What was held back and turned out not to be a stop string."""
        if self.stopped:
            return ""
        shown, self._held = self._held + self._decoder.decode(b"", final=True), ""
        return shown

    def _possible_start(self) -> int:
        """Length of the longest end of the held text that a stop string begins with."""
        longest = max((len(s) for s in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(s.startswith(self._held[-length:]) for s in self._stop):
                return length
        return 0


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
