"""Who the engine refuses, and how: each over a real connection to a real engine."""

import asyncio
import contextlib
import json
import socket

import httpx
import pytest
from starlette.responses import PlainTextResponse

from completion.engine.background import Address
from completion.engine.guard import MAX_BODY, Guard, only
from completion.engine.listening import listen
from tandem.errors import UsageError
from tests.wire import bearer, connect, exchange, get, host_of, post, read_reply

MODELS = "/v1/models"
SMALL = json.dumps({"prompt": "a", "max_tokens": 1}).encode()


def port_of(engine: Address) -> str:
    return host_of(engine).split(":")[1]


def test_no_token_is_401_and_says_which_scheme(engine: Address) -> None:
    reply = get(engine, MODELS)
    assert reply.status == 401
    assert "www-authenticate: bearer" in reply.head.lower()
    assert reply.error["code"] == "invalid_api_key"
    assert set(reply.error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer wrong",
        "Authorization: Bearer",
        "Authorization: Bearer \xe9",
        "Authorization: {token}",
        "Authorization: Basic {token}",
        "Authorization: Bearer {token}x",
        "Authorization: Bearer {token}\r\nAuthorization: Bearer other",
        "X-Api-Key: {token}",
    ],
)
def test_anything_but_the_token_is_401(engine: Address, header: str) -> None:
    assert get(engine, MODELS, header.format(token=engine.token)).status == 401


def test_the_token_in_the_query_is_ignored(engine: Address) -> None:
    assert get(engine, f"{MODELS}?token={engine.token}&api_key={engine.token}").status == 401


def test_the_scheme_is_case_insensitive(engine: Address) -> None:
    assert get(engine, MODELS, f"Authorization: bearer {engine.token}").status == 200


def test_health_without_a_token_tells_the_status_alone(engine: Address) -> None:
    reply = get(engine, "/health")
    assert (reply.status, json.loads(reply.body)) == (200, {"status": "ok"})


def test_health_with_a_wrong_token_is_401(engine: Address) -> None:
    assert get(engine, "/health", "Authorization: Bearer wrong").status == 401


def test_a_path_that_only_looks_like_health_needs_the_token(engine: Address) -> None:
    for path in ("/health/", "//health", "/health/../v1/models", "/Health"):
        assert get(engine, path).status == 401, path


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_our_own_names_with_our_port_are_let_in(engine: Address, name: str) -> None:
    reply = exchange(engine, "GET /health HTTP/1.1", f"Host: {name}:{port_of(engine)}")
    assert reply.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "127.0.0.1:1",
        "127.0.0.1",
        "localhost",
        "localhost.:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1:{port}@evil.example",
        "evil.example#127.0.0.1:{port}",
        "127.0.0.2:{port}",
        "0.0.0.0:{port}",
        "2130706433:{port}",
        ":{port}",
        "",
    ],
)
def test_a_foreign_host_is_403_even_with_the_token(engine: Address, host: str) -> None:
    reply = exchange(
        engine,
        f"GET {MODELS} HTTP/1.1",
        f"Host: {host.format(port=port_of(engine))}",
        bearer(engine),
    )
    assert (reply.status, reply.error["code"]) == (403, "wrong_host")


def test_a_missing_host_is_refused(engine: Address) -> None:
    assert exchange(engine, f"GET {MODELS} HTTP/1.1", bearer(engine)).status == 400
    assert exchange(engine, f"GET {MODELS} HTTP/1.0", bearer(engine)).status == 403


def test_two_hosts_are_refused(engine: Address) -> None:
    reply = get(engine, MODELS, "Host: evil.example", bearer(engine))
    assert reply.status == 400


def test_a_forwarded_host_changes_nothing(engine: Address) -> None:
    reply = exchange(
        engine,
        f"GET {MODELS} HTTP/1.1",
        "Host: evil.example",
        f"X-Forwarded-Host: {host_of(engine)}",
        bearer(engine),
    )
    assert reply.status == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://evil.example:{port}",
        "https://127.0.0.1:{port}",
        "http://localhost",
        "file://",
        "vscode-webview://127.0.0.1:{port}",
        "",
    ],
)
def test_a_foreign_origin_is_403_even_with_the_token(engine: Address, origin: str) -> None:
    reply = get(engine, MODELS, f"Origin: {origin.format(port=port_of(engine))}", bearer(engine))
    assert (reply.status, reply.error["code"]) == (403, "wrong_origin")


def test_our_own_origin_is_let_in(engine: Address) -> None:
    origin = f"Origin: http://localhost:{port_of(engine)}"
    assert get(engine, MODELS, origin, bearer(engine)).status == 200


def test_a_preflight_gets_no_permission(engine: Address) -> None:
    reply = exchange(
        engine,
        "OPTIONS /v1/completions HTTP/1.1",
        f"Host: {host_of(engine)}",
        "Origin: https://evil.example",
        "Access-Control-Request-Method: POST",
    )
    assert reply.status == 403
    assert "access-control-allow" not in reply.head.lower()


@pytest.mark.parametrize(
    "kind",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: application/json, text/plain",
        "Content-Type: application/json\r\nContent-Type: text/plain",
        "X-Nothing: here",
    ],
)
def test_a_body_that_is_not_declared_json_is_415(engine: Address, kind: str) -> None:
    reply = exchange(
        engine,
        "POST /v1/completions HTTP/1.1",
        f"Host: {host_of(engine)}",
        bearer(engine),
        kind,
        f"Content-Length: {len(SMALL)}",
        body=SMALL,
    )
    assert reply.status == 415
    assert reply.error["type"] == "invalid_request_error"


