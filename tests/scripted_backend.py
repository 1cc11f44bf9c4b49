"""An OpenAI-compatible back end that does as it is told: answers, refuses, breaks off, hangs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.served_app import served

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 4,
    "total_tokens": 104,
    "prompt_tokens_details": {"cached_tokens": 60},
}


@dataclass
class Script:
    """`mode` says what becomes of the next requests: ok, busy, broken, unready, denied, wrong,
    cut (after two events), slow (says nothing for `hang_s`), stuck (nothing after two events),
    error event, html. The answer is `text`, a word an event, or the prompt itself if empty; it
    bears the name `model`, or the one that was asked for if empty."""

    models: list[dict[str, Any]]
    mode: str = "ok"
    text: str = "one two three four"
    model: str = ""
    hang_s: float = 30.0
    refusal: str = "Wrong."
    bodies: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    left: int = 0
    url: str = ""


@contextlib.contextmanager
def scripted(*models: str, **options: Any) -> Iterator[Script]:
    rows = [{"id": name, "object": "model", "parent": None} for name in models]
    script = Script(rows, **options)

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": script.models})

    async def asked(request: Request) -> Response:
        body = await request.json()
        script.bodies.append(body)
        script.tokens.add(request.headers.get("authorization", ""))
        return await _answer(script, body)

    routes = [
        Route("/v1/models", listed),
        Route("/v1/completions", asked, methods=["POST"]),
        Route("/v1/chat/completions", asked, methods=["POST"]),
    ]
    with served(routes) as url:
        script.url = f"{url}/v1"
        yield script


_REFUSALS = {"busy": 429, "broken": 500, "unready": 503, "denied": 401, "wrong": 400}


async def _answer(script: Script, body: dict[str, Any]) -> Response:
    if (status := _REFUSALS.get(script.mode)) is not None:
        error = {"message": script.refusal, "type": "x", "param": None, "code": "told"}
        return JSONResponse({"error": error}, status)
    if script.mode == "error event" and not body.get("stream"):
        return JSONResponse({"error": {"message": "at /srv/models/x"}}, 500)
    if script.mode == "html":
        return Response("<html>", media_type="text/html")
    text = script.text or str(body.get("prompt") or body["messages"][-1]["content"])
    if body.get("stream"):
        return StreamingResponse(_events(script, body, text), media_type="text/event-stream")
    if script.mode in ("slow", "stuck"):
        await asyncio.sleep(script.hang_s)
    if script.mode == "cut":
        return StreamingResponse(_half(), media_type="application/json")
    choice = {"index": 0, "text": text, "message": {"role": "assistant", "content": text}}
    whole = {
        "model": script.model or body["model"],
        "choices": [choice | {"finish_reason": "stop"}],
    }
    return JSONResponse(whole | {"usage": USAGE})


async def _half() -> AsyncIterator[bytes]:
    yield b'{"choices": ['
    raise ConnectionResetError


async def _events(script: Script, body: dict[str, Any], text: str) -> AsyncIterator[bytes]:
    try:
        if script.mode == "slow":
            await asyncio.sleep(script.hang_s)
        if script.mode == "error event":
            yield _event({"error": {"message": "at /srv/models/x", "code": "engine_error"}})
            return
        words, model = text.split(" "), script.model or body["model"]
        for number, word in enumerate(words):
            if number == 2 and script.mode == "cut":
                raise ConnectionResetError
            if number == 2 and script.mode == "stuck":
                await asyncio.sleep(script.hang_s)
            piece = word if number == 0 else f" {word}"
            choice = {"index": 0, "text": piece, "delta": {"content": piece}}
            finish = "stop" if number == len(words) - 1 else None
            yield _event({"model": model, "choices": [choice | {"finish_reason": finish}]})
            await asyncio.sleep(0)
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _event({"model": model, "choices": [], "usage": USAGE})
        yield b"data: [DONE]\n\n"
    except asyncio.CancelledError:
        script.left += 1
        raise


def _event(told: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(told)}\n\n".encode()
