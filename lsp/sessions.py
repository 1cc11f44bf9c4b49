"""Completion sessions: one for all folders with equal settings, started in the background."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from completion.document import Document
from completion.gate import Ask
from completion.repository import Repositories
from completion.session import Completion, Session
from lsp import garbage
from lsp.progress import Progress
from tandem.config import Config
from tandem.errors import TandemError

RETRY_S = 20.0
log = logging.getLogger(__name__)


@dataclass
class _Served:
    config: Config
    session: Session
    starting: asyncio.Task[None] | None = None
    seen_at: float = 0.0
    failure: str = ""
    requests: int = 0
    retired: bool = False


class Sessions:
    """All sessions of one language server."""

    def __init__(self, server: LanguageServer, repositories: Repositories) -> None:
        self._server = server
        self._repositories = repositories
        self._served: list[_Served] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def complete(
        self,
        config: Config,
        document: Document,
        offset: int,
        ask: Ask,
        on_first_line: Callable[[str], None] | None = None,
    ) -> Completion:
        """Ask the session for these settings. Never waits for a model to load."""
        served = self._of(config)
        served.requests += 1
        try:
            return await served.session.complete(document, offset, ask, on_first_line)
        finally:
            served.requests -= 1
            self._close_if_done(served)

    async def fill(self, config: Config, document: Document, offset: int) -> str:
        """See `Session.fill`; "" if the server fails."""
        served = self._of(config)
        served.requests += 1
        try:
            return await served.session.fill(document, offset)
        except TandemError as error:
            log.warning("a value was not found: %s", error)
            return ""
        finally:
            served.requests -= 1
            self._close_if_done(served)

    def state(self, config: Config) -> tuple[str, str]:
        """For these settings the model that is ready, "" if none is, and why it did not start."""
        served = next((one for one in self._served if one.config == config), None)
        return (served.session.model, served.failure) if served else ("", "")

    def forget(self, path: Path) -> None:
        """A document was closed."""
        for served in self._served:
            served.session.forget(path)

    def use(self, configs: Iterable[Config]) -> None:
        """Have sessions for just these settings; others end with their last request."""
        used = [self._of(config) for config in configs]
        for served in list(self._served):
            if not any(served is other for other in used):
                self._served.remove(served)
                served.retired = True
                self._close_if_done(served)

    async def close(self) -> None:
        served, self._served = self._served, []
        closing = [self._close(one) for one in served]
        # Starts that are cancelled by it are among the tasks: they must not cancel us.
        await asyncio.gather(*closing, *self._tasks, return_exceptions=True)

    def _of(self, config: Config) -> _Served:
        served = next((one for one in self._served if one.config == config), None)
        if served is None:
            served = _Served(config, Session(config, "lsp", self._repositories))
            self._served.append(served)
        if config.completion.enabled and self._should_start(served):
            served.starting = self._spawn(self._start(served))
        return served

    def _should_start(self, served: _Served) -> bool:
        """At first, and again when the model has been away for long.

        A session finds a killed engine again by itself; this is for the one that could not.
        """
        if served.starting is None:
            return True
        now = time.monotonic()
        if served.session.ready or not served.starting.done():
            served.seen_at = now
        return now - served.seen_at > RETRY_S

    async def _start(self, served: _Served) -> None:
        """Have the model ready; a failure is told once, and a later request tries again."""
        progress = await Progress.begin(self._server, "Tandem: loading the model")
        outcome = "stopped"
        try:
            await served.session.start(progress.report)
            garbage.keep()
            outcome = f"{served.session.model} is ready"
            served.failure = ""
        except TandemError as error:
            outcome = str(error)
            self._fail(served, outcome)
        except Exception as error:
            log.exception("the session did not start")
            outcome = f"The model did not start: {error}. Run `tandem doctor`."
            self._fail(served, outcome)
        finally:
            served.seen_at = time.monotonic()
            progress.end(outcome)

    def _fail(self, served: _Served, message: str) -> None:
        if message != served.failure:
            served.failure = message
            self._server.window_show_message(
                types.ShowMessageParams(types.MessageType.Warning, f"Tandem: {message}")
            )

    def _close_if_done(self, served: _Served) -> None:
        if served.retired and not served.requests:
            served.retired = False
            self._spawn(self._close(served))

    async def _close(self, served: _Served) -> None:
        if served.starting is not None and not served.starting.done():
            served.starting.cancel()
            await asyncio.wait([served.starting])
        await served.session.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
