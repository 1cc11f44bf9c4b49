"""Loaded into vLLM's own server: who may enter, by the same rules as the embedded engine's.

vLLM asks for its key on some paths only, takes any Host, and serves routes that change what it
serves. Here the token is needed everywhere but for `/health`, the Host must be ours, and only
what clients need is open; loading adapters is the runner's alone.
"""

import hmac
import json
import os
import sys
from pathlib import Path
from typing import Any

OPEN = {"/health", "/metrics", "/version", "/v1/models", "/v1/completions", "/v1/chat/completions"}
ADAPTERS = {"/v1/load_lora_adapter", "/v1/unload_lora_adapter"}
KEY_HEADER = b"x-tandem-runner"
_HERE = str(Path(__file__).resolve().parents[3])

# Last on the path and for this import alone: vLLM's packages are its own, not those beside us.
sys.path.append(_HERE)
try:
    from completion.engine.api import ApiError
    from completion.engine.guard import Guard, only
finally:
    sys.path.remove(_HERE)


class Door:
    """ASGI middleware; outermost, because vLLM adds it last."""

    def __init__(self, app: Any) -> None:
        told = json.loads(os.environ["TANDEM_DOOR"])
        self._key = str(told["key"]).encode()
        self._app = app
        token, hosts = os.environ["VLLM_API_KEY"], told["hosts"]
        self._guard = Guard(self._inside, only(token), told["port"], told["remote"], names=hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._guard(scope, receive, send)
        else:  # nothing here speaks over web sockets
            await send({"type": "websocket.close", "code": 1008})

    async def _inside(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import JSONResponse

        path = scope["path"]
        if path in OPEN or (path in ADAPTERS and self._is_runner(scope)):
            await self._app(scope, receive, send)
            return
        error = ApiError(404, f"There is no {path[:100]} here.", code="not_found")
        await JSONResponse(error.body(), error.status)(scope, receive, send)

    def _is_runner(self, scope: Any) -> bool:
        given = [value for name, value in scope["headers"] if name == KEY_HEADER]
        return bool(self._key) and len(given) == 1 and hmac.compare_digest(given[0], self._key)
