"""Loaded into vLLM's own server: who may enter, by the same rules as the embedded engine's.

vLLM asks for its key on some paths only, takes any Host, and serves routes that change what it
serves. Here the token is needed everywhere but for `/health`, the Host must be ours, and only
what clients need is open. Adapters are loaded by the runner; by others from one folder, if it has
been named, after `completion.vllm.lent` has looked at what lies there.
"""

import asyncio
import hmac
import json
import os
import sys
from pathlib import Path
from typing import Any

OPEN = {"/health", "/metrics", "/version", "/v1/models", "/v1/completions", "/v1/chat/completions"}
KEY_HEADER = b"x-tandem-runner"
_HERE = str(Path(__file__).resolve().parents[3])

# Last on the path and for this import alone: vLLM's packages are its own, not those beside us.
sys.path.append(_HERE)
try:
    from completion.engine.api import ApiError, LoadAdapter, UnloadAdapter, parse
    from completion.engine.guard import Guard, only
    from completion.vllm.looked import BASE, LOAD, UNLOAD, body_of, looked_at, unusable
finally:
    sys.path.remove(_HERE)


class Door:
    """ASGI middleware; outermost, because vLLM adds it last."""

    def __init__(self, app: Any) -> None:
        told = json.loads(os.environ["TANDEM_DOOR"])
        self._key = str(told["key"]).encode()
        self._app = app
        self._lends: dict[str, Any] | None = told.get("lends")  # completion.vllm.lent.Lends
        self._loads = 0
        self._ours: set[str] = set()  # loaded by the runner: nobody else's to unload
        self._loading = asyncio.Lock()
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
        path = scope["path"]
        if path in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            if path not in (LOAD, UNLOAD, BASE) or not (self._lends or self._is_runner(scope)):
                raise ApiError(404, f"There is no {path[:100]} here.", code="not_found")
            if path == BASE:
                await self._tell_base(scope, receive, send)
                return
            body = await body_of(receive)
            async with self._loading:
                await self._change(scope, body, receive, send)
        except ApiError as error:
            await _json(error.body(), error.status, scope, receive, send)

    async def _tell_base(self, scope: Any, receive: Any, send: Any) -> None:
        """What adapters must have been trained on to be loaded here."""
        assert self._lends is not None
        told = {name: self._lends[name] for name in ("base", "base_hash")}
        await _json(told, 200, scope, receive, send)

    async def _change(self, scope: Any, body: bytes, receive: Any, send: Any) -> None:
        """Load or unload one. Raises ApiError."""
        loads = scope["path"] == LOAD
        wanted = parse(LoadAdapter, body) if loads else parse(UnloadAdapter, body)
        name, by_runner = wanted.lora_name, self._is_runner(scope)
        if not by_runner:
            if name in self._ours:
                raise unusable(f"{name} is this server's own.")
            if isinstance(wanted, LoadAdapter):
                folder = await self._checked(name, wanted.lora_path)
                body = json.dumps({"lora_name": name, "lora_path": folder}).encode()
        if await self._pass(scope, body, receive, send) != 200:
            return
        if by_runner:
            (self._ours.add if loads else self._ours.discard)(name)
        elif loads:
            self._loads += 1

    async def _checked(self, name: str, path: str) -> str:
        """The folder to load. Raises ApiError."""
        lends = self._lends
        assert lends is not None
        if lends["room"] and self._loads >= lends["room"]:
            raise unusable(
                f"This vLLM on a CPU takes {lends['room']} adapters from one start to the next. "
                "Restart it, or raise adapters.lent in vllm.toml."
            )
        return await looked_at(lends, name, path, ("VLLM_API_KEY", "TANDEM_DOOR"))

    async def _pass(self, scope: Any, body: bytes, receive: Any, send: Any) -> int:
        """Give it to vLLM; the status that it answers."""
        status, given = 0, False
        size = str(len(body)).encode()
        headers = [(n, v) for n, v in scope["headers"] if n != b"content-length"]
        scope = {**scope, "headers": [*headers, (b"content-length", size)]}

        async def once() -> Any:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def told(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app(scope, once, told)
        return status

    def _is_runner(self, scope: Any) -> bool:
        given = [value for name, value in scope["headers"] if name == KEY_HEADER]
        return bool(self._key) and len(given) == 1 and hmac.compare_digest(given[0], self._key)


async def _json(told: Any, status: int, scope: Any, receive: Any, send: Any) -> None:
    from starlette.responses import JSONResponse

    await JSONResponse(told, status)(scope, receive, send)
