"""In Ray's proxy: adapters that whoever has the token has loaded, by vLLM's two calls.

No replica loads one here. What has been looked at is listed, and a replica loads it when somebody
asks for it: also one that is started later.
"""

import asyncio
import secrets
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from completion.engine.api import ApiError, LoadAdapter, UnloadAdapter, parse
from completion.fleet import listing
from completion.fleet.listing import Listing, Row
from completion.vllm.looked import BASE, LOAD, UNLOAD, body_of, looked_at, unusable

PATHS = (LOAD, UNLOAD, BASE)
_CLOSED = "No adapters can be loaded here: adapters.adapter_folder names no folder for it."


class Lending:
    """`lends` are `completion.vllm.lent.Lends`, None where nothing is lent; `file` is the runner's
    listing, `hidden` are variables of this process that nobody else may see."""

    def __init__(self, lends: dict[str, Any] | None, file: str, hidden: tuple[str, ...]) -> None:
        self._lends = lends
        self._file = listing.lent_beside(Path(file))
        self._listing = Listing(file)
        self._hidden = hidden
        self._changing = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            response = await self._answer(scope, receive)
        except ApiError as error:
            response = JSONResponse(error.body(), error.status)
        await response(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any) -> Response:
        path, lends = scope["path"], self._lends
        if lends is None:
            raise ApiError(404, _CLOSED, code="not_found")
        if scope["method"] != ("GET" if path == BASE else "POST"):
            raise ApiError(404, f"There is no {scope['method']} {path} here.", code="not_found")
        if path == BASE:
            return JSONResponse({name: lends[name] for name in ("base", "base_hash")})
        body = await body_of(receive)
        async with self._changing:
            if path == LOAD:
                wanted = parse(LoadAdapter, body)
                await self._load(lends, wanted.lora_name, wanted.lora_path)
                return PlainTextResponse(f"Success: {wanted.lora_name} is listed.")
            name = parse(UnloadAdapter, body).lora_name
            self._unload(name)
            return PlainTextResponse(f"Success: {name} is unloaded.")

    async def _load(self, lends: dict[str, Any], name: str, path: str) -> None:
        known = self._listing.rows.get(name)
        folder = Path(await looked_at(lends, name, path, self._hidden))
        if name in self._listing.own or name == lends["base"]:
            raise unusable(f"{name} is this server's own.")
        if known is not None and known.folder != folder:
            raise unusable(f"There is an adapter {name}.")
        if known is None:
            row = Row(f"{name}-{secrets.token_hex(6)}", folder)
            listing.write(self._file, {**self._listing.lent, name: row})

    def _unload(self, name: str) -> None:
        lent = dict(self._listing.lent)
        if lent.pop(name, None) is None:
            raise ApiError(404, "No adapter of that name was loaded.", code="adapter_not_found")
        listing.write(self._file, lent)
