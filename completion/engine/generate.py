"""The decoder: sequences that are stepped together, one forward pass at a time."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from completion.engine import weights
from completion.engine.draft import Draft
from completion.engine.drafts import Lookup
from completion.engine.kv import KVCache
from completion.engine.kvpool import KVPool
from completion.engine.memory_hook import MemoryHook
from completion.engine.request import Chunk, Request, Work
from completion.engine.running import Running
from completion.engine.sample import LogitsHook
from completion.engine.shipped import Shipped
from completion.engine.speculate import Speculation
from completion.engine.tokenizer import Tokenizer
from completion.engine.weights import AnyModel
from tandem.errors import EngineError

# Long prompts are read in pieces, so that a cancel takes effect between them and the attention
# mask stays small.
PREFILL_TOKENS = 256
CACHE_MB = 64


class Decoder:
    """A loaded model with its tokenizer and KV caches. Not thread-safe: see `scheduler`.

    `speculation` is what it has learned about drafts; None decodes without them. Decoders may
    share a `pool` of caches, and those of one model may be stepped together: keys and values that
    come from different weights have different owners. `work` counts for all that share it.
    """

    def __init__(
        self,
        model: AnyModel,
        tokenizer: Tokenizer,
        name: str,
        pool: KVPool | None = None,
        owner: object = None,
        work: Work | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.context = model.context
        self.work = work or Work()
        self.speculation: Speculation | None = Speculation()
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
        device: str = "cpu",
    ) -> "Decoder":
        """The folder's model as it is, or with a shipped difference (`shipped.of`) merged.

        `threads` 0 takes all cores; the KV caches take at most `cache_mb` or one sequence.
        Raises ModelError if the folder cannot be read or run.
        """
        tokenizer = Tokenizer.load(folder)
        model = weights.load(folder, dtype, threads, context, shipped, device)
        decoder = cls(model, tokenizer, folder.name, KVPool(model.new_cache, cache_mb << 20))
        decoder.warm_up()
        return decoder

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return frozenset(self._ends)

    def warm_up(self) -> None:
        """Touch all weights and tables once, so that the first keystroke does not wait for it."""
        token = next(i for i, data in enumerate(self.tokenizer.bytes_of) if data)
        for _ in self.generate(Request((token,) * 8, 2, heal=" ")):
            pass
        self.forget()
        self.work.read = self.work.written = 0
        self.speculation = Speculation()

    def forget(self) -> None:
        """Empty every KV cache, so that the next prompt is read as the first one was."""
        self.pool.clear()

    def generate(
        self,
        request: Request,
        cancelled: Callable[[], bool] = lambda: False,
        hooks: Sequence[LogitsHook] = (),
    ) -> Iterator[Chunk]:
        """Chunks of the answer; the last one says why it ended. Hooks: see `start`.

        `cancelled` is asked before each pass: each token and each piece of the prompt. Raises
        EngineError if the prompt does not fit the context.
        """
        running = self.start(request, hooks)
        try:
            while running.finish is None:
                if cancelled():
                    self.drop(running)
                else:
                    self.step([running])
                yield from running.chunks()
        finally:
            self.drop(running)

    def start(self, request: Request, hooks: Sequence[LogitsHook] = ()) -> Running:
        """A sequence for `step`, which holds a KV cache until it has finished or is dropped.

        Hooks are its own: they are told its tokens. Raises EngineError if the prompt does not fit
        the context.
        """
        running = self.try_start(request, hooks, urgent=True)
        assert running is not None, "what is urgent is had at once"
        return running

    def try_start(
        self, request: Request, hooks: Sequence[LogitsHook] = (), urgent: bool = False
    ) -> Running | None:
        """As `start`, but None if there is no memory for one more and it is not `urgent`."""
        if not request.prompt:
            raise EngineError("The prompt is empty.", "Send at least one token.")
        if len(request.prompt) >= self.context:
            raise EngineError(
                f"The prompt has {len(request.prompt)} tokens, the context {self.context}.",
                "Shorten the prompt, or raise engine.context.",
            )
        room = self._room(request)
        taken = self.pool.take(request.prompt, room, self.owner, urgent, request.salt)
        return taken and self._running(request, taken.cache, hooks, taken.followed)

    def hand_over(self, running: Running, request: Request) -> Running | None:
        """The same sequence as the answer to another request, whose user typed what came.

        The tokens picked so far count as picked for `request`, which is what it would have
        picked by itself; `running` has ended then. None, and nothing has changed, if it is not
        so, or if that cannot be known because tokens were drawn at random.
        """
        old = running.request
        known = (*old.prompt, *running.answer)
        start = len(request.prompt)
        greedy = old.temperature == request.temperature == 0 and request.logprobs is None
        own_hooks = len(running.hooks) > (old.memory is not None)
        changed = running.finish is not None or running.prefilling or own_hooks
        changed = changed or (old.memory, old.salt) != (request.memory, request.salt)
        if changed or not greedy or running.waits or running.followers:
            return None
        if not len(old.prompt) <= start <= len(known) or request.prompt != known[:start]:
            return None
        picked = known[len(old.prompt) : start]
        typed = b"".join(map(self.tokenizer.bytes_at, picked)) + request.heal.encode()
        if not typed.startswith(old.heal.encode()):
            return None
        heir = self._running(request, running.cache, (), [])
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
        return self.pool.cached(request.prompt, self.owner, request.salt)

    def candidates(
        self, request: Request, new_hooks: Callable[[], Sequence[LogitsHook]] = tuple
    ) -> list[Running]:
        """`request.n` answers to one prompt, which is read once. Step them together.

        See `Request.numbered` for their seeds.
        """
        first = self.start(request.numbered(0), new_hooks())
        for number in range(1, request.n):
            other = self.start(request.numbered(number), new_hooks())
            other.waits = True
            first.followers.append(other)
        return [first, *first.followers]

    def step(self, runnings: Sequence[Running]) -> None:
        """One forward pass for all of them that have not finished.

        A sequence reads a piece of its prompt, or its last token and what it guesses to follow,
        and then picks what follows. Its text depends neither on the others nor on guesses.
        """
        live = [running for running in runnings if running.finish is None and not running.waits]
        if not live:
            return
        began = time.perf_counter()
        prefilling = [running.prefilling for running in live]
        drafts = [running.propose(PREFILL_TOKENS) for running in live]
        counts = self.speculation.plan(drafts) if self.speculation else [0] * len(live)
        guesses = [draft.tokens[:n] for draft, n in zip(drafts, counts, strict=True)]
        unread = [running.prompt_left for running in live]
        pieces = [running.next_tokens(PREFILL_TOKENS) for running in live]
        parts = [
            (piece + guessed, running.cache)
            for piece, guessed, running in zip(pieces, guesses, live, strict=True)
        ]
        hidden = self.model.forward_all(parts)
        self.work.read += sum(map(min, map(len, pieces), unread))
        joined = self._pick(live, hidden, drafts, guesses)
        elapsed = (time.perf_counter() - began) * 1000
        if self.speculation is not None and not any(prefilling):
            self.speculation.cost.measured(sum(len(tokens) for tokens, _ in parts), elapsed)
        prefilling += [True] * len(joined)
        for running, was_prefilling in zip([*live, *joined], prefilling, strict=True):
            running.took(elapsed, was_prefilling)
            if running.finish is not None:
                self._give_back(running)

    def _pick(
        self,
        live: Sequence[Running],
        hidden: Sequence[torch.Tensor],
        drafts: Sequence[Draft],
        guesses: Sequence[Sequence[int]],
    ) -> list[Running]:
        """Let each sequence that has read all it knows pick what follows.

        Returns the candidates that waited for one of them and have picked as well.
        """
        ready = [number for number, running in enumerate(live) if running.all_read]
        joined: list[Running] = []
        if not ready:
            return joined
        counts = [1 + len(guesses[number]) for number in ready]
        rows = [hidden[n][-count:] for n, count in zip(ready, counts, strict=True)]
        logits = self.model.logits(torch.cat(rows)).split(counts)
        for number, own, states in zip(ready, logits, (row.cpu() for row in rows), strict=True):
            running = live[number]
            picked = running.verify(own, states, guesses[number])
            self.work.written += len(picked)
            if self.speculation is not None:
                self.speculation.acceptance.learn(drafts[number], picked)
            for other in self._followers(running):
                other.join(running)
                self.work.written += len(other.verify(own[:1], states[:1], ()))
                joined.append(other)
        return joined

    def drop(self, running: Running) -> None:
        """Cancel, and let others have the KV cache. Harmless when it has finished."""
        running.cancel()
        if followers := self._followers(running):
            first, *first.followers = followers
            first.join(running)
        self._give_back(running)

    def _room(self, request: Request) -> int:
        """Tokens that the request may write: healed text takes tokens of its own."""
        most = len(request.prompt) + request.max_tokens + len(request.heal.encode())
        return min(most, self.context)

    def _running(
        self,
        request: Request,
        cache: KVCache,
        hooks: Sequence[LogitsHook],
        followed: list[int],
    ) -> Running:
        """What `followed` this very prompt the last time is what the model will say again, unless
        something else was typed."""
        if request.memory is not None:  # first: what other hooks rule out must stay so
            hooks = [MemoryHook(request.memory, request.prompt, self._ends), *hooks]
        drafter = None
        if self.speculation is not None:
            foretold = request.heal + request.prediction if request.prediction else ""
            prediction = self.tokenizer.encode(foretold)
            certain = not prediction and self._spells(followed, request.heal.encode())
            drafter = Lookup(
                request.prompt,
                prediction or followed,
                self.speculation.acceptance,
                len(request.prompt) if certain else 0,
            )
        return Running(request, cache, self.tokenizer, self._ends, self.context, drafter, hooks)

    def _spells(self, tokens: Sequence[int], typed: bytes) -> bool:
        """Whether the tokens' text and what was typed agree as far as both go."""
        spelled = b"".join(map(self.tokenizer.bytes_at, tokens[: len(typed)]))
        return spelled.startswith(typed) or typed.startswith(spelled)

    def _followers(self, running: Running) -> list[Running]:
        """The candidates that still wait for it; it is theirs to lead no more."""
        waiting = [other for other in running.followers if other.finish is None]
        running.followers = []
        return waiting

    def _give_back(self, running: Running) -> None:
        if not running.gave_back:
            running.gave_back = True
            self.pool.give_back(running.cache)
