"""Back ends that attack the gateway before them, or its users, each attack by its name."""

import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway import backend as backends
from gateway import relay
from gateway.app import Gateway
from gateway.config import Settings
from gateway.relay import MAX_ANSWER
from tests.gateways import ALL, Running, backend, gateway
from tests.hostile_backend import (
    CLOSE,
    END,
    Hostile,
    answer,
    begin,
    chunk,
    event,
    hostile,
    rows,
    whole,
)
from tests.scripted_backend import Script, scripted
from tests.wire import wait_until

ASK: dict[str, Any] = {"model": "m", "prompt": "def f(", "max_tokens": 8, "temperature": 0.5}
USERS = {
    "ann": {"scopes": ALL, "adapters": ["ann-*"]},
    "bob": {"scopes": ALL, "adapters": ["bob-*"]},
    "few": {"scopes": ALL, "tokens_per_day": 100_000},
}


@pytest.fixture(scope="module")
def enemy() -> Iterator[Hostile]:
    with hostile("m", answer=lambda body: [answer("honest")]) as made:
        yield made


@pytest.fixture(scope="module")
def friend() -> Iterator[Script]:
    with scripted("other") as script:
        yield script


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, enemy: Hostile, friend: Script
) -> Iterator[Running]:
    servers = [
        backend("enemy", enemy.url, token="of-the-enemy"),
        backend("friend", friend.url, models=["other"]),
    ]
    with gateway(
        tmp_path_factory.mktemp("hostile"), servers, USERS, max_tokens=500, poll_seconds=0.05
    ) as running:
        yield running


@pytest.fixture
def running(shared: Running, enemy: Hostile) -> Iterator[Running]:
    """After each attack the gateway answers again, and nothing runs."""
    models = enemy.models
    enemy.asked.clear()
    yield shared
    enemy.models, enemy.answer = models, lambda body: [answer("honest")]
    wait_until(lambda: ask(shared, temperature=1).status_code == 200)
    wait_until(lambda: shared.state()["running"] == 0)


def ask(running: Running, user: str = "ann", **fields: Any) -> httpx.Response:
    with running.client(user) as client:
        return client.post("completions", json=ASK | fields)


def refused(running: Running, enemy: Hostile, stream: bool = False) -> None:
    """It was asked, and the client learns that there is no answer."""
    reply = ask(running, stream=stream)
    assert enemy.asked
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "no_backend")


def last(reply: httpx.Response) -> dict[str, Any]:
    lines = [line for line in reply.text.split("\n\n") if line.startswith("data: ")]
    return json.loads(lines[-1][6:])


def forever(first: bytes, again: bytes) -> Iterable[bytes]:
    yield first
    while True:
        yield again


# What does not end.


def test_an_endless_stream(running: Running, enemy: Hostile) -> None:
    left = enemy.left
    enemy.answer = lambda body: forever(begin(), event())
    reply = ask(running, stream=True)
    assert last(reply)["error"]["code"] == "backend_lost"
    assert reply.text.count("word") < 1000
    wait_until(lambda: enemy.left == left + 1)


@pytest.mark.parametrize("begun", [True, False])
def test_an_endless_stream_of_comments(running: Running, enemy: Hostile, begun: bool) -> None:
    comments = chunk(b": nothing\n\n" * 100_000)
    start = begin() + (event() if begun else b"")
    enemy.answer = lambda body: forever(start, comments)
    if not begun:
        refused(running, enemy, stream=True)
    else:
        assert last(ask(running, stream=True))["error"]["code"] == "backend_lost"


def test_an_endless_event(running: Running, enemy: Hostile) -> None:
    enemy.answer = lambda body: forever(begin() + chunk(b"data: "), chunk(b"x" * 65536))
    refused(running, enemy, stream=True)


