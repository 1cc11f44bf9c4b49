"""Attacks on a local model server, each by its name, against a real gateway.

The list is section (f), "Local HTTP model server", of our study of fixing, tuning and serving; the
engine's own are in test_engine_guard.py and test_engine_robust.py.
"""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import tokens
from tests.gateways import ALL, Running, backend, gateway
from tests.scripted_backend import Script, scripted
from tests.wire import connect, exchange, get, host_of, post, wait_until

ASK: dict[str, Any] = {"model": "m", "prompt": "def f(", "max_tokens": 8, "temperature": 0}
COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"
USERS = {
    "ann": {"scopes": ALL, "adapters": ["ann-*"]},
    "bob": {"scopes": ["completion"]},
    "eve": {"scopes": ["completion", "adapters"], "adapters": ["eve-*"]},
    "few": {"scopes": ALL, "at_once": 1},
}


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    with scripted("m") as script:
        for name in ("ann-billing", "eve-shop"):
            script.models.append({"id": name, "parent": "m", "root": f"/srv/adapters/{name}"})
        yield script


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, script: Script) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("attacked")
    options = {"max_body": 100_000, "max_tokens": 500}
    with gateway(
        home, [backend("one", script.url, token="of-the-back-end")], USERS, **options
    ) as r:
        wait_until(lambda: len(r.state()["backends"][0]["adapters"]) == 2)
        yield r


@pytest.fixture
def running(shared: Running, script: Script) -> Running:
    script.mode, script.text, script.refusal = "ok", "one two three four", "Wrong."
    script.bodies.clear()
    script.tokens.clear()
    return shared


def ask(running: Running, user: str = "ann", path: str = "completions", **fields: Any) -> Any:
    with running.client(user) as client:
        return client.post(path, json=ASK | fields)


def talk(running: Running, user: str = "ann", **fields: Any) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    with running.client(user) as client:
        return client.post("chat/completions", json=body)


def raw(running: Running, text: str, path: str = COMPLETIONS) -> int:
    return post(running.address(), path, text.encode("utf-8", "surrogatepass")).status


# Who may come in.


@pytest.mark.parametrize("host", ["evil.example:{}", "127.0.0.1:1", "localhost.evil.example:{}"])
def test_dns_rebinding(running: Running, host: str) -> None:
    port = host_of(running.address()).split(":")[1]
    reply = exchange(
        running.address(),
        "GET /v1/models HTTP/1.1",
        f"Host: {host.format(port)}",
        f"Authorization: Bearer {running.tokens['ann']}",
    )
    assert (reply.status, reply.error["code"]) == (403, "wrong_host")


def test_csrf_from_a_web_page(running: Running, script: Script) -> None:
    body = json.dumps(ASK).encode()
    for header in ("Origin: https://evil.example", "Origin: null"):
        reply = post(running.address(), COMPLETIONS, body, header)
        assert (reply.status, reply.error["code"]) == (403, "wrong_origin")
        assert "access-control" not in reply.head.lower()
    with running.client() as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            reply = client.post("completions", content=body, headers={"content-type": kind})
            assert reply.status_code == 415
        assert client.get("completions").status_code == 405
    assert script.bodies == []


def test_a_token_in_the_address_and_wrong_tokens(running: Running) -> None:
    token = running.tokens["ann"]
    assert get(running.address(), f"/v1/models?token={token}&api_key={token}").status == 401
    id, secret = token.split("-", 2)[1:]
    wrong = ["x", "tg-", f"tg-{id}-", f"tg-{id}-{secret}x", f"tg-ffffffffffff-{secret}", "tg-é-é"]
    for given in (*wrong, f"tg-{running.tokens['bob'].split('-', 2)[1]}-{secret}"):
        assert get(running.address(), "/v1/models", f"Authorization: Bearer {given}").status == 401
    for path in (COMPLETIONS, CHATS, "/metrics", "/v1/models", "/v1/tandem/gateway"):
        assert get(running.address(), path).status == 401
    assert get(running.address(), "/health").body == b'{"status":"ok"}'


def test_a_revoked_token_is_refused_at_once(running: Running) -> None:
    file = running.home / "state" / "gateway" / "tokens.json"
    assert file.stat().st_mode & 0o077 == 0
    assert not any(token in file.read_text() for token in running.tokens.values())
    made = tokens.make("few", file)
    headers = {"Authorization": f"Bearer {made}"}
    with httpx.Client(base_url=f"{running.url}/", headers=headers, trust_env=False) as client:
        assert client.get("models").status_code == 200
        assert tokens.revoke("few", file)
        assert client.get("models").status_code == 401


