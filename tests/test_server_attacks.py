"""Attacks on a local model server, each by its name, on a real engine and on a real gateway.

They come byte by byte, as no proper client would send them. docs/server-attacks.md has the list.
"""

import gzip
import json
import socket
from collections.abc import Iterator

import psutil
import pytest

from completion import lora
from completion.engine.background import Address
from completion.engine.connections import MOST_SILENT, allow_files
from tests.doors import CHATS, COMPLETIONS, LONG, SHORT, Doors, doors
from tests.frames import FRAMES, head, smuggle, statuses
from tests.wire import (
    bearer,
    connect,
    drained,
    everything,
    exchange,
    get,
    host_of,
    post,
    wait_until,
)

BODY = json.dumps(SHORT).encode()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with doors(tmp_path_factory.mktemp("attacked")) as made:
        yield made


@pytest.fixture(params=["engine", "gateway"])
def which(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def door(both: Doors, which: str) -> Iterator[Address]:
    """After each attack nothing runs, and the next request is answered as before."""
    address = both.at(which)
    yield address
    both.idle()
    assert post(address, COMPLETIONS, BODY).status == 200


# Who may come in.


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{}",
        "127.0.0.1:1",
        "[::1]:1",
        "[::1]",
        "[::ffff:127.0.0.1]:{}",
        "[::]:{}",
        "[fe80::1]:{}",
        "[::1].evil.example:{}",
        "localhost.evil.example:{}",
        "127.0.0.1:{}, evil.example",
    ],
)
def test_dns_rebinding(door: Address, host: str) -> None:
    named = f"Host: {host.format(host_of(door).split(':')[1])}"
    for path in ("/v1/models", "/health"):
        reply = exchange(door, f"GET {path} HTTP/1.1", named, bearer(door))
        assert (reply.status, reply.error["code"]) == (403, "wrong_host")


def test_a_preflight_gets_no_permission(door: Address) -> None:
    asked = ["Origin: https://evil.example", "Access-Control-Request-Method: POST"]
    for path in (COMPLETIONS, "/v1/models", "/health"):
        for shown in ([], [bearer(door)]):
            host = f"Host: {host_of(door)}"
            reply = exchange(door, f"OPTIONS {path} HTTP/1.1", host, *asked, *shown)
            assert reply.status == 403
            assert "access-control" not in reply.head.lower()


def test_no_get_has_an_effect(door: Address, which: str) -> None:
    paths = [COMPLETIONS, CHATS]
    paths += {
        "engine": ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/tandem/memory/x"],
        "gateway": ["/v1/tandem/adapters/rollback"],
    }[which]
    for path in paths:
        for query in ("", "?lora_name=x&lora_path=/etc&prompt=x"):
            assert get(door, path + query, bearer(door)).status in (404, 405)