@pytest.mark.parametrize("head", [begin(), whole(b"").replace(b": 0", b": 999999999999")])
def test_an_endless_answer(running: Running, enemy: Hostile, head: bytes) -> None:
    piece = b" " * (MAX_ANSWER // 16)
    enemy.answer = lambda body: forever(head, chunk(piece) if b"chunked" in head else piece)
    refused(running, enemy)


async def inside(enemy: Hostile, folder: Path) -> httpx.Response:
    """A stream through a gateway in this very process, whose limits a test can change."""
    settings = {"backends": [backend("enemy", enemy.url)], "users": USERS}
    made = Gateway(Settings.model_validate(settings), folder / "requests.jsonl")
    application = made.build()

    async def as_ann(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"user": "ann"}
        await application(scope, receive, send)

    transport = httpx.ASGITransport(as_ann)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://x/v1") as client:
            return await client.post("completions", json=ASK | {"stream": True})
    finally:
        await made.stop()


async def test_an_answer_that_only_drips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comments keep a connection open, and are no answer."""
    monkeypatch.setattr(backends, "STALL_SECONDS", 0.3)

    def drip(body: dict[str, Any]) -> Iterable[bytes]:
        yield begin() + event()
        while True:
            time.sleep(0.02)
            yield chunk(b": wait\n\n")

    with hostile("m", answer=drip) as enemy:
        assert last(await inside(enemy, tmp_path))["error"]["code"] == "backend_lost"
        wait_until(lambda: enemy.left == 1)


async def test_a_stream_of_huge_events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(relay, "MAX_STREAM", 2 << 20)
    large = event("x" * 100_000)
    with hostile("m", answer=lambda body: forever(begin(), large)) as enemy:
        reply = await inside(enemy, tmp_path)
        assert last(reply)["error"]["code"] == "backend_lost"
        assert len(reply.content) < 3 << 20
        wait_until(lambda: enemy.left == 1)


# What is not HTTP, or not quite.


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "said",
    [
        whole(b"{}", "X-Long: " + "a" * 1_000_000),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffffffff\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}",
        b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 None\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\0" * 100_000,
        b"",
    ],
    ids=lambda said: f"{said[:40]!r} {len(said)} bytes",
)
def test_what_is_no_answer(running: Running, enemy: Hostile, said: bytes, stream: bool) -> None:
    enemy.answer = lambda body: [said, CLOSE]
    refused(running, enemy, stream)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(running: Running, enemy: Hostile, status: int) -> None:
    """To an address of the attacker's choice, with our token and somebody's prompt."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        place = f"Location: http://127.0.0.1:{elsewhere.getsockname()[1]}/v1/completions"
        enemy.answer = lambda body: [whole(b"", place, status=f"{status} Elsewhere")]
        refused(running, enemy)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("stream", [True, False])
def test_a_packed_bomb_is_not_unpacked(running: Running, enemy: Hostile, stream: bool) -> None:
    packing = zlib.compressobj(wbits=31)
    bomb = b"".join(packing.compress(b" " * (1 << 24)) for _ in range(16)) + packing.flush()
    honest = gzip.compress(answer("honest").split(b"\r\n\r\n")[1])
    for packed in (bomb, honest):
        enemy.asked.clear()
        enemy.answer = lambda body, p=packed: [whole(p, "Content-Encoding: gzip")]
        refused(running, enemy, stream)
        wait_until(lambda: running.state()["backends"][0]["state"] != "open")


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xfe\x00" * 1000,
        b"hello\n\n" * 1000,
        b"data: hello\n\ndata: [DONE]\n\n",
        b"data: [1]\n\ndata: [DONE]\n\n",
        b'data: "text"\n\ndata: [DONE]\n\n',
        b'data: {"choices": [\n\ndata: [DONE]\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'event: x\ndata: {"choices": [{"text": "a"}]}\n\n',
        b'data: {"usage": \n\ndata: [DONE]\n\n',
        b"<html><script>alert(1)</script></html>",
        b"",
    ],
    ids=lambda said: repr(said[:30]),
)
def test_a_broken_stream(running: Running, enemy: Hostile, said: bytes) -> None:
    enemy.answer = lambda body: [
        begin("Content-Type: text/html"),
        *map(chunk, [said] * bool(said)),
        END,
    ]
    refused(running, enemy, stream=True)


def test_headers_and_cookies_stop_here(running: Running, enemy: Hostile) -> None:
    headers = [
        *("Set-Cookie: a=b; Path=/", "Location: http://evil.example", "X-Evil: 1"),
        *("Access-Control-Allow-Origin: *", "Content-Disposition: attachment", "Refresh: 0"),
        *("Content-Security-Policy: none", "X-Tandem-Backend: friend", "Server: evil"),
        "Content-Type: text/html",
    ]
    body = answer("honest").split(b"\r\n\r\n")[1]
    enemy.answer = lambda asked: [
        *(
            [begin(*headers), event(), chunk(b"data: [DONE]\n\n"), END]
            if asked.get("stream")
            else []
        ),
        *([] if asked.get("stream") else [whole(body, *headers)]),
    ]
    for stream, kind in ((True, "text/event-stream; charset=utf-8"), (False, "application/json")):
        reply = ask(running, stream=stream)
        assert reply.status_code == 200
        told = {name: value for name, value in reply.headers.items() if name != "date"}
        told.pop("content-length" if not stream else "transfer-encoding")
        assert told == {
            "content-type": kind,
            "cache-control": "no-cache",
            "x-tandem-backend": "enemy",
        }
    assert len(enemy.asked) == 2
    assert not any(b"cookie" in head.lower() for head in enemy.asked)