def test_scopes_are_least_privilege(running: Running, script: Script) -> None:
    assert ask(running, "bob").status_code == 200
    assert talk(running, "bob").json()["error"]["code"] == "no_scope"
    for path in ("/metrics", "/v1/tandem/gateway"):
        reply = get(running.address("bob"), path, f"Authorization: Bearer {running.tokens['bob']}")
        assert (reply.status, reply.error["code"]) == (403, "no_scope")


# What a request may hold.


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '{"prompt": NaN}',
        json.dumps(ASK)[:-1] + ', "temperature": Infinity}',
        json.dumps(ASK)[:-1] + ', "temperature": 1e999}',
        json.dumps(ASK)[:-1] + ', "seed": ' + "9" * 5000 + "}",
        '{"model": "m", "prompt": "\\ud800"}',
        '{"model": "m", "prompt": "\ud800"}',
        '{"prompt": ' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"a": ' * 5000 + "1" + "}" * 5000,
    ],
    ids=[
        "empty",
        "null",
        "list",
        "nan",
        "inf",
        "1e999",
        "digits",
        "escaped",
        "lone",
        "deep",
        "keys",
    ],
)
def test_odd_json(running: Running, script: Script, body: str) -> None:
    assert raw(running, body) == 400
    assert script.bodies == []


def test_duplicate_keys_mean_the_same_to_us_and_the_back_end(
    running: Running, script: Script
) -> None:
    doubled = '{"model": "eve-shop", "prompt": "x", "prompt": "twice", "model": "m"}'
    assert raw(running, doubled) == 200
    assert (script.bodies[-1]["model"], script.bodies[-1]["prompt"]) == ("m", "twice")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 1000),
        ("n", True),
        ("best_of", 100),
        ("logprobs", 10_000),
        ("stop", ["x"] * 100),
        ("stop", ["x" * 5000]),
        ("stop", [""]),
        ("logit_bias", {str(token): 1 for token in range(5000)}),
        ("logit_bias", {"x": 1}),
        ("logit_bias", {"-5": 1}),
        ("logit_bias", {"5": 1e9}),
        ("logit_bias", {"5": {}}),
        ("temperature", "hot"),
        ("temperature", -1),
        ("stream", "yes"),
        ("prompt", ["a", "b"]),
        ("prompt", [[1], [2]]),
        ("prompt", {"a": 1}),
        ("prompt", ""),
        ("prompt", [1.5]),
        ("prompt", [-1]),
        ("prompt", [2**70]),
        ("model", ["m"]),
        ("tandem", {"document": "x" * 5000}),
        ("tandem", {"priority": -1}),
        ("tandem", {"memory": {"name": "others"}}),
        ("prompt_embeds", "gASV"),
        ("max_tokens", 2**40),
        ("max_tokens", 0),
        ("guided_regex", "(a+)+$"),
        ("structured_outputs", {"regex": "("}),
        ("stream_options", 1),
    ],
)
def test_fields_out_of_bounds(running: Running, script: Script, field: str, value: Any) -> None:
    answer = ask(running, **{field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(field)
    assert script.bodies == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chat_template", "{{ 1 }}"),
        ("chat_template_kwargs", {"chat_template": "{% for i in range(10**9) %}{% endfor %}"}),
        ("mm_processor_kwargs", {"a": 1}),
        ("tools", [{"type": "function"}]),
        ("tools", "run"),
        ("messages", []),
        ("messages", ["hi"]),
        ("response_format", "json"),
        ("response_format", {"type": "structural_tag", "structures": [{"schema": {"type": 7}}]}),
        ("response_format", {"type": ["text"]}),
        ("response_format", {"json_schema": {}}),
    ],
)
def test_templates_and_broken_tools(
    running: Running, script: Script, field: str, value: Any
) -> None:
    assert talk(running, **{field: value}).status_code == 400
    assert script.bodies == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strange"},
        {"type": ["string", 1]},
        {"type": "string", "pattern": "(("},
        {"type": "string", "pattern": "a" * 2000},
        {"type": "string", "pattern": 1},
        {"type": "object", "properties": {"pattern": {"type": "string", "pattern": "["}}},
        {"type": "object", "patternProperties": {"((": {"type": "string"}}},
        {"type": "string", "pattern": "(?i)[a-z]"},
        {"type": "string", "pattern": "(?i:[a-z])"},
        {"type": "string", "pattern": "(a" * 5000},
        {"type": "string", "pattern": "a{99999999999}"},
    ],
)
def test_a_bad_tool_schema(running: Running, script: Script, schema: dict[str, Any]) -> None:
    tool = {"type": "function", "function": {"name": "run", "parameters": schema}}
    assert talk(running, tools=[tool]).status_code == 400
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert talk(running, response_format=form).status_code == 400
    assert script.bodies == []
    fine = {"type": "object", "properties": {"type": {"type": "string", "pattern": "^a+$"}}}
    tool = {"type": "function", "function": {"name": "run", "parameters": fine}}
    assert talk(running, tools=[tool]).status_code == 200


