"""What a keystroke meets: gate, what is known already, what is on its way, the model, the display.

Every call leaves exactly one trace event: what was shown with the time of each stage, or the
reason why nothing was.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from completion import gate, silence
from completion.ahead import Ahead
from completion.asking import Asking
from completion.cache import Cache, Hit, Known
from completion.client import Client
from completion.connection import Connection
from completion.document import Document
from completion.flight import Flight, Flights
from completion.gate import Ask
from completion.hole import hole_kind
from completion.memories import Memories
from completion.reply import Reply
from completion.repository import Repositories
from completion.showing import Found, to_show
from completion.stages import Stages
from tandem import trace
from tandem.config import Config
from tandem.errors import TandemError

log = logging.getLogger(__name__)

# Of each new answer's time in the running mean of how long the model takes.
_WEIGHT = 0.2


@dataclass(frozen=True)
class Completion:
    """What to insert at the cursor, or why nothing; `timing_ms` is by stage.

    `id` is that of the request that first showed this text: typing on does not make a new one.
    The text takes the place of the next `replaces` characters of the cursor's line, which it
    holds as well: a bracket that the editor closed.
    """

    id: str
    items: list[str]
    reason: str
    timing_ms: dict[str, float]
    model: str
    replaces: int = 0


class Session:
    """Completions for one set of settings, over one connection to a model server."""

    def __init__(
        self, config: Config, source: str = "lsp", repositories: Repositories | None = None
    ) -> None:
        self._config = config
        self._source = source
        self._repositories = repositories
        self._id = uuid.uuid4().hex
        self._connection = Connection(config, source)
        self._cache = Cache()
        self._flights = Flights(self._landed)
        self._memories = Memories(repositories)
        self._ahead = Ahead(self._cache, self._flights, self._asking)
        self._newest: dict[Path, int] = {}  # by document, the number of its last request
        self._expected_ms = 0.0

    @property
    def ready(self) -> bool:
        return self._connection.client is not None

    @property
    def client(self) -> Client | None:
        return self._connection.client

    @property
    def model(self) -> str:
        """The model being served; empty until ready."""
        return self._connection.served.id if self.ready else ""

    async def start(self, progress: Callable[[str], None] | None = None) -> None:
        """Find or start the model server and wait until it answers. Raises TandemError."""
        await self._connection.start(progress)

    async def close(self) -> None:
        """Let go of the connection; the session can be started again."""
        await self._ahead.close()
        await self._flights.close()
        await self._memories.close()
        await self._connection.close()

    async def fill(self, document: Document, offset: int) -> str:
        """What the model would put there, "" for nothing: for who has another use for it than to
        show it at the cursor. Raises TandemError."""
        return (await self._asking(document, offset, ahead=True).ask()).text

    def forget(self, path: Path) -> None:
        """The document was closed: what is under way for it is not wanted any more."""
        self._flights.forget(path)
        self._cache.forget(path)
        self._newest.pop(path, None)

    async def complete(
        self,
        document: Document,
        offset: int,
        ask: Ask | None = None,
        on_first_line: Callable[[str], None] | None = None,
    ) -> Completion:
        """A suggestion for the cursor at `offset`, in characters of the document's text.

        Without an `ask` it is taken for invoked, and nobody types. `on_first_line` gets the first
        of several lines, once, while the others are on their way. Raises nothing but
        asyncio.CancelledError: whatever goes wrong is a reason.
        """
        ask = ask or Ask(time.monotonic(), invoked=True)
        before = document.text[:offset]
        event = trace.Event(
            kind="completion",
            source=self._source,
            file=str(document.path),
            line=before.count("\n") + 1,
            column=offset - (before.rfind("\n") + 1),
            model=self._connection.served.id or self._config.model,
            details={"language": document.language, "version": document.version},
        )
        event.details["invoked"] = ask.invoked
        stages, first, found = Stages(), event.id, None
        try:
            found = await self._suggest(document, offset, ask, on_first_line, stages, event)
            with stages.stage("display"):
                found = to_show(document, offset, ask, found, event, self._config.completion)
            event.shown = found.text
            first = found.of.id
            if first != event.id:
                event.details["continues"] = first
            self._look_ahead(document, offset, ask, found)
        except silence.Silence as reason:
            event.reason = str(reason)
        except asyncio.CancelledError as error:
            event.reason = silence.of_cancelled(error)
            raise
        except TandemError as error:
            event.reason = self._connection.recover(error)
            event.details["error"] = str(error)
        except Exception as error:  # one request's bug must not cost the editor its server
            log.exception("a completion failed")
            event.reason = silence.FAILED
            event.details["error"] = f"{type(error).__name__}: {error}"
        finally:
            event.stages_ms = stages.total()
            trace.write(event)
        return Completion(
            id=first,
            items=[event.shown] if event.shown else [],
            reason=event.reason,
            timing_ms=event.to_json()["stages_ms"],
            model=event.model,
            replaces=found.replaces if found else 0,
        )

    async def _suggest(
        self,
        document: Document,
        offset: int,
        ask: Ask,
        on_first_line: Callable[[str], None] | None,
        stages: Stages,
        event: trace.Event,
    ) -> Found:
        """What to show. Raises Silence with the reason why nothing."""
        options, path = self._config.completion, document.path
        number = self._newest[path] = self._newest.get(path, 0) + 1
        with stages.stage("gate"):
            hole = hole_kind(document.text, offset, document.language)
            reason = gate.refusal(document, offset, hole, ask, options)
        if reason:
            raise silence.Silence(reason)
        client = self._connection.ready_client()
        with stages.stage("cache"):
            event.model, skipped = await self._connection.choice.model(client, document.path)
            if skipped:
                event.details["adapter"] = skipped
            known = self._known(document, offset, event) if options.cache else None
        if known is not None:
            return known
        flying = self._flights.find(document, offset) if options.cache else None
        if flying is None:
            wait = gate.wait_ms(ask.keys, self._expected_ms, hole, options, ask.now)
            if wait and not ask.invoked:
                with stages.stage("wait"):
                    await asyncio.sleep(wait / 1000)
                if self._newest.get(path) != number:
                    raise silence.Silence(silence.TYPED_ON)
        suggestion, typed = await self._land(document, offset, flying, on_first_line, stages, event)
        if not suggestion.text:
            raise silence.Silence(suggestion.reason)
        return Found(suggestion.text[len(typed) :], suggestion, len(typed))

    def _known(self, document: Document, offset: int, event: trace.Event) -> Found | None:
        """What the cache has for this place. Raises Silence if that is that there is nothing."""
        hit: Hit | None = self._cache.find(document.path, document.text, offset)
        # Another adapter may have been switched on since.
        if hit is None or hit.known.info.model != event.model:
            return None
        event.details["cache"] = hit.how
        if not hit.text:
            raise silence.Silence(hit.known.reason)
        return Found(hit.text, hit.known.info, hit.typed, hit.replaces)

    async def _land(
        self,
        document: Document,
        offset: int,
        flying: tuple[Flight, str] | None,
        on_first_line: Callable[[str], None] | None,
        stages: Stages,
        event: trace.Event,
    ) -> tuple[Reply, str]:
        """The answer that is on its way if it goes on from what was typed, else a new one; and
        what was typed of it."""
        if flying is not None:
            flight, typed = flying
            event.details["cache"] = "under way"
            with stages.stage("generate"):
                found = await flight.wait(typed, on_first_line)
            if found is not None and found.text.startswith(typed) and found.text != typed:
                event.model = found.model
                event.details |= found.details
                return found, typed
            event.details["cache"] = "under way, but not what was typed"
        waited = stages.ms.get("generate", 0.0)
        flight = self._flights.start(self._asking(document, offset))
        try:
            found = await flight.wait("", on_first_line)
        finally:
            event.model = flight.asking.model or event.model
            event.details |= flight.asking.details
            stages.ms |= flight.asking.stages.ms
            if waited:  # for an answer that was not what was typed
                stages.ms["generate"] = waited + stages.ms.get("generate", 0.0)
        assert found is not None, "nothing was typed that it could contradict"
        return found, ""

    def _asking(self, document: Document, offset: int, ahead: bool = False) -> Asking:
        """`ahead`: of what the user has not typed yet, which gives way to what they have."""
        name = f"{self._id}+" if ahead else self._id
        priority = 9 if ahead else None
        return Asking(
            self._connection,
            self._repositories,
            self._memories,
            document,
            offset,
            name,
            priority,
        )

    def _landed(self, flight: Flight, suggestion: Reply) -> None:
        """Whoever waited: what was found out is known from now on."""
        asking = flight.asking
        if not flight.background:
            took = suggestion.ms["total"]
            self._expected_ms += _WEIGHT * (took - self._expected_ms)
        if suggestion.reason in silence.PASSING:
            return
        known = Known(
            suggestion.text,
            prefetched=flight.background,
            reason=suggestion.reason,
            info=suggestion,
        )
        self._cache.put(asking.document.path, asking.document.text, asking.offset, known)

    def _look_ahead(self, document: Document, offset: int, ask: Ask, shown: Found) -> None:
        options = self._config.completion
        if options.prefetch and options.cache and ask.keys is not None:
            rest = document.text[offset + shown.replaces :]
            text = document.text[:offset] + shown.text + rest
            self._ahead.of(replace(document, text=text), offset + len(shown.text))
