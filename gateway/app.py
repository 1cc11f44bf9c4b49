"""The gateway's HTTP face: OpenAI's routes, and what an admin and Prometheus may read.

A request's life: `guard` finds whose token it is, `fields` reads it, `routes` says who may answer,
`cache` whether the answer is known, `Relay` brings it, and `_done` writes what became of it.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from completion.engine import wire
from completion.engine.api import ApiError
from gateway import cache, fields, ledger, metrics
from gateway.adapters import Sharing
from gateway.backend import Backend
from gateway.cache import Cache, Known
from gateway.config import Scope, Settings, User
from gateway.outcome import Outcome
from gateway.quota import Quotas
from gateway.relay import Relay, known_answer
from gateway.routes import Routes, Target
from gateway.servers import Servers
from tandem import __version__

# So long do answers get to end by themselves when the gateway stops.
DRAIN_SECONDS = 3.0


class Gateway:
    """All that lives as long as the gateway does."""

    def __init__(
        self, settings: Settings, ledger_file: Path, servers: Servers | None = None
    ) -> None:
        self.settings = settings
        self._servers = servers
        self.backends = [Backend(backend) for backend in settings.backends]
        self.adapters = Sharing(settings, self.backends, ledger_file.parent / "adapters")
        self.routes = Routes(settings, self.backends, self.adapters.store)
        self.cache = Cache(settings.cache_mb * 1024 * 1024, settings.cache_seconds)
        self.metrics = metrics.Metrics()
        self.running: set[asyncio.Task[Any]] = set()
        self.ledger = ledger.Writer(ledger_file)
        self.began = time.monotonic()
        self.stopping = False
        self.quotas = Quotas()
        for name, tokens in ledger.today(ledger_file).items():
            if (user := settings.users.get(name)) is not None:
                self.quotas.tell(name, user, tokens)
        self._poll: asyncio.Task[None] | None = None
        self._keep: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

    def build(self) -> Starlette:
        """Routes. Wrap them in `completion.engine.guard.Guard`, which finds the user."""
        return wire.application(
            [
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
                Route("/v1/completions", self._completions, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/tandem/gateway", self._admin),
                *self.adapters.routes(self._user),
            ],
            "gateway",
        )

    async def poll(self) -> None:
        """Ask all back ends once what they serve."""
        answers = await asyncio.gather(*(backend.poll() for backend in self.backends))
        for backend, is_there in zip(self.backends, answers, strict=True):
            if is_there and self._servers is not None:
                self._servers.answers(backend.name)

    async def tick(self) -> None:
        """Called each second by the server: starts the polling, once, and what servers it runs."""
        if self._servers is not None:
            self._servers.look()
        if self._poll is None:
            self._poll = asyncio.create_task(self._polling())
            self._keep = asyncio.create_task(self.adapters.keep())

    async def _served_is_known(self) -> None:
        """Nobody is told that there is no such adapter before the back ends were asked."""
        if not self._heard.is_set():
            await self.tick()
            await self._heard.wait()

    async def stop(self) -> None:
        """Let answers end, then end them with an error."""
        self.stopping = True
        if self.running:
            await asyncio.wait(self.running, timeout=DRAIN_SECONDS)
        for task in {*self.running}:
            task.cancel()
        for forever in (self._poll, self._keep):
            if forever is not None:
                forever.cancel()
        if self._servers is not None:
            await self._servers.end()

    async def _polling(self) -> None:
        while True:
            await self.poll()
            self._heard.set()
            await asyncio.sleep(self.settings.poll_seconds)

    async def _completions(self, request: Request) -> Response:
        return await self._asked(request, "completion")

    async def _chat(self, request: Request) -> Response:
        return await self._asked(request, "chat")

    async def _asked(self, request: Request, kind: fields.Kind) -> Response:
        name, user = self._user(request)
        outcome = Outcome(name, user.tenant, kind)
        try:
            data = await wire.read_body(request)
            ask = fields.parse(kind, data, self.settings.max_tokens)
            await self._served_is_known()
            targets = self.routes.targets(ask, user)
            outcome.model = targets[0].model
            self._room()
            key = self._key(ask, user, targets)
            known = None if key is None else self.cache.get(key)
            if key is not None:
                self.metrics.looked_up(hit=known is not None)
            if known is not None:
                return self._again(known, outcome, user)
        except ApiError as error:
            outcome.status, outcome.code, outcome.end = error.status, error.code or "", "refused"
            outcome.ended()
            self._done(outcome)
            raise

        def keep(known: Known) -> None:
            assert key is not None
            self.cache.put(key, known)

        admission = self.quotas.admitted(name, user, ask.most_tokens)
        return Relay(
            ask, targets, outcome, admission, keep if key else None, self._done, self.running
        )

    def _key(self, ask: fields.Ask, user: User, targets: Sequence[Target]) -> bytes | None:
        if not self.settings.cache_mb:
            return None
        first = targets[0]
        body = {**ask.body, "model": first.model}
        return cache.key_of(user.tenant, ask.kind, first.backend.version(first.model), body)

    def _again(self, known: Known, outcome: Outcome, user: User) -> Response:
        """An answer from the cache: a request, but no tokens."""
        with self.quotas.admitted(outcome.user, user, 0):
            outcome.backend, outcome.model, outcome.cache_hit = known.backend, known.model, True
            outcome.prompt_tokens = known.prompt_tokens
            outcome.completion_tokens = known.completion_tokens
            settings = next(b.settings for b in self.backends if b.name == known.backend)
            outcome.saved = outcome.price(settings)
            outcome.status, outcome.end = 200, "answered"
            outcome.first()
            outcome.ended()
        self._done(outcome)
        return known_answer(known)

    def _room(self) -> None:
        if self.stopping:
            raise ApiError(503, "The gateway is stopping.", code="gateway_stopping")
        if len(self.running) >= self.settings.max_requests:
            raise ApiError(
                429,
                "The gateway has too many requests under way. Try again in a second.",
                code="queue_full",
                headers={"Retry-After": "1"},
            )

    def _done(self, outcome: Outcome) -> None:
        self.metrics.add(outcome)
        self.ledger.add(outcome)

    def _user(self, request: Request, scope: Scope | None = None) -> tuple[str, User]:
        """Raises ApiError (403) for who is not in the settings any more, or lacks the scope."""
        name = str(request.state.user)
        user = self.settings.users.get(name)
        if user is None:
            raise ApiError(403, "You are not in the gateway's settings.", code="no_user")
        if scope is not None and scope not in user.scopes:
            raise ApiError(403, f"Your token does not have the scope {scope}.", code="no_scope")
        return name, user

    async def _models(self, request: Request) -> Response:
        _, user = self._user(request)
        await self._served_is_known()
        return JSONResponse({"object": "list", "data": self.routes.models(user)})

    async def _model(self, request: Request) -> Response:
        _, user = self._user(request)
        await self._served_is_known()
        name = request.path_params["name"]
        for row in self.routes.models(user):
            if row["id"] == name:
                return JSONResponse(row)
        raise ApiError(404, "There is no model of that name for you here.", code="model_not_found")

    async def _health(self, request: Request) -> Response:
        """Anybody learns the status alone."""
        status = "stopping" if self.stopping else "ok"
        return JSONResponse({"status": status}, 200 if status == "ok" else 503)

    async def _metrics(self, request: Request) -> Response:
        self._user(request, "metrics")
        text = self.metrics.text(self.backends, self.cache)
        return PlainTextResponse(text, media_type=metrics.CONTENT_TYPE)

    async def _admin(self, request: Request) -> Response:
        self._user(request, "admin")
        users = self.settings.users
        return JSONResponse(
            {
                "version": __version__,
                "uptime_seconds": round(time.monotonic() - self.began, 3),
                "running": len(self.running),
                "cache": {"answers": len(self.cache), "bytes": self.cache.bytes},
                "backends": [
                    {
                        "name": backend.name,
                        "state": backend.breaker.state,
                        "running": backend.running,
                        "models": backend.settings.models,
                        "adapters": backend.adapters(),
                    }
                    for backend in self.backends
                ],
                "tokens_today": {
                    name: self.quotas.today(name, user) for name, user in users.items()
                },
            }
        )