@pytest.mark.parametrize(
    "schemas",
    [
        [{"pattern": "[\0-\uffff]" * 10}] * 20,
        [{"pattern": f"(a|b{n})+c?" * 20} for n in range(100)],
        [{"enum": [0] * 1000}] * 30,
    ],
    ids=["classes", "patterns", "values"],
)
def test_schemas_that_take_long_to_read(
    running: Running, script: Script, schemas: list[dict[str, Any]]
) -> None:
    """We read them where everybody waits: each of them may be in order, but not so many."""
    with_one = [{"type": "function", "function": {"name": "x", "parameters": s}} for s in schemas]
    assert talk(running, tools=with_one[:1]).status_code == 200
    script.bodies.clear()
    assert talk(running, tools=with_one).status_code == 400
    assert script.bodies == []


def test_ssrf_by_an_image_address(running: Running, script: Script) -> None:
    image = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "See"}, image]}]
    assert talk(running, messages=messages).status_code == 400
    assert script.bodies == []


def test_unknown_fields_and_huge_counts_do_not_reach_the_back_end(
    running: Running, script: Script
) -> None:
    ask(running, max_tokens=10**9, ignore_eos=True, user="ann", min_tokens=5, add_bos="x")
    sent = script.bodies[-1]
    assert sent["max_tokens"] == 500
    assert not {"ignore_eos", "user", "min_tokens", "add_bos"} & {*sent}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "m/../m", "m\0", "..%2fm", " m"]
)
def test_path_traversal_in_a_model_name(running: Running, script: Script, name: str) -> None:
    assert ask(running, model=name).json()["error"]["code"] == "model_not_found"
    assert script.bodies == []


def test_nobody_jumps_the_queue_by_priority(running: Running, script: Script) -> None:
    talk(running, tandem={"priority": 0})
    assert script.bodies[-1]["tandem"]["priority"] == 5


# How a request may come.


