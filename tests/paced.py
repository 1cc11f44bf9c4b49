"""An OpenAI-compatible server whose answers come piece by piece, when the test lets them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.served_app import served

# The answer to a prompt, in the pieces that it comes in.
Answers = Callable[[str], list[str]]


@dataclass
class Paced:
    """`bodies` are the requests so far, `cut_off` the prompts whose answers were not wanted to
    their end. With `open` gate all pieces come at once. `nats` are the log-probabilities of
    the pieces, which are told if there are any."""

    answers: Answers
    bodies: list[dict[str, Any]] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    url: str = ""
    open: bool = False
    nats: Sequence[float] = ()
    _allowed: int = 0

    @property
    def prompts(self) -> list[str]:
        return [body["prompt"] for body in self.bodies]

    def release(self, pieces: int = 1) -> None:
        """Let so many more pieces through, of whichever answer is next."""
        self._allowed += pieces

    async def stream(self, prompt: str) -> AsyncIterator[str]:
        whole = False
        try:
            for number, piece in enumerate(self.answers(prompt)):
                while not self.open and not self._allowed:
                    await asyncio.sleep(0.005)
                self._allowed = max(0, self._allowed - 1)
                yield _event(piece, None, self.nats[number : number + 1])
            whole = True
            yield _event("", "stop")
            yield "data: [DONE]\n\n"
        finally:
            if not whole:
                self.cut_off.append(prompt)


def _event(text: str, finish: str | None, nats: Sequence[float] = ()) -> str:
    choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": finish}
    if nats:
        choice["logprobs"] = {
            "tokens": [text],
            "token_logprobs": list(nats),
            "top_logprobs": [None],
        }
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


@contextlib.contextmanager
def paced(answers: Answers, nats: Sequence[float] = ()) -> Iterator[Paced]:
    server = Paced(answers, nats=nats)
    card = {"id": "tandem-135m", "capabilities": ["logprobs"] if nats else []}

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [card]})

    async def completed(request: Request) -> Response:
        body = await request.json()
        server.bodies.append(body)
        return StreamingResponse(server.stream(body["prompt"]), media_type="text/event-stream")

    routes = [
        Route("/v1/models", listed),
        Route("/v1/completions", completed, methods=["POST"]),
    ]
    with served(routes) as url:
        server.url = f"{url}/v1"
        try:
            yield server
        finally:
            server.open = True
