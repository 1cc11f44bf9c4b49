"""One request and its answer: back ends are tried in turn until the first byte, never after.

Who hangs up has the request cancelled at the back end. An answer that breaks off ends with an
error event, which clients show; it never just stops.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import httpcore
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from completion.engine import wire
from completion.engine.api import ApiError
from gateway import backend
from gateway.cache import LARGEST, Known
from gateway.events import Events, TooLong
from gateway.fields import Ask
from gateway.outcome import End, Outcome
from gateway.quota import Charge
from gateway.refusals import BUSY, Failed, in_stream, meaning, nobody
from gateway.routes import Target
from gateway.upstream import everything, pieces, within

MAX_TRIES = 3
MAX_ANSWER = 32 * 1024 * 1024
MAX_STREAM = 8 * MAX_ANSWER  # each token comes with some 200 bytes around it
MAX_REFUSAL = 64 * 1024
EVENTS, JSON = b"text/event-stream; charset=utf-8", b"application/json"
Keep = Callable[[Known], None]


class Relay(Response):
    """`admission` is held while the request lasts; `keep` is given a whole answer if it may be
    given again; `done` is told the end, whatever it is. `running` has the task as long as it
    lives; cancelling it ends the answer with an error."""

    def __init__(
        self,
        ask: Ask,
        targets: Sequence[Target],
        outcome: Outcome,
        admission: AbstractContextManager[Charge],
        keep: Keep | None,
        done: Callable[[Outcome], None],
        running: set[asyncio.Task[Any]],
    ) -> None:
        self._ask = ask
        self._targets = targets
        self._outcome = outcome
        self._admission = admission
        self._keep = keep
        self._done = done
        self._running = running
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outcome, task = self._outcome, asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            with self._admission as charge:
                try:
                    await self._while_wanted(receive, send)
                finally:
                    charge.used = outcome.tokens
        except ApiError as error:
            outcome.status, outcome.code = error.status, error.code or ""
            outcome.end = self._end(error)
            if self._begun:
                await self._tell(send, error)
            else:
                await JSONResponse(error.body(), error.status, error.headers)(scope, receive, send)
        finally:
            self._running.discard(task)
            outcome.ended()
            self._done(outcome)

    def _end(self, error: ApiError) -> End:
        if error.code == "superseded":
            return "cancelled"
        if self._begun:
            return "cut"
        return "failed" if error.status >= 500 or error.code == BUSY else "refused"

    async def _while_wanted(self, receive: Receive, send: Send) -> None:
        """Raises ApiError."""
        work = asyncio.ensure_future(self._answer(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                self._outcome.end = "cancelled"
        except asyncio.CancelledError:  # the gateway stops
            raise ApiError(503, "The gateway is stopping.", code="gateway_stopping") from None
        finally:
            gone.cancel()
            work.cancel()
            # Not before the connection to the back end is closed.
            with contextlib.suppress(asyncio.CancelledError, ApiError, TimeoutError):
                await work

    async def _answer(self, send: Send) -> None:
        failures: list[Failed] = []
        waiting = list(self._targets)
        while waiting and self._outcome.tries < MAX_TRIES:
            target = waiting.pop(0)
            if not target.backend.breaker.allow():
                continue
            self._outcome.tries += 1
            try:
                await self._from(target, send)
                return
            except Failed as failure:
                failures.append(failure)
                if failure.lost:  # it may have been an old connection: once more, on a new one
                    waiting.append(target)
        raise nobody(failures, [target.backend.breaker.wait for target in self._targets])

    async def _from(self, target: Target, send: Send) -> None:
        """Raises Failed before the first byte; ApiError for what the client should read."""
        breaker, settings = target.backend.breaker, target.backend.settings
        outcome = self._outcome
        outcome.backend, outcome.model = target.backend.name, target.model
        outcome.stands_in = target.stands_in
        body = self._ask.for_backend(
            target.model, outcome.tenant, settings.fields, settings.cache_salt
        )
        path = "completions" if self._ask.kind == "completion" else "chat/completions"
        answer = self._stream if self._ask.stream else self._whole
        limit = settings.first_seconds if self._ask.stream else settings.whole_seconds
        try:
            async with (
                within(limit) as deadline,
                target.backend.post(path, body, outcome.tenant) as response,
            ):
                if response.status != 200:
                    data = await everything(response, MAX_REFUSAL)
                    raise meaning(response.status, data)
                await answer(target, response, send, deadline)
        except Failed as failure:
            breaker.left() if failure.busy else breaker.failed()
            if self._begun:
                raise _cut() from None
            raise
        except ApiError as error:
            if self._begun and error.code != "superseded":
                breaker.failed()
            else:
                breaker.succeeded()
            raise
        except BaseException:
            breaker.left()
            raise
        else:
            breaker.succeeded()
        finally:
            if self._begun or outcome.prompt_tokens:
                outcome.cost = outcome.price(settings)

    async def _whole(
        self, target: Target, response: httpcore.Response, send: Send, deadline: asyncio.Timeout
    ) -> None:
        data = await everything(response, MAX_ANSWER)
        try:
            told = json.loads(data)
            usage = told.get("usage") or {}
        except (ValueError, AttributeError, RecursionError):
            raise Failed("no_json") from None
        if target.backend.mixed_up(told, target.model):
            raise Failed("mixed_up")
        deadline.reschedule(None)
        self._outcome.count(usage if isinstance(usage, dict) else {}, self._ask, 1)
        self._kept(target, data, JSON)
        await self._start(send, target, JSON, len(data))
        try:
            await wire.send_in_time(send, data, more=False)
        except TimeoutError:  # the client does not read: the server closes the connection
            self._outcome.end = "cancelled"
        else:
            self._outcome.end = "answered"

    async def _stream(
        self, target: Target, response: httpcore.Response, send: Send, deadline: asyncio.Timeout
    ) -> None:
        """Comments are no progress: between two events it may take STALL_SECONDS."""
        events, kept, size, read = Events(self._ask.wants_usage), [], 0, 0
        now = asyncio.get_running_loop().time
        try:
            async for piece in pieces(response):
                passed = events.feed(piece)
                read += len(piece)
                if events.events > self._ask.most_events or read > MAX_STREAM:
                    raise TooLong
                if passed:
                    deadline.reschedule(now() + backend.STALL_SECONDS)
                    if not self._begun:
                        if target.backend.mixed_up(events.first, target.model):
                            raise Failed("mixed_up")
                        await self._start(send, target, EVENTS)
                    await wire.send_in_time(send, passed, more=True)
                    size += len(passed)
                    if self._keep is not None and size <= LARGEST:
                        kept.append(passed)
                if events.error is not None:
                    raise in_stream(events.error)
            if not events.done:
                raise Failed("cut", lost=True)
        except (Failed, TooLong) as failure:
            if self._begun:
                raise _cut() from None
            raise failure if isinstance(failure, Failed) else Failed("no_events") from None
        except ApiError as error:
            if not self._begun and error.code != "superseded":
                raise Failed(error.code or "backend_error") from None
            raise
        except TimeoutError:  # the client does not read: the server closes the connection
            self._outcome.end = "cancelled"
            return
        finally:
            if self._begun:
                self._outcome.count(events.usage, self._ask, events.events)
        if size <= LARGEST:
            self._kept(target, b"".join(kept), EVENTS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self._outcome.end = "answered"

    async def _start(
        self, send: Send, target: Target, kind: bytes, length: int | None = None
    ) -> None:
        self._begun = True
        self._outcome.status = 200
        self._outcome.first()
        await send(_head(kind, target.backend.name, length))

    async def _tell(self, send: Send, error: ApiError) -> None:
        """To a client that reads a stream. A whole body cannot be mended: its length is told."""
        if not self._ask.stream:
            return
        with contextlib.suppress(OSError, TimeoutError):
            event = f"data: {json.dumps(error.body())}\n\n".encode()
            await wire.send_in_time(send, event, more=True)
            await wire.send_in_time(send, b"", more=False)

    def _kept(self, target: Target, body: bytes, kind: bytes) -> None:
        if self._keep is None or target.stands_in:
            return
        outcome = self._outcome
        counts = outcome.prompt_tokens, outcome.completion_tokens
        self._keep(Known(body, kind, target.backend.name, target.model, *counts))


def known_answer(known: Known) -> Response:
    """From the cache."""
    return Response(
        known.body,
        headers={
            "content-type": known.content_type.decode(),
            "cache-control": "no-cache",
            "x-tandem-backend": known.backend,
            "x-tandem-cache": "hit",
        },
    )


def _head(kind: bytes, backend: str, length: int | None) -> dict[str, Any]:
    headers = [
        (b"content-type", kind),
        (b"cache-control", b"no-cache"),
        (b"x-tandem-backend", backend.encode()),
    ]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _cut() -> ApiError:
    return ApiError(
        502, "The model's server broke off in the middle of its answer.", code="backend_lost"
    )


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
