"""An OpenAI-compatible server with given answers that remembers what it was sent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.served_app import served

ANSWER = "1\n"


@dataclass
class Recorder:
    """`models` are the rows of /v1/models, `bodies` the requests for completions so far, `left`
    how many clients went before they had an answer."""

    models: list[dict[str, Any]]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0
    url: str = ""

    @property
    def prompts(self) -> list[str]:
        return [body["prompt"] for body in self.bodies]


@contextlib.contextmanager
def recording(
    *models: dict[str, Any], answer: str | Callable[[str], str] = ANSWER, hang_s: float = 0.0
) -> Iterator[Recorder]:
    """`answer` is what it says to every prompt, or a function of the prompt; `hang_s` passes
    before it says anything."""
    recorder = Recorder(list(models))

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": recorder.models})

    async def completed(request: Request) -> Response:
        body = await request.json()
        recorder.bodies.append(body)
        text = answer if isinstance(answer, str) else answer(body["prompt"])
        event = {"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]}
        content = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
        return StreamingResponse(later(content), media_type="text/event-stream")

    async def later(content: str) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(hang_s)
        except asyncio.CancelledError:
            recorder.left += 1
            raise
        yield content

    routes = [
        Route("/v1/models", listed),
        Route("/v1/completions", completed, methods=["POST"]),
    ]
    with served(routes) as url:
        recorder.url = f"{url}/v1"
        yield recorder