def test_only_the_loopback_is_listened_on(both: Doors, door: Address, which: str) -> None:
    opened = psutil.Process(both.process(which)).net_connections("inet")
    listening = {one.laddr.ip for one in opened if one.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_tokens_prompts_and_addresses_are_in_no_log(both: Doors, door: Address, which: str) -> None:
    secret = "okapi-of-the-prompt"
    assert get(door, f"/v1/models?api_key={door.token}&said={secret}").status == 401
    assert get(door, f"/v1/{secret}", bearer(door)).status == 404
    post(door, COMPLETIONS, json.dumps(SHORT | {"prompt": secret}).encode())
    post(door, COMPLETIONS, json.dumps(SHORT | {"stop": [secret] * 99}).encode())
    everything(door, f"{secret} {door.token}\r\n\r\n".encode())
    assert secret not in both.log(which)
    assert door.token not in both.log(which)


# Where a request ends.


@pytest.mark.parametrize("frame", FRAMES)
def test_request_smuggling(door: Address, frame: str) -> None:
    """One answer, a refusal, and the connection is closed: nobody reads what follows."""
    answers = smuggle(door, frame)
    assert len(answers) == 1
    assert answers[0] in (400, 413, 501)


def test_a_body_where_none_is_wanted_is_no_request(door: Address) -> None:
    smuggled = head(door, "GET", "/v1/models")
    first = head(door, "GET", "/health", f"Content-Length: {len(smuggled)}") + smuggled
    last = head(door, "GET", "/nothing", "Connection: close")
    assert statuses(everything(door, first + last)) == [200, 404]


@pytest.mark.parametrize(
    "line",
    [
        "GET http://{host}/v1/models HTTP/1.1",
        "GET http://evil.example/health HTTP/1.1",
        "GET //evil.example/v1/models HTTP/1.1",
        "GET /v1/../v1/models HTTP/1.1",
        "GET /v1/models/..%2f..%2fhealth HTTP/1.1",
        "GET /v1/models/%2e%2e%2f%00 HTTP/1.1",
        "GET /health%00 HTTP/1.1",
        "GET /v1%2fmodels%23 HTTP/1.1",
        "CONNECT evil.example:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE /v1/models HTTP/1.1",
        "GET  /v1/models HTTP/1.1",
        "GET /v1/models\tHTTP/1.1",
    ],
)
def test_odd_targets_lead_nowhere(door: Address, line: str) -> None:
    shown = line.format(host=host_of(door))
    lines = [shown, f"Host: {host_of(door)}", bearer(door), "Connection: close", "", ""]
    answers = statuses(everything(door, "\r\n".join(lines).encode("latin-1")))
    assert len(answers) == 1
    assert 400 <= answers[0] < 500


def test_a_folded_header_hides_nothing(door: Address) -> None:
    """A proxy before us may have taken the lines for two headers, or for one."""
    folded = f"Host: {host_of(door)}\r\n .evil.example"
    reply = exchange(door, "GET /v1/models HTTP/1.1", folded, bearer(door))
    assert reply.status == 403
    reply = exchange(
        door, "GET /v1/models HTTP/1.1", f" Host: {host_of(door)}", f"Host: {host_of(door)}"
    )
    assert reply.status == 400
    reply = get(door, "/v1/models", bearer(door), "Origin:\r\n https://evil.example")
    assert reply.status == 403


@pytest.mark.parametrize(
    "headers",
    [b"X-Long: " + b"a" * 1_000_000, b"X: y\r\n" * 200_000, b"X-Never-Ends"],
    ids=["one of a megabyte", "many", "no end"],
)
def test_headers_without_measure(door: Address, headers: bytes) -> None:
    start = head(door, "GET", "/v1/models").removesuffix(b"\r\n")
    with connect(door) as connection:
        try:
            connection.sendall(start + headers)
            for _ in range(0 if headers.endswith(b"a") or b"\r\n" in headers else 1000):
                connection.sendall(b"a" * 1000)
            connection.sendall(b"\r\n\r\n")
        except ConnectionError:
            return  # closed while we still sent
        answers = drained(connection)
    assert statuses(answers) in ([400], [])


# Who sends slowly, or not at all. test_server_slow.py has what takes time.


def test_silent_connections_make_room_for_others(door: Address) -> None:
    """A token is not needed to open one, so that they must not use up what a process may have."""
    allow_files()
    begun = head(door, "GET", "/v1/models", token=False).removesuffix(b"\r\n")
    silent: list[socket.socket] = []
    try:
        for _ in range(MOST_SILENT + 20):
            silent.append(connect(door))
            silent[-1].sendall(begun)
        assert drained(silent[0]) == b""
        assert get(door, "/v1/models", bearer(door)).status == 200
    finally:
        for connection in silent:
            connection.close()


def test_half_closed_while_an_answer_is_on_its_way(both: Doors, door: Address) -> None:
    before = both.count("cancelled")
    data = json.dumps(LONG).encode()
    with connect(door) as connection:
        connection.sendall(head(door, "POST", COMPLETIONS, f"Content-Length: {len(data)}") + data)
        assert b"200 OK" in connection.recv(4096)
        connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: both.count("cancelled") == before + 1)
        both.idle()
        assert b"[DONE]" not in drained(connection)


