"""One completion request from start to end, and the connection it needs.

Every call leaves exactly one trace event: what was shown with the time of each stage, or the
reason why nothing was.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from completion import filters, prompt, silence
from completion.choice import Choice, choose
from completion.client import Answer, Busy, Client, ServedModel, Superseded, Unavailable
from completion.counting import Counter, counter_for
from completion.document import Document, name_in_repository
from completion.engine import background
from completion.hole import Hole, hole_kind
from completion.indent import Dedent
from completion.pieces import Context
from completion.repository import Repositories
from completion.stages import Stages
from completion.templates import Template, for_model, templates
from tandem import secrets, trace
from tandem.config import Config
from tandem.errors import EngineError, TandemError

log = logging.getLogger(__name__)

TIMED_OUT = "timeout"  # how we end an answer that takes too long; servers never say it
# Characters after the cursor that an answer is held against, whatever the model has read of them.
FILTERED_SUFFIX = 8000


@dataclass(frozen=True)
class Completion:
    """What to insert at the cursor, or why nothing; `timing_ms` is by stage."""

    id: str
    items: list[str]
    reason: str
    timing_ms: dict[str, float]
    model: str


@dataclass
class _Reader:
    """What a streamed answer goes through until it is complete."""

    lead: prompt.Lead
    dedent: Dedent
    stop: filters.StopRule
    answer: str = ""

    def feed(self, piece: str) -> bool:
        """Take a piece; true when generation can stop."""
        self.answer += piece
        return self.stop.feed(self.dedent.feed(self.lead.feed(piece)))


class Session:
    """Completions for one set of settings, over one connection to a model server."""

    def __init__(
        self, config: Config, source: str = "lsp", repositories: Repositories | None = None
    ) -> None:
        self._config = config
        self._source = source
        self._repositories = repositories
        self._id = uuid.uuid4().hex
        self._client: Client | None = None
        self._served = ServedModel("")
        self._choice = Choice("")
        self._template: Template = for_model("")
        self._count: Counter = len
        self._restarting: asyncio.Task[None] | None = None
        self._waits_for = silence.LOADING

    @property
    def ready(self) -> bool:
        return self._client is not None

    @property
    def model(self) -> str:
        """The model being served; empty until ready."""
        return self._served.id if self.ready else ""

    async def start(self, progress: Callable[[str], None] | None = None) -> None:
        """Find or start the model server and wait until it answers. Raises TandemError."""
        url, token = self._config.endpoint, self._config.token.get_secret_value()
        if not url:
            address = await asyncio.to_thread(background.ensure, self._config, progress)
            url, token = address.url, address.token
        # Longer than a request may take, so that `_generate` is the one to end it.
        client = Client(url, token, self._config.completion.timeout_ms / 1000 + 5)
        try:
            served = choose(await client.models(), self._config)
            self._template = _template(served, self._config)
            self._count = await asyncio.to_thread(counter_for, self._config)
        except BaseException:
            await client.close()
            raise
        await self._disconnect()
        self._client, self._served, self._choice = client, served, Choice(served.id)

    async def close(self) -> None:
        """Let go of the connection; the session can be started again."""
        if self._restarting is not None:
            self._restarting.cancel()
        await self._disconnect()

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def complete(self, document: Document, offset: int, invoked: bool = False) -> Completion:
        """A suggestion for the cursor at `offset`, in characters of the document's text.

        Raises nothing but asyncio.CancelledError: whatever goes wrong is a reason.
        """
        before = document.text[:offset]
        event = trace.Event(
            kind="completion",
            source=self._source,
            file=str(document.path),
            line=before.count("\n") + 1,
            column=offset - (before.rfind("\n") + 1),
            model=self._served.id or self._config.model,
            details={"language": document.language, "version": document.version},
        )
        event.details["invoked"] = invoked
        stages = Stages()
        try:
            event.shown = await self._suggest(document, offset, stages, event)
        except silence.Silence as reason:
            event.reason = str(reason)
        except asyncio.CancelledError:
            event.reason = silence.CANCELLED
            raise
        except TandemError as error:
            event.reason = self._recover(error)
            event.details["error"] = str(error)
        except Exception as error:  # one request's bug must not cost the editor its server
            log.exception("a completion failed")
            event.reason = silence.FAILED
            event.details["error"] = f"{type(error).__name__}: {error}"
        finally:
            event.stages_ms = stages.total()
            trace.write(event)
        return Completion(
            id=event.id,
            items=[event.shown] if event.shown else [],
            reason=event.reason,
            timing_ms=event.to_json()["stages_ms"],
            model=event.model,
        )

    async def _suggest(
        self, document: Document, offset: int, stages: Stages, event: trace.Event
    ) -> str:
        self._gate(document)
        client = self._client
        if client is None:
            raise silence.Silence(self._waits_for)
        options = self._config.completion
        with stages.stage("context"):
            hole = hole_kind(document.text, offset, document.language)
            context = await self._context(document, offset, event)
        with stages.stage("prompt"):
            can_heal = "heal" in self._served.capabilities
            fitted = self._fit(document, offset, hole, context, can_heal)
            if fitted is None:
                raise silence.Silence(silence.CURSOR_IN_KEY)
            built, cut = fitted.prompt, fitted.cut
            after = document.text[offset : offset + FILTERED_SUFFIX]
        event.details["hole"] = hole.kind
        reader = _Reader(
            prompt.Lead("" if can_heal else built.heal),
            Dedent(cut.prefix, hole),
            filters.StopRule(cut.prefix, after, hole, options.max_lines),
        )
        with stages.stage("generate"):
            answer = await self._ask(client, document, built, can_heal, reader, stages, event)
        event.details["finish"] = answer.finish or "stopped here"
        event.details["usage"] = answer.usage
        stop = reader.stop
        with stages.stage("filter"):
            complete = stop.stopped or answer.finish == "stop"
            kept = filters.finish(stop.text, cut.prefix, after, hole, complete)
        if kept.text:
            return kept.text
        event.details["answer"] = reader.answer
        if not reader.answer and answer.finish == TIMED_OUT:
            raise silence.Silence(silence.TOO_SLOW)
        raise silence.Silence("repeats the suffix" if stop.repeats_suffix else kept.reason)

    async def _context(self, document: Document, offset: int, event: trace.Event) -> Context:
        """What other files have to say here; the event tells what it was, or why nothing."""
        budget = self._budgets()[1]
        repository = None
        if self._repositories is not None and budget and self._template.uses_snippets:
            repository = self._repositories.of(document.path, document.root)
        if repository is None:
            return Context()
        context = await repository.context(document, offset, budget, self._count)
        event.details["context"] = context.told()
        event.details["context_ms"] = {name: round(ms, 2) for name, ms in context.ms.items()}
        event.details["context_left_out"] = context.left_out
        return context

    def _fit(
        self, document: Document, offset: int, hole: Hole, context: Context, can_heal: bool
    ) -> prompt.Fitted | None:
        for_text, for_pieces = self._budgets()
        return prompt.fit(
            document.text,
            offset,
            document.language,
            self._template,
            for_text,
            self._count,
            can_heal,
            hole.kind,
            name_in_repository(document),
            context.snippets,
            for_pieces,
        )

    def _budgets(self) -> tuple[int, int]:
        """Tokens for the file's own text and for pieces of others: what is wanted, or what the
        served model has room for."""
        options = self._config.completion
        text, pieces = options.prompt_tokens, options.context_tokens
        if not self._served.context:
            return text, pieces
        # The template's own tokens and a begin token need a little too.
        room = self._served.context - options.max_tokens - 16
        text = min(text, max(room, self._served.context // 2))
        return text, max(0, min(pieces, room - text))

    def _gate(self, document: Document) -> None:
        options = self._config.completion
        if not options.enabled:
            raise silence.Silence(silence.DISABLED)
        if document.language in options.disabled_languages:
            raise silence.Silence(silence.DISABLED_LANGUAGE)
        if secrets.is_secret_file(document.path):
            raise silence.Silence(silence.PROTECTED_FILE)

    async def _ask(
        self,
        client: Client,
        document: Document,
        built: prompt.Prompt,
        can_heal: bool,
        reader: _Reader,
        stages: Stages,
        event: trace.Event,
    ) -> Answer:
        """Of the repository's adapter if there is one that works, else of the base model."""
        event.model, skipped = await self._choice.model(client, document.path)
        try:
            return await self._generate(
                client, document, event.model, built, can_heal, reader, stages
            )
        except EngineError as error:
            passing = isinstance(error, Busy | Unavailable | Superseded)
            lost = passing or event.model == self._served.id
            if lost or reader.answer:
                raise
            event.model, skipped = self._choice.failed(event.model, error), str(error)
            return await self._generate(
                client, document, event.model, built, can_heal, reader, stages
            )
        finally:
            if skipped:
                event.details["adapter"] = skipped

    async def _generate(
        self,
        client: Client,
        document: Document,
        model: str,
        built: prompt.Prompt,
        can_heal: bool,
        reader: _Reader,
        stages: Stages,
    ) -> Answer:
        body: dict[str, Any] = {
            "model": model,
            "prompt": built.text,
            "max_tokens": self._config.completion.max_tokens,
            "temperature": 0,
            "stop": list(built.stop[:4]) or None,
        }
        if can_heal:
            body["heal"] = built.heal
        if "documents" in self._served.capabilities:
            # Another editor may have the same file open: its requests are not ours to replace.
            body["tandem"] = {"document": f"{self._id}:{document.path}"[-4096:]}
        if "usage" in self._served.capabilities:
            # We often stop before the last event, which would tell it otherwise.
            body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        answer, began = Answer(), time.perf_counter()
        limit = self._config.completion.timeout_ms / 1000
        try:
            async with asyncio.timeout(limit), aclosing(client.complete(body, answer)) as pieces:
                async for piece in pieces:
                    stages.mark("first_token", began)
                    if reader.feed(piece):
                        break
                    if reader.lead.failed:
                        raise silence.Silence(silence.OFF_INDENT)
        except TimeoutError:
            answer.finish = TIMED_OUT  # what came until now may still be whole lines
        return answer

    def _recover(self, error: TandemError) -> str:
        """The reason for an error, and a new start if the server is gone."""
        if isinstance(error, Superseded):
            return silence.CANCELLED
        if isinstance(error, Busy):
            return silence.BUSY
        if not isinstance(error, Unavailable):
            return silence.FAILED
        self._waits_for = silence.RESTARTING
        if self._restarting is None or self._restarting.done():
            self._restarting = asyncio.create_task(self._restart())
        return silence.RESTARTING

    async def _restart(self) -> None:
        await self._disconnect()
        try:
            await self.start()
        except TandemError as error:
            self._waits_for = silence.FAILED
            trace.write(trace.Event(kind="engine", source=self._source, reason=str(error)))


def _template(served: ServedModel, config: Config) -> Template:
    """The one that is set, else what the server says it needs, else by the model's name."""
    told = served.template if served.template in templates() else ""
    return for_model(served.id, config.template or told)
