"""An OpenAI-compatible server that answers every prompt alike and remembers what it was sent."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.served_app import served

ANSWER = "1\n"


@dataclass
class Recorder:
    """`models` are the rows of /v1/models, `bodies` the requests for completions so far."""

    models: list[dict[str, Any]]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @property
    def prompts(self) -> list[str]:
        return [body["prompt"] for body in self.bodies]


@contextlib.contextmanager
def recording(*models: dict[str, Any], answer: str = ANSWER) -> Iterator[Recorder]:
    recorder = Recorder(list(models))
    event = {"choices": [{"index": 0, "text": answer, "finish_reason": "stop"}]}

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": recorder.models})

    async def completed(request: Request) -> Response:
        recorder.bodies.append(await request.json())
        content = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
        return Response(content, media_type="text/event-stream")

    routes = [
        Route("/v1/models", listed),
        Route("/v1/completions", completed, methods=["POST"]),
    ]
    with served(routes) as url:
        recorder.url = f"{url}/v1"
        yield recorder
