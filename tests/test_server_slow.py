"""Who sends or reads too slowly, on real sockets: with limits of a moment instead of many seconds."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from completion.engine import app, connections, wire
from completion.engine.background import Address
from completion.engine.guard import Guard, only
from completion.engine.listening import Server, listen
from completion.engine.served import ServedModel
from gateway.app import Gateway
from gateway.config import Settings
from tandem.config import EngineConfig
from tests import tiny_models
from tests.doors import COMPLETIONS
from tests.frames import head
from tests.wire import connect, drained, get, wait_until

TOKEN = "the-token"


async def nothing() -> None:
    pass


class Threaded(Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # only a main thread has signals


@contextlib.contextmanager
def serving(
    application: ASGIApp, known: Callable[[str], object]
) -> Iterator[tuple[Address, Server]]:
    """As the engine and the gateway serve theirs, in a thread."""
    opened = listen("127.0.0.1", 0)
    server = Threaded(Guard(application, known, opened.port), nothing, nothing)
    thread = threading.Thread(target=lambda: server.run(sockets=[opened.socket]))
    thread.start()
    try:
        yield Address(opened.url, TOKEN, 0, ""), server
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def plain() -> Iterator[tuple[Address, Server]]:
    large = Route("/large", lambda _: PlainTextResponse("x" * (16 << 20)))
    small = Route("/health", lambda _: PlainTextResponse("well"))
    with serving(Starlette(routes=[large, small]), only(TOKEN)) as made:
        yield made


def dripped(connection: socket.socket) -> bytes:
    """Byte after byte until the other side has closed; what it said before."""
    connection.settimeout(0.01)
    said = b""
    for _ in range(2000):
        try:
            connection.sendall(b"a")
            piece = connection.recv(65536)
            if not piece:
                return said
            said += piece
        except TimeoutError:
            continue
        except ConnectionError:
            return said
    raise AssertionError("it was never closed")


@pytest.mark.parametrize("after", ["nothing", "an answer", "a refusal", "a refused body"])
def test_slow_loris_in_the_head(
    plain: tuple[Address, Server], monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    address, _ = plain
    begin = b"GET /health HTTP/1.1\r\nX-Long: "
    first = {
        "nothing": b"",
        "an answer": head(address, "GET", "/health"),
        "a refusal": head(address, "GET", "/large", token=False),
        "a refused body": head(address, "POST", "/large", "Content-Length: 900000000", token=False),
    }[after]
    with connect(address) as connection:
        connection.sendall(first if after == "a refused body" else first + begin)
        said = dripped(connection)
    assert said.count(b"HTTP/1.1") == (after != "nothing")
    assert get(address, "/health").body == b"well"


def test_who_opens_a_connection_and_says_nothing(
    plain: tuple[Address, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with connect(plain[0]) as connection:
        assert drained(connection) == b""


@pytest.mark.parametrize("paths", [["/large"], ["/nothing"] * 50_000], ids=["one", "pipelined"])
def test_who_does_not_read_is_left(
    plain: tuple[Address, Server], monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    """No token is needed for a refusal, and those who read none must not be kept for ever."""
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.2)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    address, server = plain
    with connect(address) as connection:
        connection.settimeout(5)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for path in paths:
                connection.sendall(head(address, "GET", path, token=path == "/large"))
        assert connection.recv(1) == b"H"
        wait_until(lambda: not server.server_state.connections)
    assert get(address, "/health").body == b"well"


def test_who_reads_slowly_gets_it_all(
    plain: tuple[Address, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with connect(plain[0]) as connection:
        connection.sendall(head(plain[0], "GET", "/large", "Connection: close"))
        size = 0
        while piece := connection.recv(1 << 20):
            size += len(piece)
            time.sleep(0.02)
    assert size > 16 << 20


@pytest.fixture(scope="module")
def applications(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[ASGIApp, Any]]]:
    folder = tmp_path_factory.mktemp("slow")
    tiny_models.make(folder / "tiny", "llama tied", context=256)
    engine = ServedModel("tiny", folder / "tiny", "plain", EngineConfig(threads=1, dtype="float32"))
    engine.load()
    assert engine.status == "ok", engine.error
    row = {"name": "none", "url": "http://127.0.0.1:9/v1", "roles": ["completion"], "models": ["m"]}
    settings = Settings.model_validate({"backends": [row], "users": {"ann": {}}})
    gateway = Gateway(settings, Path(folder / "requests.jsonl"))
    yield {
        "engine": (app.build(engine), only(TOKEN)),
        "gateway": (gateway.build(), lambda given: "ann" if given == TOKEN else None),
    }
    engine.stop()


@pytest.mark.parametrize("which", ["engine", "gateway"])
def test_slow_loris_in_the_body(
    applications: dict[str, tuple[ASGIApp, Any]], monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with serving(*applications[which]) as (address, _), connect(address) as connection:
        connection.sendall(head(address, "POST", COMPLETIONS, "Content-Length: 4000000"))
        assert b" 408 " in dripped(connection)
