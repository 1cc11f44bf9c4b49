"""An OpenAI-compatible server that answers every prompt alike and remembers what it was sent."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

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
    settings = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    recorder.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield recorder
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
