"""One sequence on its way: what of it the model has read, and what of the answer is known."""

from collections.abc import Sequence, Set
from dataclasses import replace

import torch

from completion.engine.draft import Draft, Drafter
from completion.engine.kv import KVCache
from completion.engine.request import Chunk, FinishReason, Request, TokenLogprob, Usage
from completion.engine.sample import Healer, LogitsHook, Sampler, token_logprob
from completion.engine.speculate import MAX_DRAFT
from completion.engine.textstream import TextStream
from completion.engine.tokenizer import Tokenizer


class Running:
    """State of a request between the passes of `Decoder.step`. `finish` says why it ended.

    `ends` are the tokens that end an answer, `context` how many the cache may hold. `drafter`
    guesses ahead; what it guesses changes how soon text comes, never which. A candidate beyond
    the first `waits` until the first has read their prompt, then goes on with a copy of its KV.
    """

    def __init__(
        self,
        request: Request,
        cache: KVCache,
        tokenizer: Tokenizer,
        ends: Set[int],
        context: int,
        drafter: Drafter | None = None,
        hooks: Sequence[LogitsHook] = (),
    ) -> None:
        self.request = request
        self.cache = cache
        self.finish: FinishReason | None = None
        self.gave_back = False
        self.drafter = drafter
        self.hooks = hooks
        self.waits = False
        self.followers: list[Running] = []
        self.answer: list[int] = []
        self.usage = Usage(prompt_tokens=len(request.prompt))
        self.usage.cached_tokens = min(len(cache), len(request.prompt))
        self._ends = ends
        self._context = context
        self._sampler = Sampler(request.temperature, request.top_p, request.seed)
        self._healer = Healer(tokenizer, request.heal)
        self._text = TextStream(request.stop)
        self._unread = list(request.prompt[len(cache) :])
        self._new: list[Chunk] = []

    def chunks(self) -> list[Chunk]:
        """What is new since the last call; the very last chunk has the reason of the end."""
        new, self._new = self._new, []
        return new

    @property
    def prefilling(self) -> bool:
        """Whether part of the prompt is still unread."""
        return self.prompt_left > 0

    @property
    def prompt_left(self) -> int:
        """Tokens of the prompt that are still unread."""
        return max(0, len(self.request.prompt) - len(self.cache))

    def propose(self, most: int) -> Draft:
        """Guesses at what follows, if a pass over `most` tokens gets to the end of what is known."""
        if self.drafter is None or len(self._unread) > most:
            return Draft()
        known = len(self.cache) + len(self._unread)
        wanted = self.request.max_tokens - self.usage.completion_tokens
        wanted += self._healer.active  # a token that spells what is typed is none of them
        room = min(MAX_DRAFT, self._context - 1 - known, wanted - 1)
        return self.drafter.draft(room) if room > 0 else Draft()

    def next_tokens(self, most: int) -> list[int]:
        """What the model should read next: at most `most` of the prompt, or the last token."""
        piece, self._unread = self._unread[:most], self._unread[most:]
        return piece

    @property
    def all_read(self) -> bool:
        """Whether the next token can be picked."""
        return not self._unread

    def verify(
        self, logits: torch.Tensor, hidden: torch.Tensor, guesses: Sequence[int]
    ) -> list[int]:
        """Go on as long as the guesses hold; returns the tokens picked, an end token included.

        `logits` [1 + guesses, vocabulary] and `hidden` [1 + guesses, hidden] are those after what
        was known and after each guess; the cache has read the guesses and forgets those that do
        not hold. Each token is picked from its own distribution just as without guesses, so text
        is the same with and without, also where it is drawn: for a guess that is certain of
        itself, taking it exactly when the draw hits it is speculative sampling (Leviathan et al.
        2023, arXiv 2211.17192, with q = 1).
        """
        picked: list[int] = []
        known = len(self.cache) - len(guesses)
        self.usage.drafted_tokens += len(guesses)
        for row, state, guess in zip(logits, hidden, [*guesses, None], strict=True):
            token = self._pick(row, state, known + len(picked))
            picked.append(token)
            if self.finish or token != guess:
                break
            self.usage.accepted_tokens += 1
        self.cache.rewind(known + len(picked) - 1)
        self._unread = picked[-1:]
        return picked

    def _pick(self, logits: torch.Tensor, hidden: torch.Tensor, known: int) -> int:
        """Take the next token from logits [vocabulary] after `known` tokens."""
        for hook in self.hooks:
            logits = hook.adjust(logits, hidden)
        token = self._sampler.pick(logits, self._healer.allowed())
        self._accept(token, known, logits)
        return token

    def replay(self, tokens: Sequence[int]) -> bool:
        """Take tokens that were picked greedily for the same text before, on the same cache.

        False if one of them does not spell what is to be healed: the best token of all is the
        best of those that do only if it is one of them.
        """
        known = len(self.request.prompt)
        for number, token in enumerate(tokens):
            allowed = self._healer.allowed()
            if allowed is not None and token not in allowed:
                return False
            self._accept(token, known + number)
            if self.finish is not None:
                break
        self._unread = [*self.request.prompt, *tokens][len(self.cache) :]
        return True

    def hand_over(self) -> None:
        """End without an answer's end: another request has the cache from now on."""
        self.finish, self.gave_back = "superseded", True

    def _accept(self, token: int, known: int, logits: torch.Tensor | None = None) -> None:
        """Count a token as picked after `known` tokens; logits [vocabulary] are for who asked."""
        healer, request, usage = self._healer, self.request, self.usage
        if token in self._ends:
            self._end("stop", self._told(token, logits))
            return
        self.answer.append(token)
        for hook in self.hooks:
            hook.accept(token)
        if self.drafter is not None:
            self.drafter.feed(token)
        # Spelling out text the caller already has costs the caller none of its budget.
        usage.completion_tokens += not healer.active
        data = healer.accept(token)
        logprobs = self._told(token, logits) if data else ()
        piece = self._text.feed(data)
        if piece or logprobs:
            self._new.append(Chunk(piece, usage=replace(usage), logprobs=logprobs))
        if self._text.stopped:
            self._end("stop")
        elif usage.completion_tokens >= request.max_tokens or known + 1 >= self._context:
            self._end("length")

    def join(self, leader: "Running") -> None:
        """Stop waiting: go on from what the leader has read of the prompt."""
        self.cache.copy_prefix(leader.cache, min(len(leader.cache), len(self.request.prompt)))
        self.usage.cached_tokens = leader.usage.cached_tokens
        self._unread = list(self.request.prompt[len(self.cache) :])
        self.waits = False

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

    def _told(self, token: int, logits: torch.Tensor | None) -> tuple[TokenLogprob, ...]:
        wanted = self.request.logprobs
        if wanted is None or logits is None:
            return ()
        return (token_logprob(logits, token, wanted),)

    def _end(self, reason: FinishReason, logprobs: tuple[TokenLogprob, ...] = ()) -> None:
        self.finish = reason
        usage = replace(self.usage)
        self._new.append(Chunk(self._text.close(), reason, usage=usage, logprobs=logprobs))