def test_half_closed_in_the_middle_of_a_body(both: Doors, door: Address) -> None:
    before = both.count("requests")
    with connect(door) as connection:
        length = f"Content-Length: {len(BODY) + 1}"
        connection.sendall(head(door, "POST", COMPLETIONS, length) + BODY)
        connection.shutdown(socket.SHUT_WR)
        assert 200 not in statuses(drained(connection))
    assert both.count("requests") == before


# What a body holds.


def test_a_packed_body_is_not_unpacked(both: Doors, door: Address) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    for packed in (gzip.compress(BODY), bomb):
        for coding in ("gzip", "deflate", "br", "identity, gzip"):
            reply = post(door, COMPLETIONS, packed, f"Content-Encoding: {coding}")
            assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")


def without_end(text: str) -> bytes:
    return BODY[:-1] + f", {text}}}".encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
        b'{"prompt": "x", "extra": ' + b"[" * 3_000_000,
        without_end('"seed": ' + "9" * 1_000_000),
        without_end('"temperature": 1e999'),
        without_end('"temperature": NaN'),
        without_end('"top_p": -Infinity'),
        without_end('"tandem": {"priority": NaN}'),
        without_end('"stop": ["\\ud800"]'),
        without_end('"stop": ["\ud800"]'),
        without_end('"heal": "\\udfff"'),
        without_end('"model": "\\ud800"'),
        without_end('"tandem": {"document": "\\ud800"}'),
        without_end('"\\ud800": 1'),
        BODY + BODY,
        BODY + b"\0",
        b"\xef\xbb\xbf" + BODY,
        BODY.decode().encode("utf-16"),
        BODY[:-1],
        b"\xff" * 1000,
    ],
    ids=lambda body: body[:14].decode("latin-1") + f"… {len(body)} bytes",
)
def test_json_bombs(both: Doors, door: Address, body: bytes) -> None:
    before = both.count("requests")
    reply = post(door, COMPLETIONS, body)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert len(reply.body) < 1000
    assert both.count("requests") == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 1000),
        ("n", -1),
        ("best_of", 1000),
        ("logprobs", 10_000),
        ("stop", ["x"] * 1000),
        ("stop", ["x" * 100_000]),
        ("max_tokens", -1),
        ("max_tokens", 1.5),
        ("prompt", ["x"] * 1000),
        ("prompt", [[1]] * 1000),
        ("heal", 7),
        ("seed", 2**64),
        ("model", "../../etc/passwd"),
        ("model", "x" * 1_000_000),
        ("tandem", {"document": "x" * 100_000}),
        ("tandem", {"priority": 10**6}),
    ],
)
def test_huge_counts(door: Address, field: str, value: object) -> None:
    reply = post(door, COMPLETIONS, json.dumps(SHORT | {field: value}).encode())
    assert reply.status in (400, 404)
    assert len(reply.body) < 1000


def test_error_text_tells_no_paths_or_addresses(both: Doors, door: Address, which: str) -> None:
    name = f"damaged-{which}"
    file = both.store.add(name, 1).folder / lora.WEIGHTS
    whole = file.read_bytes()
    asked = json.dumps(SHORT | {"model": name}).encode()
    wait_until(lambda: post(door, COMPLETIONS, asked).status == 200)
    answers = []
    for damage in (whole[:-50], whole[:3], whole[:8] + b"\xff" * (len(whole) - 8), whole):
        file.write_bytes(damage)
        answers.append(post(door, COMPLETIONS, asked))
        answers.append(get(door, f"/v1/models/{name}", bearer(door)))
    for path in ("/v1/models/%2fetc%2fpasswd", "/v1/nothing"):
        answers.append(get(door, path, bearer(door)))
    assert {reply.status for reply in answers} >= {200, 404, 409}
    for reply in answers:
        said = (reply.head + reply.body.decode()).lower()
        for leaked in (str(both.home.parent), "traceback", ".py", "site-packages", " at 0x"):
            assert leaked.lower() not in said
