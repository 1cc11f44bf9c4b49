"""The embedded engine as replicas of Ray Serve, and the way of a request to one of them.

`Way` takes HTTP from Ray's proxy, where the door stands, and hands a `Call` to a replica, which the
router chooses by what the call holds. A replica answers it by the engine's own routes, in its own
process, message by message; who hangs up ends the work there.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import serve  # pyright: ignore[reportMissingImports]
from ray.serve.handle import DeploymentHandle  # pyright: ignore[reportMissingImports]
from starlette.responses import JSONResponse

from completion import adapters
from completion.engine import app as engine
from completion.engine import server
from completion.engine.api import ApiError
from completion.fleet import keys
from completion.fleet.listing import Listing
from tandem.config import Config, EngineConfig
from tandem.errors import UsageError

POLL_SECONDS = 0.2
LARGEST = 8 * 1024 * 1024
REPLICA = "Engine"
_FULL = "All replicas are busy. Try again in a second."


@dataclass(frozen=True)
class Call:
    """A request. `key` says which ones it is best kept with."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    key: str = ""

    def scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": self.query,
            "headers": self.headers,
            "client": None,
            "server": None,
            "state": {"trusted": True},  # the door has seen a token
        }


class Engine:
    """One replica: a model, loaded before it counts as started."""

    def __init__(self, model: str, settings: dict[str, Any], listing: str) -> None:
        config = Config(model=model, engine=EngineConfig.model_validate(settings))
        self._served = server.served_model(config)
        self._app = engine.build(self._served)
        self._listing = Listing(listing)
        self._lent: dict[str, Path] = {}
        self._served.load()
        self.check_health()

    def check_health(self) -> None:
        """Ray Serve asks; a replica that raises is replaced."""
        if self._served.status == "failed":
            raise RuntimeError(self._served.error)

    async def answer(self, call: Call) -> AsyncIterator[dict[str, Any]]:
        """The messages that the engine's routes send. Ending it early is hanging up."""
        self._follow()
        sent: asyncio.Queue[Any] = asyncio.Queue()
        gone = asyncio.Event()
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": call.body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def run() -> None:
            try:
                await self._app(call.scope(), receive, sent.put)
            finally:
                await sent.put(None)

        work = asyncio.create_task(run())
        try:
            while (message := await sent.get()) is not None:
                yield message
            await work
        finally:
            gone.set()
            if not work.done():
                await asyncio.wait([work], timeout=POLL_SECONDS)
                work.cancel()

    def _follow(self) -> None:
        """Have what was lent, and no more: in this process, as it is now."""
        lent = {name: row.folder for name, row in self._listing.lent.items()}
        for name in [name for name, folder in self._lent.items() if lent.get(name) != folder]:
            adapters.take_back(name)
            del self._lent[name]
        for name, folder in lent.items():
            if name not in self._lent:
                with contextlib.suppress(UsageError):  # the store has one of that name by now
                    adapters.lend(name, folder)
                self._lent[name] = folder


class Way:
    """ASGI, before the replicas."""

    def __init__(self, base: str, replicas: DeploymentHandle) -> None:
        self._base = base
        self._replicas = replicas.options(stream=True, method_name="answer")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        try:
            call = await self._call(scope, receive)
        except ApiError as error:
            await _refuse(scope, receive, send, error)
            return
        if call is None:
            return
        answer = self._replicas.remote(call)
        listening = asyncio.create_task(_hung_up(receive))
        begun = False
        try:
            async for message in _until(answer, listening):
                begun = True
                await send(message)
        except Exception as error:
            told = ApiError(503, "The replica that answered is gone. Try again.", code="lost")
            if type(error).__name__ == "BackPressureError":
                told = ApiError(429, _FULL, code="queue_full", headers={"Retry-After": "1"})
            if not begun:
                await _refuse(scope, receive, send, told)
            else:
                event = f"data: {json.dumps(told.body())}\n\n".encode()
                await send({"type": "http.response.body", "body": event, "more_body": False})
        finally:
            listening.cancel()
            answer.cancel()

    async def _call(self, scope: Any, receive: Any) -> Call | None:
        """None if the client has gone. Raises ApiError."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LARGEST:
                raise ApiError(413, f"The body is larger than {LARGEST} bytes.")
        headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        return Call(
            scope["method"],
            scope["path"],
            scope["query_string"],
            headers,
            bytes(body),
            keys.key_of(bytes(body), self._base),
        )


async def _until(answer: Any, listening: "asyncio.Task[None]") -> AsyncIterator[dict[str, Any]]:
    """Its messages, until it ends or the client hangs up."""
    pieces = aiter(answer)
    while True:
        coming = asyncio.ensure_future(anext(pieces))
        await asyncio.wait({coming, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            coming.cancel()
            return
        try:
            yield coming.result()
        except StopAsyncIteration:
            return


async def _hung_up(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(scope: Any, receive: Any, send: Any, error: ApiError) -> None:
    await JSONResponse(error.body(), error.status, error.headers)(scope, receive, send)


def build(arguments: dict[str, Any]) -> Any:
    """The application of `app_file`'s arguments."""
    model = arguments["model"]
    replica = serve.deployment(Engine, name=REPLICA, **arguments["deployment"])
    replicas = replica.bind(model, arguments["engine"], arguments["listing"])

    def way() -> Any:
        return Way(model, serve.get_deployment_handle(REPLICA))

    ingress = serve.deployment(
        serve.ingress(way)(),
        name="Way",
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=arguments["deployment"]["graceful_shutdown_timeout_s"],
    )
    return ingress.bind(replicas)
