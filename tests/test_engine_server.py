"""The engine over HTTP, asked by OpenAI's own client and by rude ones, with the real model."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from starlette.types import Message, Scope

from completion.engine import app, wire
from completion.engine.answers import CAPABILITIES
from completion.engine.background import Address
from completion.engine.served import ServedModel
from completion.models import DEFAULT, InstalledModel
from tandem.config import EngineConfig
from tests.lsp_client import digits
from tests.wire import bearer, connect, get, host_of, post, read_reply, stats, wait_until

PROMPT = "def fibonacci(n):\n    if n < 2:\n        return n\n    return"
# Chat goes on for longer than any test reads, whatever the shipped model has learned of code.
STORY = "<|im_start|>user\nTell me a long story about a dragon.<|im_end|>\n<|im_start|>assistant\n"
LONG: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 200, "temperature": 0, "stream": True}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that this machine may need does not reach our engine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def client(engine: Address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=engine.url, api_key=engine.token, max_retries=0, timeout=120
    ) as client:
        yield client


def complete(client: openai.OpenAI, **fields: Any) -> Any:
    return client.completions.create(
        **{"model": DEFAULT, "prompt": PROMPT, "max_tokens": 8, "temperature": 0, **fields}
    )


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    messages = [{"role": "user", "content": "Name a colour."}]
    return client.chat.completions.create(
        **{"model": DEFAULT, "messages": messages, "max_tokens": 8, "temperature": 0, **fields}
    )


def open_request(engine: Address, **fields: Any) -> socket.socket:
    """A completion asked for on a connection of its own, whose answer nobody reads yet."""
    body = json.dumps(LONG | fields).encode()
    connection = connect(engine)
    head = [
        "POST /v1/completions HTTP/1.1",
        f"Host: {host_of(engine)}",
        bearer(engine),
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
    return connection


def wait_until_idle(engine: Address) -> None:
    def idle() -> bool:
        now = stats(engine)
        return now["running"] == 0 and now["waiting"] == 0

    wait_until(idle)


def test_a_completion_has_text_usage_and_the_reason_it_ended(client: openai.OpenAI) -> None:
    answer = complete(client, prompt=STORY)
    assert answer.object == "text_completion"
    assert answer.model == DEFAULT
    assert answer.id.startswith("cmpl-")
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8


def test_a_stream_says_the_same_as_the_whole(client: openai.OpenAI) -> None:
    # Asked for the first time: what is known already comes in one event.
    fields = {"prompt": "def perimeter(breadth, depth):\n    return", "max_tokens": 16}
    events = list(complete(client, **fields, stream=True))
    whole = complete(client, **fields).choices[0]
    assert "".join(event.choices[0].text for event in events) == whole.text
    assert [e.choices[0].finish_reason for e in events if e.choices[0].finish_reason] == [
        whole.finish_reason
    ]
    assert len({event.id for event in events}) == 1
    assert len(events) > 2


def test_usage_in_a_stream_comes_last_and_only_if_asked_for(client: openai.OpenAI) -> None:
    asked = {"prompt": STORY, "stream": True, "stream_options": {"include_usage": True}}
    events = list(complete(client, **asked))
    assert events[-1].choices == []
    assert events[-1].usage.completion_tokens == 8
    assert all(event.usage is None for event in events[:-1])
    assert all(event.usage is None for event in complete(client, stream=True))


def test_usage_comes_with_every_piece_for_a_client_that_may_stop_early(
    client: openai.OpenAI,
) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    # Asked for the first time: what is known already comes in one event.
    prompt = STORY.replace("dragon", "lighthouse")
    events = list(
        complete(client, prompt=prompt, stream=True, extra_body={"stream_options": options})
    )
    counts = [event.usage.completion_tokens for event in events]
    assert counts == sorted(counts)
    assert 1 <= counts[0] < counts[-1] <= 8


def test_a_stream_ends_with_done(engine: Address) -> None:
    reply = post(
        engine,
        "/v1/completions",
        json.dumps(LONG | {"max_tokens": 2}).encode(),
        "Connection: close",
    )
    assert "content-type: text/event-stream" in reply.head.lower()
    assert b"data: [DONE]\n\n" in reply.body


def test_the_same_prompt_again_comes_from_the_cache(client: openai.OpenAI) -> None:
    complete(client)
    details = complete(client).usage.prompt_tokens_details
    assert details.cached_tokens > 0


def test_a_prompt_that_was_read_for_one_salt_is_new_to_all_others(client: openai.OpenAI) -> None:
    def cached(salt: str | None) -> int:
        more = {} if salt is None else {"cache_salt": salt}
        prompt = f"# salted\n{PROMPT}\n\n{PROMPT}"
        usage = complete(client, prompt=prompt, extra_body=more).usage
        assert usage.prompt_tokens > 16
        return usage.prompt_tokens_details.cached_tokens

    salts = ("ann", "bob", None)
    assert [cached(salt) for salt in salts] == [0, 0, 0]
    assert all(cached(salt) > 16 for salt in salts)


def test_a_stop_string_ends_the_answer_before_it(client: openai.OpenAI) -> None:
    answer = complete(client, stop=["("], max_tokens=16).choices[0]
    assert answer.finish_reason == "stop"
    assert "(" not in answer.text


def test_a_seed_repeats_a_sampled_answer(client: openai.OpenAI) -> None:
    def sampled(seed: int) -> str:
        return complete(client, temperature=1.5, seed=seed, max_tokens=12).choices[0].text

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(4)}) > 1


def test_token_ids_are_a_prompt_too(client: openai.OpenAI, default_model: InstalledModel) -> None:
    from completion.engine.tokenizer import Tokenizer

    tokens = Tokenizer.load(default_model.folder).encode(PROMPT)
    by_ids = complete(client, prompt=tokens)
    assert by_ids.choices[0].text == complete(client).choices[0].text
    assert by_ids.usage.prompt_tokens == len(tokens)


def test_heal_is_spelled_by_the_model_and_left_out_of_the_answer(client: openai.OpenAI) -> None:
    cut = complete(client, prompt=PROMPT.removesuffix(" return"), extra_body={"heal": " retu"})
    assert cut.choices[0].text.startswith("rn")


def test_a_chat_answers_as_the_assistant(client: openai.OpenAI) -> None:
    answer = ask(client, max_tokens=2)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    ended = answer.usage.completion_tokens < 2  # models differ in that
    assert answer.choices[0].finish_reason == ("stop" if ended else "length")


def test_a_chat_stream_opens_with_the_role_and_says_the_same(client: openai.OpenAI) -> None:
    whole = ask(client).choices[0].message.content
    deltas = [event.choices[0].delta for event in ask(client, stream=True)]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole


async def test_the_async_client_streams_too(engine: Address) -> None:
    async with openai.AsyncOpenAI(base_url=engine.url, api_key=engine.token, timeout=120) as client:
        stream = await client.completions.create(
            model=DEFAULT, prompt=PROMPT, max_tokens=4, temperature=0, stream=True
        )
        text = "".join([event.choices[0].text async for event in stream])
    assert text


def test_the_model_list_tells_what_our_clients_need(client: openai.OpenAI) -> None:
    (card,) = client.models.list().data
    assert card.id == DEFAULT
    extra = card.model_extra or {}
    assert extra["capabilities"] == CAPABILITIES
    assert extra["context_length"] == 256
    assert extra["fim_template"]
    assert client.models.retrieve(DEFAULT) == card


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'gpt-9' is not served here"):
        complete(client, model="gpt-9")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_a_wrong_token_is_an_authentication_error(engine: Address) -> None:
    with (
        openai.OpenAI(base_url=engine.url, api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_a_wrong_type_is_a_bad_request_that_names_the_field(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, temperature="hot")
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"


def test_a_prompt_longer_than_the_context_is_told_with_both_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, prompt="a b c " * 200)
    assert caught.value.code == "context_length_exceeded"
    assert "256" in caught.value.message
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=[{"role": "user", "content": "a b c " * 200}])
    assert caught.value.param == "messages"


@pytest.mark.parametrize("prompt", ["", [], [-1], [10**9]])
def test_a_prompt_the_model_cannot_read_is_a_bad_request(client: openai.OpenAI, prompt) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, prompt=prompt)
    assert caught.value.param == "prompt"


def test_an_answer_ends_where_the_context_ends(client: openai.OpenAI) -> None:
    prompt = list(range(1000, 1250))
    answer = complete(client, prompt=prompt, max_tokens=100)
    assert answer.usage.completion_tokens <= 6


def test_closing_a_stream_stops_the_model_within_two_tokens(
    client: openai.OpenAI, engine: Address
) -> None:
    wait_until_idle(engine)
    before = stats(engine)
    story = STORY.replace("dragon", "clockmaker")
    with complete(client, prompt=story, max_tokens=200, stream=True) as stream:
        next(iter(stream))
    closed = stats(engine)["generated_tokens"]
    wait_until_idle(engine)
    after = stats(engine)
    assert after["generated_tokens"] - closed <= 2
    assert after["generated_tokens"] - before["generated_tokens"] < 200
    assert after["cancelled"] == before["cancelled"] + 1


def test_hanging_up_on_a_whole_answer_stops_the_model(engine: Address) -> None:
    wait_until_idle(engine)
    before = stats(engine)
    connection = open_request(engine, stream=False, heal=digits(3))
    wait_until(lambda: stats(engine)["generated_tokens"] > before["generated_tokens"])
    connection.close()
    wait_until_idle(engine)
    after = stats(engine)
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["generated_tokens"] - before["generated_tokens"] < 200


def test_what_is_read_for_a_cancelled_request_is_counted_and_what_is_cached_is_not(
    client: openai.OpenAI, engine: Address
) -> None:
    wait_until_idle(engine)
    before = stats(engine)["read_tokens"]
    text = "# of nothing else asked here\n" + "clock = wind(clock, 31)\n" * 18
    connection = open_request(engine, prompt=text)
    wait_until(lambda: stats(engine)["read_tokens"] > before)
    connection.close()
    wait_until_idle(engine)
    cancelled = stats(engine)["read_tokens"] - before
    usage = complete(client, prompt=text, max_tokens=1).usage
    again = complete(client, prompt=text, max_tokens=1).usage
    cached = again.prompt_tokens_details.cached_tokens
    assert cached == usage.prompt_tokens - 1
    read = stats(engine)["read_tokens"] - before
    # Once in all, whoever read how much of it, and the last token each time it is asked again.
    assert usage.prompt_tokens < read <= usage.prompt_tokens + 2
    assert 0 < cancelled <= usage.prompt_tokens


def test_a_full_queue_is_429_and_hanging_up_frees_a_place(engine: Address) -> None:
    wait_until_idle(engine)
    # Spelled out digit by digit, whatever the model would say: over a second.
    running = open_request(engine, heal=digits(2))
    wait_until(lambda: stats(engine)["running"] == 1)
    waiting = [open_request(engine, max_tokens=1) for _ in range(2)]
    wait_until(lambda: stats(engine)["waiting"] == 2)
    body = json.dumps(LONG | {"max_tokens": 1, "stream": False}).encode()
    refused = post(engine, "/v1/completions", body)
    assert (refused.status, refused.error["code"]) == (429, "queue_full")
    assert "retry-after: 1" in refused.head.lower()
    waiting[0].close()

    def admitted() -> bool:
        with open_request(engine, max_tokens=1) as another:
            return read_reply_status(another) == 200

    wait_until(admitted)
    for connection in (running, waiting[1]):
        connection.close()
    wait_until_idle(engine)


def read_reply_status(connection: socket.socket) -> int:
    return int(connection.recv(65536).split(b" ")[1])


def test_many_who_hang_up_leave_nothing_behind(engine: Address) -> None:
    wait_until_idle(engine)
    for _ in range(20):
        open_request(engine).close()
    wait_until_idle(engine)
    reply = post(
        engine,
        "/v1/completions",
        json.dumps(LONG | {"max_tokens": 1}).encode(),
        "Connection: close",
    )
    assert reply.status == 200


def test_two_requests_on_one_connection_are_answered_in_order(engine: Address) -> None:
    with connect(engine) as connection:
        request = f"GET /health HTTP/1.1\r\nHost: {host_of(engine)}\r\n\r\n".encode()
        connection.sendall(request * 2)
        assert read_reply(connection).status == 200


def test_health_with_the_token_tells_process_model_and_counts(engine: Address) -> None:
    body = json.loads(get(engine, "/health", bearer(engine)).body)
    assert (body["status"], body["model"], body["pid"]) == ("ok", DEFAULT, engine.pid)
    assert body["uptime_seconds"] > 0
    assert {"requests", "running", "waiting", "read_tokens", "generated_tokens"} <= set(
        body["stats"]
    )


@pytest.fixture(scope="module")
def served(default_model: InstalledModel) -> Iterator[ServedModel]:
    """The model in this very process, for what cannot be timed from outside."""
    config = EngineConfig(threads=1, context=256, queue=2)
    model = ServedModel(DEFAULT, default_model.folder, "plain", config)
    model.load()
    assert model.status == "ok", model.error
    yield model
    model.stop()


def inside(model: ServedModel) -> httpx.AsyncClient:
    application = app.build(model)

    async def trusted(scope: Scope, receive: Any, send: Any) -> None:
        scope["state"] = {"trusted": True}
        await application(scope, receive, send)

    transport = httpx.ASGITransport(trusted)
    return httpx.AsyncClient(transport=transport, base_url="http://engine")


async def test_while_the_model_loads_requests_are_told_to_come_again(
    default_model: InstalledModel,
) -> None:
    loading = ServedModel(DEFAULT, default_model.folder, "plain", EngineConfig())
    async with inside(loading) as client:
        health = await client.get("/health")
        replies = [await client.get("/v1/models"), await client.post("/v1/completions", json=LONG)]
    assert (health.status_code, health.json()["status"]) == (503, "loading")
    for reply in replies:
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_loading")
        assert reply.headers["Retry-After"] == "1"


async def test_a_model_that_cannot_be_loaded_is_told_to_who_asks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    broken = ServedModel("broken", tmp_path, "plain", EngineConfig())
    broken.load()
    async with inside(broken) as client:
        health = await client.get("/health")
        reply = await client.post("/v1/completions", json=LONG)
    assert health.json()["status"] == "failed"
    assert reply.status_code == 503
    assert reply.json()["error"]["message"] == broken.error
    assert str(tmp_path) in broken.error


async def test_a_client_that_stops_reading_is_given_up(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.2)
    asked = asyncio.Event()
    body = json.dumps(LONG).encode()

    async def receive() -> Message:
        if asked.is_set():
            await asyncio.Event().wait()
        asked.set()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message.get("body"):
            await asyncio.Event().wait()  # the socket's buffers are full, for good

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/completions",
        "query_string": b"",
        "headers": [],
        "state": {"trusted": True},
    }
    before = served.stats()
    await app.build(served)(scope, receive, send)
    await asyncio.to_thread(wait_until, lambda: served.stats()["running"] == 0)
    after = served.stats()
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["generated_tokens"] - before["generated_tokens"] < 200


async def test_a_body_that_never_ends_is_given_up(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.05)

    async def endless():
        yield b"{"
        await asyncio.sleep(3600)

    async with inside(served) as client:
        reply = await client.post("/v1/completions", content=endless())
    assert reply.status_code == 408


async def test_stopping_ends_a_stream_with_an_error_event(default_model: InstalledModel) -> None:
    config = EngineConfig(threads=1, context=256)
    model = ServedModel(DEFAULT, default_model.folder, "plain", config)
    await asyncio.to_thread(model.load)
    async with inside(model) as client:
        answer = asyncio.create_task(client.post("/v1/completions", json=LONG))
        while not model.stats()["generated_tokens"]:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(model.stop)
        reply = await answer
        later = await client.post("/v1/completions", json=LONG)
    last = reply.text.strip().split("\n\n")[-1].removeprefix("data: ")
    assert json.loads(last)["error"]["code"] == "model_stopping"
    assert later.status_code == 503
