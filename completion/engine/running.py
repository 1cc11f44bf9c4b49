"""One sequence on its way: what of it the model has read, and what of the answer is known."""

from collections.abc import Sequence, Set
from dataclasses import replace

import torch

from completion.engine.kv import KVCache
from completion.engine.request import Chunk, FinishReason, Request, Usage
from completion.engine.sample import Healer, Sampler
from completion.engine.textstream import TextStream
from completion.engine.tokenizer import Tokenizer


class Running:
    """State of a request between the passes of `Decoder.step`. `finish` says why it ended.

    `ends` are the tokens that end an answer, `context` how many the cache may hold.
    """

    def __init__(
        self,
        request: Request,
        cache: KVCache,
        tokenizer: Tokenizer,
        ends: Set[int],
        context: int,
    ) -> None:
        self.request = request
        self.cache = cache
        self.finish: FinishReason | None = None
        self.gave_back = False
        self.usage = Usage(prompt_tokens=len(request.prompt))
        self.usage.cached_tokens = min(len(cache), len(request.prompt))
        self._ends = ends
        self._context = context
        self._sampler = Sampler(request.temperature, request.top_p, request.seed)
        self._healer = Healer(tokenizer, request.heal)
        self._text = TextStream(request.stop)
        self.answer: list[int] = []
        self._new: list[Chunk] = []

    def chunks(self) -> list[Chunk]:
        """What is new since the last call; the very last chunk has the reason of the end."""
        new, self._new = self._new, []
        return new

    def next_tokens(self, most: int) -> tuple[int, ...]:
        """What the model should read next: at most `most` of the prompt, or the last token."""
        if not self.prompt_read:
            return self.request.prompt[len(self.cache) :][:most]
        return (self.answer[-1],)

    @property
    def prompt_read(self) -> bool:
        return len(self.cache) >= len(self.request.prompt)

    def pick(self, logits: torch.Tensor) -> None:
        """Take the next token from logits [vocabulary] of all that was read."""
        self._accept(self._sampler.pick(logits, self._healer.allowed()))

    def replay(self, tokens: Sequence[int]) -> bool:
        """Take tokens that were picked greedily and freely for the same text before.

        False if one of them does not spell what is to be healed: the best token of all is the
        best of those that do only if it is one of them.
        """
        for token in tokens:
            allowed = self._healer.allowed()
            if allowed is not None and token not in allowed:
                return False
            self._accept(token)
            if self.finish is not None:
                break
        return True

    def hand_over(self) -> None:
        """End without an answer's end: another request has the cache from now on."""
        self.finish, self.gave_back = "superseded", True

    def _accept(self, token: int) -> None:
        healer = self._healer
        if token in self._ends:
            self._end("stop")
            return
        self.answer.append(token)
        # Spelling out text the caller already has costs the caller none of its budget.
        self.usage.completion_tokens += not healer.active
        piece = self._text.feed(healer.accept(token))
        if piece:
            self._new.append(Chunk(text=piece, usage=replace(self.usage)))
        if self._text.stopped:
            self._end("stop")
        elif (
            self.usage.completion_tokens >= self.request.max_tokens
            or len(self.cache) + 1 >= self._context
        ):
            self._end("length")

    def took(self, milliseconds: float, prefill: bool) -> None:
        """How long the pass was that this sequence took part in."""
        usage = self.usage
        usage.prefill_ms += milliseconds if prefill else 0
        usage.decode_ms += 0 if prefill else milliseconds
        times = {"prefill_ms": usage.prefill_ms, "decode_ms": usage.decode_ms}
        self._new = [replace(c, usage=replace(c.usage, **times)) for c in self._new]

    def cancel(self) -> None:
        if self.finish is None:
            self._end("cancelled")

    def _end(self, reason: FinishReason) -> None:
        self.finish = reason
        self._new.append(Chunk(self._text.close(), reason, usage=replace(self.usage)))