def test_json_with_a_charset_is_json(engine: Address) -> None:
    reply = exchange(
        engine,
        "POST /v1/completions HTTP/1.1",
        f"Host: {host_of(engine)}",
        bearer(engine),
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(SMALL)}",
        body=SMALL,
    )
    assert reply.status == 200


def test_a_declared_length_over_the_limit_is_413_before_the_body_comes(engine: Address) -> None:
    reply = exchange(
        engine,
        "POST /v1/completions HTTP/1.1",
        f"Host: {host_of(engine)}",
        bearer(engine),
        "Content-Type: application/json",
        f"Content-Length: {MAX_BODY + 1}",
    )
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(("token", "status"), [("", 401), ("right", 413)])
def test_who_sends_a_large_body_all_the_same_can_read_the_refusal(
    engine: Address, token: str, status: int
) -> None:
    response = httpx.post(
        f"{engine.url}/completions",
        content=b" " * (4 * MAX_BODY),
        headers={
            "Authorization": f"Bearer {engine.token if token else 'wrong'}",
            "Content-Type": "application/json",
        },
        trust_env=False,
        timeout=60,
    )
    assert response.status_code == status


def test_a_chunked_body_over_the_limit_is_413(engine: Address) -> None:
    def pieces():
        for _ in range(MAX_BODY // 65536 + 2):
            yield b" " * 65536

    response = httpx.post(
        f"{engine.url}/completions",
        content=pieces(),
        headers={
            "Authorization": f"Bearer {engine.token}",
            "Content-Type": "application/json",
        },
        trust_env=False,
        timeout=60,
    )
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_a_body_of_the_longest_length_is_read(engine: Address) -> None:
    reply = post(engine, "/v1/completions", SMALL.ljust(MAX_BODY))
    assert reply.status == 200


@pytest.mark.parametrize("lengths", [("5", "6"), ("-1",), ("x",), ("5, 6",), ("9" * 30,)])
def test_a_contradictory_or_wrong_length_is_400(engine: Address, lengths: tuple[str, ...]) -> None:
    reply = exchange(
        engine,
        "POST /v1/completions HTTP/1.1",
        f"Host: {host_of(engine)}",
        bearer(engine),
        "Content-Type: application/json",
        *[f"Content-Length: {length}" for length in lengths],
        body=SMALL,
    )
    assert reply.status == 400


def test_a_length_beside_chunks_is_400_and_what_follows_is_no_request(engine: Address) -> None:
    inner = f"GET {MODELS} HTTP/1.1\r\nHost: {host_of(engine)}\r\n{bearer(engine)}\r\n\r\n"
    body = b"0\r\n\r\n" + inner.encode()
    with connect(engine) as connection:
        head = [
            "POST /v1/completions HTTP/1.1",
            f"Host: {host_of(engine)}",
            bearer(engine),
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Transfer-Encoding: chunked",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        assert read_reply(connection).status == 400
        assert connection.recv(65536) == b""


def test_rubbish_instead_of_http_is_400(engine: Address) -> None:
    assert exchange(engine, "\x16\x03\x01\x02 rubbish").status == 400


def test_endless_headers_are_refused(engine: Address) -> None:
    with contextlib.suppress(ConnectionError):  # closed while we still send
        assert get(engine, "/health", "X-Long: " + "a" * 200_000).status == 400
    assert get(engine, "/health").status == 200


def test_a_wrong_method_is_405_and_names_the_right_ones(engine: Address) -> None:
    reply = get(engine, "/v1/completions", bearer(engine))
    assert reply.status == 405
    assert "allow: post" in reply.head.lower()
    assert "GET" in reply.error["message"]


def test_an_unknown_path_is_404(engine: Address) -> None:
    reply = get(engine, "/v1/embeddings", bearer(engine))
    assert reply.status == 404
    assert "/v1/embeddings" in reply.error["message"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.0.2.7:8017", 200),
        ("[2001:db8::1]:8017", 200),
        ("127.0.0.1:8017", 200),
        ("192.0.2.7:80", 403),
        ("evil.example:8017", 403),
    ],
)
async def test_a_remote_server_is_known_by_address_not_by_a_strangers_name(
    host: str, status: int
) -> None:
    guarded = Guard(PlainTextResponse("in"), only("secret"), 8017, remote=True)
    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        reply = await client.get("/", headers={"Host": host, "Authorization": "Bearer secret"})
    assert reply.status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_for_other_machines_needs_a_flag_that_says_so(host: str) -> None:
    with pytest.raises(UsageError, match="--allow-remote"):
        listen(host, 0)
    opened = listen(host, 0, allow_remote=True)
    opened.socket.close()
    assert opened.remote


def test_a_port_that_is_taken_is_told() -> None:
    first = listen("127.0.0.1", 0)
    with first.socket, pytest.raises(UsageError, match=f"port {first.port}.*--port"):
        listen("127.0.0.1", first.port)


def test_an_unknown_host_name_is_told() -> None:
    with pytest.raises(UsageError, match="no host"):
        listen("no-such-host.invalid", 0)


async def test_small_answers_are_sent_at_once() -> None:
    """Else the second event of a stream waits for the first one's acknowledgement: 40 ms."""
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = writer.get_extra_info("socket")
        accepted.set_result(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    opened = listen("127.0.0.1", 0)
    async with await asyncio.start_server(accept, sock=opened.socket):
        _, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        assert await accepted
        writer.close()
