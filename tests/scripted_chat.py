"""A chat server over real HTTP that plays a script: one turn for each request, in order.

    with scripted(says("Hello"), calls(("search", {"query": "paging"}))) as server:
        chat = Chat(server.url, "scripted")
        …
        server.bodies[0]["messages"]

A script may also be a function from a request's body to its turn, for models that react to what
they read. A request after the end of the script is answered with 418, which no client repeats.
"""

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

Body = dict[str, Any]
MODEL = "scripted"


@dataclass(frozen=True)
class Turn:
    """What the server does with one request.

    `calls` are names and arguments; arguments that are a text are sent as they are, JSON or not.
    `delay_s` passes before the first piece, `pause_s` after each, `hang_s` before the end. `cut` breaks the
    connection after the text; `end` False ends the stream properly, but with no finish and no [DONE].
    `raw` are lines to send in place of everything.
    """

    text: str = ""
    calls: tuple[tuple[str, dict[str, Any] | str], ...] = ()
    finish: str = ""
    refusal: str = ""
    status: int = 200
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    pause_s: float = 0.0
    hang_s: float = 0.0
    cut: bool = False
    end: bool = True
    raw: str = ""
    usage: tuple[int, int] | None = (100, 10)


def says(text: str, **other: Any) -> Turn:
    return Turn(text, **other)


def calls(*made: tuple[str, dict[str, Any] | str], text: str = "", **other: Any) -> Turn:
    """Native tool calls. For broken JSON give the arguments as a text."""
    return Turn(text, made, **other)


def fenced(name: str, arguments: dict[str, Any] | str, text: str = "", **other: Any) -> Turn:
    """A call as a model without native tools writes it."""
    said = {"name": name, "arguments": arguments}
    block = arguments if isinstance(arguments, str) else json.dumps(said)
    return Turn(f"{text}\n\n```tool\n{block}\n```".lstrip(), **other)


def refuses(text: str = "I cannot help with that.") -> Turn:
    return Turn(refusal=text)


def fails(status: int, error: str = "scripted failure", retry_after: float | None = 0) -> Turn:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Turn(status=status, error=error, headers=headers)


def breaks_off(text: str = "", **other: Any) -> Turn:
    """A stream whose connection is lost after the text."""
    return Turn(text, cut=True, **other)


@dataclass
class ScriptedChat:
    """The server: `bodies` are the requests so far, `left` counts clients that went in the middle."""

    script: list[Turn] | Callable[[Body], Turn]
    native_tools: bool = True
    context: int = 8192
    listed: bool = True
    url: str = ""
    bodies: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    _played: int = 0

    @property
    def texts(self) -> list[str]:
        """For each request all that the model was told, as one text."""
        return [json.dumps(body["messages"], ensure_ascii=False) for body in self.bodies]

    async def models(self, _: Request) -> Response:
        if not self.listed:
            return JSONResponse({"detail": "Not Found"}, 404)
        card = {"id": MODEL, "object": "model", "max_model_len": self.context}
        return JSONResponse({"object": "list", "data": [card]})

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if "tools" in body and not self.native_tools:
            return _error(400, "this model does not support tools")
        turn = self._next(body)
        if turn.status != 200:
            await asyncio.sleep(turn.delay_s)
            return _error(turn.status, turn.error, turn.headers)
        return StreamingResponse(
            self._stream(turn, len(self.bodies)), media_type="text/event-stream"
        )

    def _next(self, body: Body) -> Turn:
        if callable(self.script):
            return self.script(body)
        turn = Turn(status=418, error="the script is over")
        if self._played < len(self.script):
            turn = self.script[self._played]
        self._played += 1
        return turn

    async def _stream(self, turn: Turn, request: int) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(turn.delay_s)
            if turn.raw:
                yield turn.raw
                return
            for event in _events(turn, request):
                yield f"data: {json.dumps(event)}\n\n"
                await asyncio.sleep(turn.pause_s)
            await asyncio.sleep(turn.hang_s)
            if turn.cut:
                raise ConnectionResetError
            if turn.end:
                yield "data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.left += 1
            raise


@contextlib.contextmanager
def scripted(*turns: Turn | Callable[[Body], Turn], **other: Any) -> Iterator[ScriptedChat]:
    """A server that plays these turns, or one function of a request's body."""
    functions = [turn for turn in turns if not isinstance(turn, Turn)]
    assert not functions or len(turns) == 1, "a script is turns, or one function"
    script = functions[0] if functions else [turn for turn in turns if isinstance(turn, Turn)]
    server = ScriptedChat(script, **other)
    routes = [
        Route("/v1/models", server.models),
        Route("/v1/chat/completions", server.chat, methods=["POST"]),
    ]
    with served(routes) as url:
        server.url = f"{url}/v1"
        yield server


def _events(turn: Turn, request: int) -> Iterator[Body]:
    yield _delta(role="assistant", content="")
    for start in range(0, len(turn.text), 7):
        yield _delta(content=turn.text[start : start + 7])
    if turn.refusal:
        yield _delta(refusal=turn.refusal)
    for index, (name, arguments) in enumerate(turn.calls):
        yield from _call(f"id_{request}_{index}", index, name, arguments)
    if turn.cut or turn.hang_s or not turn.end:
        return
    finish = turn.finish or ("tool_calls" if turn.calls else "stop")
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    if turn.usage is not None:
        prompt, answer = turn.usage
        yield {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": answer}}


def _call(id: str, index: int, name: str, arguments: dict[str, Any] | str) -> Iterator[Body]:
    """The name first, then the arguments in pieces, as OpenAI streams them."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": name, "arguments": ""}
    yield _delta(tool_calls=[{"index": index, "id": id, "function": function}])
    for start in range(0, len(text), 11):
        piece = {"arguments": text[start : start + 11]}
        yield _delta(tool_calls=[{"index": index, "function": piece}])


def _delta(**delta: Any) -> Body:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "type": "scripted"}}, status, headers)
