"""Adapters that come and go while the engine runs, by the two calls that vLLM has for it.

A folder must lie below `engine.adapter_folder`, because whoever has the token may be on another
machine, and must hold our manifest: the base's hash and the files' digests are checked, and every
tensor is read once, before anybody can ask for it. It is forgotten when the engine ends.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from completion import adapters, lora
from completion.engine import adapter_folder, api, wire
from completion.engine.api import ApiError, LoadAdapter, UnloadAdapter
from completion.engine.served import ServedModel
from tandem.errors import ModelError, UsageError


def routes(served: ServedModel) -> list[Route]:
    """What a server of `served` answers besides."""

    async def load(request: Request) -> Response:
        served.ready()
        body = api.parse(LoadAdapter, await wire.read_body(request))
        await asyncio.to_thread(_load, served, body.lora_name, body.lora_path)
        return PlainTextResponse(f"Success: {body.lora_name} is loaded.")

    async def unload(request: Request) -> Response:
        body = api.parse(UnloadAdapter, await wire.read_body(request))
        if not adapters.take_back(body.lora_name):
            raise ApiError(404, "No adapter of that name was loaded.", code="adapter_not_found")
        return PlainTextResponse(f"Success: {body.lora_name} is unloaded.")

    async def base(request: Request) -> Response:
        """What adapters must have been trained on to be loaded here."""
        served.ready()
        weights = await asyncio.to_thread(served.weights)
        return JSONResponse({"base": weights.name, "base_hash": weights.hash})

    return [
        Route("/v1/load_lora_adapter", load, methods=["POST"]),
        Route("/v1/unload_lora_adapter", unload, methods=["POST"]),
        Route("/v1/tandem/base", base),
    ]


def _load(served: ServedModel, name: str, path: str) -> None:
    """Blocking. Raises ApiError; what was there before stays as it is then."""
    from completion.engine.adapters import check_tensors

    folder = adapter_folder.below(path, served.adapter_folder)
    lent = False
    try:
        lent = adapters.lend(name, folder)
        base = served.weights()
        found = adapters.resolve(name, base, thorough=True)
        check_tensors(lora.examine(found.folder, base.folder))
    except (ModelError, UsageError) as error:
        if lent:
            adapters.take_back(name)
        told = adapters.placeless(error.message, folder)
        raise ApiError(409, told, param="lora_name", code="adapter_unusable") from None