def test_a_body_that_is_too_large(running: Running, script: Script) -> None:
    body = json.dumps(ASK | {"prompt": "x" * 200_000}).encode()
    assert post(running.address(), COMPLETIONS, body).status == 413
    with running.client() as client:
        chunks = (body[at : at + 1000] for at in range(0, len(body), 1000))
        answer = client.post(
            "completions", content=chunks, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 413
    assert script.bodies == []


def test_a_gigabyte_that_is_only_announced(running: Running) -> None:
    address = running.address()
    reply = exchange(
        address,
        f"POST {COMPLETIONS} HTTP/1.1",
        f"Host: {host_of(address)}",
        f"Authorization: Bearer {address.token}",
        "Content-Type: application/json",
        "Content-Length: 1073741824",
    )
    assert reply.status == 413


def test_request_smuggling(running: Running, script: Script) -> None:
    address = running.address()
    head = [
        f"POST {COMPLETIONS} HTTP/1.1",
        f"Host: {host_of(address)}",
        f"Authorization: Bearer {address.token}",
        "Content-Type: application/json",
    ]
    body = json.dumps(ASK).encode()
    chunked = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    both = exchange(
        address, *head, f"Content-Length: {len(body)}", "Transfer-Encoding: chunked", body=chunked
    )
    assert both.status == 400
    two = exchange(address, *head, "Content-Length: 5", f"Content-Length: {len(body)}", body=body)
    assert two.status == 400
    for line in (
        "Host: evil.example",
        "Content-Length: -1",
        "Content-Length: 0x10",
        "Bad Header: 1",
    ):
        assert exchange(address, *head, line, body=body).status in (400, 403)
    assert script.bodies == []


def test_slow_loris_keeps_nobody_else_waiting(running: Running) -> None:
    address = running.address()
    slow: list[socket.socket] = []
    try:
        for _ in range(100):
            connection = connect(address)
            connection.sendall(
                f"POST {COMPLETIONS} HTTP/1.1\r\nHost: {host_of(address)}\r\n".encode()
            )
            slow.append(connection)
        assert ask(running).status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_a_stream_that_is_not_read_and_left_frees_its_place(
    running: Running, script: Script
) -> None:
    script.mode = "stuck"
    address = running.address("few")
    token = tokens.make("few", running.home / "state" / "gateway" / "tokens.json")
    body = json.dumps(ASK | {"stream": True, "temperature": 1}).encode()
    connection = connect(address)
    head = [
        f"POST {COMPLETIONS} HTTP/1.1",
        f"Host: {host_of(address)}",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
    assert b"200 OK" in connection.recv(4096)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{running.url}/", headers=headers, trust_env=False) as client:
        refused = client.post("completions", json=ASK)
        assert refused.json()["error"]["code"] == "too_many_at_once"
        connection.close()
        script.mode = "ok"
        wait_until(lambda: client.post("completions", json=ASK).status_code == 200)


def test_a_full_queue_is_429_and_not_a_hang(tmp_path: Path, script: Script) -> None:
    script.mode = "stuck"
    with gateway(tmp_path, [backend("one", script.url)], max_requests=2) as running:
        held = [running.client() for _ in range(2)]
        try:
            for client in held:
                request = client.build_request("POST", "completions", json=ASK | {"stream": True})
                client.send(request, stream=True)
            refused = ask(running, temperature=1)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
            assert refused.headers["Retry-After"] == "1"
        finally:
            for client in held:
                client.close()


# What one tenant may learn of another.


def test_no_answer_from_another_tenants_cache(running: Running, script: Script) -> None:
    secret = ASK | {"prompt": "the same prompt of two tenants"}
    assert "x-tandem-cache" not in ask(running, "ann", **secret).headers
    assert ask(running, "ann", **secret).headers["x-tandem-cache"] == "hit"
    assert "x-tandem-cache" not in ask(running, "bob", **secret).headers


def test_tenants_share_no_prompt_cache_and_no_document(running: Running, script: Script) -> None:
    """The back end's caches are salted, and no request takes another tenant's place."""
    for user in ("ann", "bob"):
        ask(running, user, tandem={"document": "app.py"}, prompt=f"of {user}", cache_salt="mine")
    one, two = script.bodies[-2:]
    assert one["cache_salt"] != two["cache_salt"]
    assert one["tandem"]["document"] != two["tandem"]["document"]
    assert "app.py" not in json.dumps([one, two])
    assert "mine" not in json.dumps([one, two])


def test_another_tenants_adapter_is_neither_listed_nor_answered(
    running: Running, script: Script
) -> None:
    def listed(user: str) -> set[str]:
        with running.client(user) as client:
            return {row["id"] for row in client.get("models").json()["data"]}

    assert listed("ann") == {"m", "ann-billing"}
    assert listed("bob") == {"m"}
    assert listed("eve") == {"m", "eve-shop"}
    assert ask(running, "ann", model="ann-billing").json()["model"] == "ann-billing"
    for user, name in (("eve", "ann-billing"), ("bob", "eve-shop"), ("bob", "no-such")):
        answer = ask(running, user, model=name)
        assert answer.status_code == 404
        # As for one that there is not: nobody learns which there are.
        assert answer.json() == ask(running, user, model="zzz").json()
    with running.client("eve") as client:
        assert client.get("models/ann-billing").status_code == 404


def test_errors_leak_no_paths_addresses_or_tokens(running: Running, script: Script) -> None:
    script.mode = "wrong"
    script.refusal = (
        "prompt: too long for /srv/models/big/config.json at http://10.0.0.7:8000/v1 "
        "(worker gpu-3.internal:9000, object at 0x7f3a2b4c5d6e)"
    )
    message = ask(running, temperature=1).json()["error"]["message"]
    assert message.startswith("prompt: too long for (path) at (address)")
    for leaked in ("srv", "10.0.0.7", "gpu-3", "0x7f"):
        assert leaked not in message
    for mode in ("broken", "denied", "html"):
        script.mode = mode
        text = ask(running, temperature=1).text
        assert "srv" not in text
        assert "of-the-back-end" not in text
    with running.client() as client:
        script.mode = "ok"
        assert "/srv/" not in client.get("models").text
    wait_until(lambda: running.state()["backends"][0]["state"] != "open")


def test_a_users_token_never_reaches_the_back_end(running: Running, script: Script) -> None:
    ask(running, temperature=1)
    assert script.tokens == {"Bearer of-the-back-end"}
