"""What must hold over real HTTP: floods, rude clients, documents, kills; with a tiny model."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from completion.engine import background
from completion.engine.background import Address
from tests import tiny_adapters
from tests.tiny_adapters import Served
from tests.wire import bearer, connect, host_of, stats, wait_until

PROMPT = "def tiny(model):\n    return model.settings\n\n\nclass Config:\n    name = "
BODY: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 40, "temperature": 0}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with tiny_adapters.served(tmp_path_factory.mktemp("robust")) as served:
        yield served


@pytest.fixture
def engine(served: Served) -> Address:
    return served.address


@pytest.fixture
def client(engine: Address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=engine.url, api_key=engine.token, max_retries=0, timeout=120
    ) as client:
        yield client


def caller(engine: Address) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=engine.url + "/",
        # A kept connection may be closed by the server just as it is used again.
        headers={"Authorization": f"Bearer {engine.token}", "Connection": "close"},
        timeout=120,
        trust_env=False,
        limits=httpx.Limits(max_connections=None),
    )


def idle(engine: Address) -> None:
    wait_until(lambda: stats(engine)["running"] == stats(engine)["waiting"] == 0)


@pytest.mark.parametrize("seed", [0, 4])
def test_several_answers_come_in_one_body_and_one_stream(client: openai.OpenAI, seed: int) -> None:
    fields = {**BODY, "n": 3, "temperature": 1.0, "seed": seed}
    whole = client.completions.create(**fields)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    texts = [choice.text for choice in whole.choices]
    assert len(set(texts)) > 1
    alone = [
        client.completions.create(**{**fields, "n": 1, "seed": seed + k}).choices[0].text
        for k in range(3)
    ]
    assert texts == alone
    streamed = ["", "", ""]
    for event in client.completions.create(**fields, stream=True):
        for choice in event.choices:
            streamed[choice.index] += choice.text
    assert streamed == texts


def test_log_probabilities_come_with_their_tokens(client: openai.OpenAI) -> None:
    choice = client.completions.create(**BODY, logprobs=2).choices[0]
    told = choice.logprobs
    assert told is not None
    assert told.tokens
    assert told.token_logprobs
    assert told.top_logprobs
    assert all(value <= 0 for value in told.token_logprobs if value is not None)
    for value, top in zip(told.token_logprobs, told.top_logprobs, strict=True):
        assert value is not None
        assert abs(max(top.values()) - value) < 1e-6  # greedy takes the likeliest
    events = list(client.completions.create(**BODY, logprobs=2, stream=True))
    streamed = [token for e in events if (p := e.choices[0].logprobs) for token in p.tokens or []]
    assert streamed == told.tokens


def test_a_prediction_changes_no_text(client: openai.OpenAI) -> None:
    expected = client.completions.create(**BODY).choices[0].text
    for guess in (expected, "something else entirely"):
        body = {"prediction": {"type": "content", "content": guess}}
        assert client.completions.create(**BODY, extra_body=body).choices[0].text == expected


async def test_five_hundred_requests_at_once_are_answered_or_told_to_come_later(
    engine: Address,
) -> None:
    async with caller(engine) as http:
        expected = (await http.post("completions", json=BODY)).json()["choices"][0]["text"]

        async def ask() -> int:
            reply = await http.post("completions", json=BODY)
            if reply.status_code == 200:
                assert reply.json()["choices"][0]["text"] == expected
            else:
                assert reply.json()["error"]["code"] == "queue_full"
                assert reply.headers["Retry-After"] == "1"
            return reply.status_code

        codes = await asyncio.gather(*(ask() for _ in range(500)))
        assert set(codes) == {200, 429}
        assert codes.count(200) >= 16
        assert (await http.post("completions", json=BODY)).status_code == 200
    idle(engine)


async def test_a_newer_request_of_a_document_ends_the_older_one(engine: Address) -> None:
    idle(engine)
    before = stats(engine)
    mine = {**BODY, "tandem": {"document": "x.py"}, "max_tokens": 150}
    async with caller(engine) as http:
        older = [asyncio.create_task(http.post("completions", json=mine)) for _ in range(12)]
        replies = await asyncio.gather(*older)
        newest = await http.post("completions", json={**mine, "max_tokens": 3})
    assert newest.status_code == 200
    codes = [reply.status_code for reply in replies]
    assert set(codes) <= {200, 409}
    assert {r.json()["error"]["code"] for r in replies if r.status_code == 409} <= {"superseded"}
    after = stats(engine)
    assert after["superseded"] - before["superseded"] == codes.count(409)
    idle(engine)


@pytest.mark.parametrize("line", ["x = 1 + ", "é🎉", " ", "a"])
async def test_a_line_of_100_000_characters_is_refused_clearly(engine: Address, line: str) -> None:
    body = {**BODY, "prompt": (line * 100_000)[:100_000]}
    async with caller(engine) as http:
        reply = await http.post("completions", json=body)
        assert reply.status_code == 400
        assert reply.json()["error"]["code"] == "context_length_exceeded"
        assert (await http.post("completions", json=BODY)).status_code == 200


def test_clients_that_never_read_do_not_hold_up_others(
    client: openai.OpenAI, engine: Address
) -> None:
    data = json.dumps({**BODY, "max_tokens": 150, "stream": True}).encode()
    head = [
        "POST /v1/completions HTTP/1.1",
        f"Host: {host_of(engine)}",
        bearer(engine),
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
    ]
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(contextlib.closing(connect(engine)))
            connection.sendall("\r\n".join([*head, "", ""]).encode() + data)
        assert client.completions.create(**BODY).choices[0].finish_reason
    idle(engine)


def test_memory_does_not_grow_with_the_number_of_requests(
    client: openai.OpenAI, engine: Address
) -> None:
    process = psutil.Process(engine.pid)

    def some(number: int) -> None:
        for n in range(number):
            prompt = [(n * 7 + k) % 500 + 3 for k in range(100)]
            client.completions.create(**{**BODY, "prompt": prompt, "max_tokens": 4})

    some(40)
    before = process.memory_info().rss
    some(160)
    assert process.memory_info().rss - before < 16 << 20
    assert stats(engine)["cache_bytes"] <= 64 << 20


def test_an_engine_killed_in_a_stream_breaks_it_off_and_is_replaced(tmp_path: Path) -> None:
    with tiny_adapters.served(tmp_path) as served:
        address = served.address
        with openai.OpenAI(
            base_url=address.url, api_key=address.token, max_retries=0, timeout=60
        ) as client:
            stream = iter(client.completions.create(**{**BODY, "max_tokens": 200}, stream=True))
            next(stream)
            os.kill(address.pid, signal.SIGKILL)
            with contextlib.suppress(openai.APIError, httpx.HTTPError):
                list(stream)  # ends, with an error or with what had been sent
        assert background.find(served.config) is None
        again = background.ensure(served.config)
        assert again.pid != address.pid
        with openai.OpenAI(base_url=again.url, api_key=again.token, timeout=60) as client:
            assert client.completions.create(**BODY).choices[0].finish_reason