# What is meant for somebody else.


@pytest.mark.parametrize("stream", [True, False])
def test_two_answers_at_once_reach_no_other_tenant(
    running: Running, enemy: Hostile, stream: bool
) -> None:
    """The second would lie on the connection as the answer to whoever is asked for next."""

    def twice(body: dict[str, Any]) -> list[bytes]:
        if body["prompt"] != "of ann":
            return [answer("honest")]
        done = begin() + event("one") + chunk(b"data: [DONE]\n\n") + END
        return [(done if stream else answer("one")) + answer("of ann, for anybody")]

    enemy.answer = twice
    assert "one" in ask(running, "ann", prompt="of ann", stream=stream).text
    for user in ("bob", "few", "bob"):
        text = ask(running, user, prompt="of another").json()["choices"][0]["text"]
        assert text == "honest"


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_of_another_tenants_adapter(
    running: Running, enemy: Hostile, stream: bool
) -> None:
    names = ("ann-shop", "bob-shop")
    enemy.models = rows({"id": "m"}, *({"id": name, "parent": "m"} for name in names))
    wait_until(lambda: len(running.state()["backends"][0]["adapters"]) == 2)

    def of(model: str) -> list[bytes]:
        if not stream:
            return [answer("theirs", model=model)]
        return [begin(), event("theirs", model=model), chunk(b"data: [DONE]\n\n"), END]

    enemy.answer = lambda body: of(body["model"])
    assert "theirs" in ask(running, model="ann-shop", stream=stream).text
    enemy.answer = lambda body: of("bob-shop")
    for asked in ("ann-shop", "m"):
        reply = ask(running, model=asked, stream=stream)
        assert reply.status_code == 503
        assert "theirs" not in reply.text
        wait_until(lambda: running.state()["backends"][0]["state"] != "open")


# What it says of itself, and of a request.


@pytest.mark.parametrize(
    "count", [-(10**9), 10**30, True, "7", 1.5, None, [1]], ids=lambda count: repr(count)[:12]
)
@pytest.mark.parametrize("stream", [True, False])
def test_counts_that_are_none_give_nobody_tokens_back(
    running: Running, enemy: Hostile, count: object, stream: bool
) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    usage["prompt_tokens_details"] = {"cached_tokens": count}
    ended = event(usage=usage) + chunk(b"data: [DONE]\n\n") + END
    enemy.answer = lambda body: [begin() + ended if stream else answer("x", usage=usage)]
    before = running.state()["tokens_today"]["few"]
    assert ask(running, "few", stream=stream).status_code == 200
    wait_until(lambda: running.state()["tokens_today"]["few"] != before)
    assert before < running.state()["tokens_today"]["few"] < before + 500
    entry = running.entry()
    assert entry.number("cached_tokens") == 0


@pytest.mark.parametrize(
    "models",
    [
        rows({"id": "m"}, {"id": "x", "parent": ["m"]}),
        rows({"id": "m", "capabilities": 5}),
        rows({"id": "m", "capabilities": [{}]}),
        rows({"id": "m"}, {"id": {"a": 1}}, {"id": "y" * 100_000, "parent": "m"}, [], None, 5),
        b'{"data": [{"id": "m", "owned_by": "\\ud800"}]}',
        b'{"data": [{"id": "m", "created": NaN}]}',
        b'{"data": ' + b"[" * 100_000 + b"}",
        b'{"data": 5}',
        b"[]",
        b"{" * 5_000_000,
    ],
    ids=lambda models: f"{models[:60]!r} {len(models)} bytes",
)
def test_an_odd_list_of_models_spoils_no_other(
    running: Running, enemy: Hostile, models: bytes
) -> None:
    enemy.models = models
    listed = enemy.listed
    wait_until(lambda: enemy.listed > listed + 1)  # the first of them has been read
    for user in ("ann", "bob"):
        with running.client(user) as client:
            reply = client.get("models")
        assert reply.status_code == 200
        assert {"m", "other"} == {row["id"] for row in reply.json()["data"]}
        assert ask(running, user, model="other").status_code == 200


def test_a_refusal_that_cannot_be_told(running: Running, enemy: Hostile) -> None:
    for message, code in (("\ud800", "x"), ("a" * 60_000, "c" * 1000), ("at ::1", "a\nb"), (5, {})):
        error = json.dumps({"error": {"message": message, "code": code}}).encode()
        enemy.answer = lambda body, e=error: [whole(e, status="400 Bad Request")]
        reply = ask(running)
        assert reply.status_code == 400
        assert len(reply.content) < 1000
        assert reply.json()["error"]["code"] in (None, "x")
        assert "::1" not in reply.text
