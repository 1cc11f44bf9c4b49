"""The HTTP client against servers that misbehave, each over a real socket."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from completion.client import Answer, Busy, Client, Unavailable
from tandem.errors import EngineError


def event(text: str, finish: str | None = None) -> str:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


async def _stream(kind: str) -> AsyncIterator[str]:
    yield event("one ")
    if kind == "garbage":
        yield "data: {not json\n\n"
    if kind == "error":
        yield f"data: {json.dumps({'error': {'message': 'out of memory'}})}\n\n"
    if kind == "cut":
        raise ConnectionResetError
    if kind == "slow":
        await asyncio.sleep(30)
    yield ": a comment, as proxies send to keep the connection\n\n"
    yield event("two", "stop")
    yield "data: [DONE]\n\n"


async def completions(request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind.isdigit():
        body = {"error": {"message": f"this is a {kind}"}}
        return JSONResponse(body, int(kind))
    if kind == "page":
        return PlainTextResponse("<html>proxy error</html>", 502)
    return StreamingResponse(_stream(kind), media_type="text/event-stream")


async def models(request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind == "page":
        return PlainTextResponse("<html>welcome</html>")
    if kind == "list":
        return JSONResponse(["not", "openai"])
    return JSONResponse({"object": "list", "data": [{"id": "m", "max_model_len": 4096}]})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server whose first path segment says how it behaves."""
    app = Starlette(
        routes=[
            Route("/{kind}/v1/completions", completions, methods=["POST"]),
            Route("/{kind}/v1/models", models),
        ]
    )
    runner = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=runner.run)
    thread.start()
    while not runner.started:
        threading.Event().wait(0.01)
    port = runner.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    runner.should_exit = runner.force_exit = True
    thread.join()


async def pieces(address: str, timeout: float = 10.0) -> tuple[list[str], Answer]:
    answer = Answer()
    async with Client(address, timeout=timeout) as client:
        return [text async for text in client.complete({"prompt": "x"}, answer)], answer


async def test_a_stream_is_its_pieces_and_its_finish(server: str) -> None:
    texts, answer = await pieces(f"{server}/good/v1")
    assert texts == ["one ", "two"]
    assert answer.finish == "stop"


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("429", Busy, "this is a 429"),
        ("503", Unavailable, "this is a 503"),
        ("page", Unavailable, "proxy error"),
        ("401", EngineError, "refused the token"),
        ("403", EngineError, "refused the token"),
        ("400", EngineError, "this is a 400"),
        ("garbage", EngineError, "broken stream"),
        ("error", EngineError, "out of memory"),
        ("cut", Unavailable, "cannot be reached"),
    ],
)
async def test_each_failure_is_told_apart(
    server: str, kind: str, error: type[EngineError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        await pieces(f"{server}/{kind}/v1")
    assert type(caught.value) is error


async def test_a_server_that_stops_sending_is_busy(server: str) -> None:
    with pytest.raises(Busy, match="in time"):
        await pieces(f"{server}/slow/v1", timeout=0.3)


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await pieces("http://127.0.0.1:9/v1")


async def test_models_of_any_openai_server_are_read(server: str) -> None:
    async with Client(f"{server}/good/v1/") as client:
        [model] = await client.models()
    assert (model.id, model.capabilities, model.context) == ("m", frozenset(), 4096)


@pytest.mark.parametrize("kind", ["page", "list"])
async def test_what_is_no_model_list_is_told(server: str, kind: str) -> None:
    async with Client(f"{server}/{kind}/v1") as client:
        with pytest.raises(EngineError, match="ends in /v1"):
            await client.models()


async def test_a_proxy_in_the_environment_gets_no_code(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    texts, _ = await pieces(f"{server}/good/v1")
    assert texts
