"""One question to the model: context, prompt, a streamed answer, what of it may be shown."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from completion import branches, candidates, filters, prompt, silence, spelled
from completion.client import Answer, Busy, Client, Superseded, Unavailable
from completion.connection import Connection
from completion.document import Document, name_in_repository
from completion.hole import Hole, hole_kind
from completion.indent import Dedent
from completion.memories import Memories
from completion.names import unknown_names
from completion.pieces import Context
from completion.reader import Reader
from completion.reply import Reply
from completion.repository import Repositories
from completion.rules import pairs, parses
from completion.stages import Stages
from tandem.errors import EngineError

# The fitted weight was fitted on fewer holes than this one was chosen on (docs/LOG.md, memory).
MEMORY_WEIGHT = 0.5
TIMED_OUT = "timeout"  # how we end an answer that takes too long; servers never say it
# Characters after the cursor that an answer is held against, whatever the model has read of them.
FILTERED_SUFFIX = 8000
SENT_S = 0.002  # by then a request is on its way


@dataclass
class Asking:
    """For the cursor at `offset`, in characters. `name` tells documents of several askers apart,
    `priority` is the engine's, None for its own choice.

    `so_far` is what the answer holds yet, as it would be inserted, and `first_line` its first
    line once it is complete, as it may be shown; `on_text` is called when the answer grew.
    """

    connection: Connection
    repositories: Repositories | None
    memories: Memories
    document: Document
    offset: int
    name: str
    priority: int | None = None
    so_far: str = ""
    on_text: Callable[[], None] = lambda: None
    stages: Stages = field(default_factory=Stages)
    details: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    _tokens: tuple[tuple[int, float], ...] = ()
    _reader: Reader | None = None

    async def ask(self) -> Reply:
        """Raises TandemError when the server fails. Cancelling it cancels the server's work."""
        hole = hole_kind(self.document.text, self.offset, self.document.language)
        try:
            text, reason = await self._ask(hole), ""
        except silence.Silence as silent:
            text, reason = "", str(silent)
        told = self._tokens, self.details, self.stages.total()
        return Reply(text, reason, self.model, hole.kind, *told)

    def first_line(self) -> str:
        """The answer's first line once it is complete, as it may be shown; "" before."""
        return self._reader.first_line() if self._reader is not None else ""

    async def _ask(self, hole: Hole) -> str:
        client = self.connection.ready_client()
        options = self.connection.config.completion
        with self.stages.stage("context"):
            context = await self._context()
        with self.stages.stage("prompt"):
            can_heal = self.connection.able("heal")
            fitted = self._fit(hole, context, can_heal)
            if fitted is None:
                raise silence.Silence(silence.CURSOR_IN_KEY)
            built, cut = fitted.prompt, fitted.cut
            before, below = self.document.text[: self.offset], self.document.text[self.offset :]
        self.details["hole"] = hole.kind

        def new_reader() -> Reader:
            return Reader(
                prompt.Lead("" if can_heal else built.heal),
                Dedent(cut.prefix, hole),
                filters.StopRule(cut.prefix, below[:FILTERED_SUFFIX], hole, options.max_lines),
                lambda text, complete: filters.finish(text, before, below, hole, complete),
            )

        reader = self._reader = new_reader()
        # The filters' first look at a file costs up to 50 ms, and nothing while the model works.
        row, loop = hole.lexer.language, asyncio.get_running_loop()
        looks = [
            loop.call_later(SENT_S, parses.without_line, before, below, row.name),
            loop.call_later(2 * SENT_S, pairs.read_around, before, below, row),
        ]
        try:
            with self.stages.stage("generate"):
                answer = await self._answer(client, built, can_heal, reader)
        finally:
            for look in looks:
                look.cancel()
        self.details["finish"] = answer.finish or "stopped here"
        self.details["usage"] = answer.usage
        self.memories.told(self.document, answer.usage)
        stop = reader.stop
        with self.stages.stage("filter"):
            complete = stop.stopped or answer.finish == "stop"
            kept = reader.finish(stop.text, complete)
        heal = built.heal if can_heal else ""
        self._tokens = spelled.ends(reader.answer, answer.tokens, heal, kept.text)
        self.details["rules"] = list(kept.rules)
        if kept.text and options.candidates > 1 and can_heal and answer.tokens:
            with self.stages.stage("candidates"):
                text, told = await candidates.best(
                    client,
                    self._body(built, can_heal),
                    answer,
                    reader,
                    kept.text,
                    options.candidates,
                    new_reader,
                    self._unknown,
                )
            self.details["candidates"] = told
            if text != kept.text:  # whose tokens these are not
                self._tokens = ()
            return text
        if kept.text:
            return kept.text
        self.details["answer"] = reader.answer
        if not reader.answer and answer.finish == TIMED_OUT:
            raise silence.Silence(silence.TOO_SLOW)
        raise silence.Silence("repeats the suffix" if stop.repeats_suffix else kept.reason)

    async def _context(self) -> Context:
        """What other files have to say here; the details tell what it was, or why nothing."""
        budget = self.connection.budgets()[1]
        repository = None
        if self.repositories is not None and budget and self.connection.template.uses_snippets:
            repository = self.repositories.of(self.document.path, self.document.root)
        if repository is None:
            return Context()
        context = await repository.context(
            self.document, self.offset, budget, self.connection.count
        )
        self.details["context"] = context.told()
        self.details["context_ms"] = {name: round(ms, 2) for name, ms in context.ms.items()}
        self.details["context_left_out"] = context.left_out
        return context

    def _fit(self, hole: Hole, context: Context, can_heal: bool) -> prompt.Fitted | None:
        for_text, for_pieces = self.connection.budgets()
        return prompt.fit(
            self.document.text,
            self.offset,
            self.document.language,
            self.connection.template,
            for_text,
            self.connection.count,
            can_heal,
            hole.kind,
            name_in_repository(self.document),
            context.snippets,
            for_pieces,
        )

    async def _answer(
        self, client: Client, built: prompt.Prompt, can_heal: bool, reader: Reader
    ) -> Answer:
        """Of the repository's adapter if there is one that works, else of the base model."""
        choice, base = self.connection.choice, self.connection.served.id
        self.model, skipped = await choice.model(client, self.document.path)
        try:
            return await self._stream(client, built, can_heal, reader)
        except EngineError as error:
            passing = isinstance(error, Busy | Unavailable | Superseded)
            if passing or self.model == base or reader.answer:
                raise
            self.model, skipped = choice.failed(self.model, error), str(error)
            return await self._stream(client, built, can_heal, reader)
        finally:
            if skipped:
                self.details["adapter"] = skipped

    async def _stream(
        self, client: Client, built: prompt.Prompt, can_heal: bool, reader: Reader
    ) -> Answer:
        body = self._body(built, can_heal)
        answer, began = Answer(), time.perf_counter()
        limit = self.connection.config.completion.timeout_ms / 1000
        try:
            async with asyncio.timeout(limit), aclosing(client.complete(body, answer)) as pieces:
                async for piece in pieces:
                    self.stages.mark("first_token", began)
                    done = reader.feed(piece)
                    self.so_far = reader.stop.text
                    self.on_text()
                    if done:
                        break
                    if reader.lead.failed:
                        raise silence.Silence(silence.OFF_INDENT)
        except TimeoutError:
            answer.finish = TIMED_OUT  # what came until now may still be whole lines
        return answer

    def _body(self, built: prompt.Prompt, can_heal: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": built.text,
            "max_tokens": self.connection.config.completion.max_tokens,
            "temperature": 0,
            "stop": list(built.stop[:4]) or None,
        }
        if can_heal:
            body["heal"] = built.heal
        ours: dict[str, Any] = {}
        if self.connection.able("documents"):
            # Another editor may have the same file open: its requests are not ours to replace.
            ours["document"] = f"{self.name}:{self.document.path}"[-4096:]
            if self.priority is not None:
                ours["priority"] = self.priority
        memory = self._memory()
        if memory:
            ours["memory"] = {"name": memory, "weight": MEMORY_WEIGHT}
        if ours:
            body["tandem"] = ours
        if self.connection.able("logprobs"):
            several = self.connection.config.completion.candidates > 1
            body["logprobs"] = branches.TOLD if several else 0
        if self.connection.able("usage"):
            # We often stop before the last event, which would tell it otherwise.
            body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        return body

    def _unknown(self, text: str) -> int:
        """How many of a text's names neither the file nor the repository has."""
        document, repository = self.document, None
        if self.repositories is not None:
            repository = self.repositories.of(document.path, document.root)

        def known(name: str) -> bool:
            return repository is not None and bool(repository.index.definitions(name, limit=1))

        found = unknown_names(text, document.text, self.offset, document.language, known)
        return len(found)

    def _memory(self) -> str:
        """The name of the repository's memory at the server, if that has one to mix in."""
        client, options = self.connection.client, self.connection.config.completion
        if client is None or not options.memory or not self.connection.able("memory"):
            return ""
        return self.memories.name_for(client, self.document)
