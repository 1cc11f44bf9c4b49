"""Who may enter, in Ray Serve's proxy: the token, Host and Origin, by the embedded engine's rules.
Adapters are lent here, for all replicas.

Ray Serve's own HTTP proxy takes any request. It asks `middlewares` what to put before itself.
"""

import json
import os
from typing import Any

from starlette.middleware import Middleware
from starlette.responses import JSONResponse

from completion.engine.api import ApiError
from completion.engine.guard import Guard, only
from completion.fleet.lending import PATHS, Lending

TOLD = "TANDEM_FLEET_DOOR"
# Of Ray Serve itself: it tells which replicas there are.
CLOSED = ("/-/",)


def middlewares() -> list[Middleware]:
    return [Middleware(Door)]


class Door:
    """ASGI middleware. What it needs is in the environment of Ray's processes."""

    def __init__(self, app: Any) -> None:
        told = json.loads(os.environ[TOLD])
        known = only(told["token"])
        self._app = app
        self._lending = Lending(told["lends"], told["listing"], (TOLD, "RAY_AUTH_TOKEN"))
        self._guard = Guard(self._inside, known, told["port"], told["remote"], names=told["hosts"])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and not scope["path"].startswith(CLOSED):
            await self._guard(scope, receive, send)
        elif scope["type"] == "http":
            error = ApiError(404, f"There is no {scope['path'][:100]} here.", code="not_found")
            await JSONResponse(error.body(), error.status)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _inside(self, scope: Any, receive: Any, send: Any) -> None:
        way = self._lending if scope["path"] in PATHS else self._app
        await way(scope, receive, send)
