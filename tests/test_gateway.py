"""The gateway over real HTTP, before back ends that do as they are told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from completion.client import Answer, Client, Unavailable
from tandem.errors import EngineError
from tests.gateways import ALL, Running, backend, gateway
from tests.scripted_backend import Script, scripted
from tests.wire import wait_until

ASK: dict[str, Any] = {"model": "m", "prompt": "def f(", "max_tokens": 8, "temperature": 0.5}
TALK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
TEXT = "one two three four"


@pytest.fixture
def first() -> Iterator[Script]:
    with scripted("m") as script:
        yield script


@pytest.fixture
def second() -> Iterator[Script]:
    with scripted("m") as script:
        yield script


@pytest.fixture
def pair(tmp_path: Path, first: Script, second: Script) -> Iterator[Running]:
    """Two replicas of one model, asked in turns so that a test knows whose turn it is."""
    backends = [backend("first", first.url), backend("second", second.url)]
    with gateway(tmp_path, backends, choice="round robin") as running:
        yield running


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line[5:] for line in response.text.split("\n\n") if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.strip() != "[DONE]"]


def text_of(response: httpx.Response) -> str:
    told = events(response)
    return "".join(c["text"] for event in told for c in event.get("choices", []))


def ask(running: Running, user: str = "ann", **fields: Any) -> httpx.Response:
    with running.client(user) as client:
        return client.post("completions", json=ASK | fields)


def test_a_whole_answer_and_a_stream_pass_through(pair: Running, first: Script) -> None:
    whole = ask(pair)
    assert whole.json()["choices"][0]["text"] == TEXT
    assert whole.headers["x-tandem-backend"] == "first"
    stream = ask(pair, stream=True)
    assert text_of(stream) == TEXT
    assert stream.text.endswith("data: [DONE]\n\n")
    assert stream.headers["content-type"].startswith("text/event-stream")


def test_usage_comes_only_to_who_asked_for_it_and_is_counted_for_all(pair: Running) -> None:
    assert not any(event.get("usage") for event in events(ask(pair, stream=True)))
    asked = ask(pair, stream=True, stream_options={"include_usage": True})
    assert events(asked)[-1]["usage"]["completion_tokens"] == 4
    for entry in pair.settled(2):
        assert (entry.number("prompt_tokens"), entry.number("completion_tokens")) == (100, 4)
        assert entry.number("cached_tokens") == 60


@pytest.mark.parametrize("mode", ["busy", "broken", "unready", "denied", "html", "error event"])
@pytest.mark.parametrize("stream", [True, False])
def test_what_fails_before_the_first_byte_is_asked_elsewhere(
    pair: Running, first: Script, mode: str, stream: bool
) -> None:
    first.mode = mode
    answer = ask(pair, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-tandem-backend"] == "second"
    [entry] = pair.settled(1)
    assert (entry.end, entry.backend) == ("answered", "second")
    assert entry.number("tries") == 2


def test_what_breaks_off_after_the_first_byte_ends_with_an_error_and_is_never_asked_again(
    pair: Running, first: Script, second: Script
) -> None:
    first.mode = "cut"
    answer = ask(pair, stream=True)
    assert text_of(answer) == "one two"
    assert events(answer)[-1]["error"]["code"] == "backend_lost"
    assert "[DONE]" not in answer.text
    assert second.bodies == []
    assert pair.settled(1)[0].end == "cut"


def test_a_whole_answer_that_breaks_off_is_asked_elsewhere(pair: Running, first: Script) -> None:
    first.mode = "cut"
    assert ask(pair).headers["x-tandem-backend"] == "second"


def test_a_slow_back_end_is_left_for_a_faster_one(
    tmp_path: Path, first: Script, second: Script
) -> None:
    first.mode = "slow"
    backends = [
        backend("first", first.url, first_seconds=0.2, whole_seconds=0.2),
        backend("second", second.url),
    ]
    with gateway(tmp_path, backends, choice="round robin") as running:
        for stream in (True, False):
            answer = ask(running, stream=stream)
            assert answer.headers["x-tandem-backend"] == "second", answer.text
    wait_until(lambda: first.left == 1)  # the stream that nobody waited for was cancelled


async def test_our_own_client_shows_a_cut_answer_as_an_error(pair: Running, first: Script) -> None:
    first.mode = "cut"

    pieces: list[str] = []

    async def read() -> None:
        async with Client(pair.url, pair.tokens["ann"]) as client:
            async for piece in client.complete(dict(ASK), Answer()):
                pieces.append(piece)

    with pytest.raises(EngineError, match="broke off"):
        await read()
    assert "".join(pieces) == "one two"


async def test_nobody_there_is_an_error_that_says_try_again(tmp_path: Path) -> None:
    with gateway(tmp_path, [backend("gone", "http://127.0.0.1:9/v1")]) as running:
        for _ in range(5):  # the breaker opens on the way
            answer = ask(running)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_backend")
            assert int(answer.headers["Retry-After"]) >= 1
        async with Client(running.url, running.tokens["ann"]) as client:
            with pytest.raises(Unavailable, match="Try again"):
                _ = [piece async for piece in client.complete(dict(ASK), Answer())]
        assert {entry.end for entry in running.settled(6)} == {"failed"}


def test_all_busy_is_429(pair: Running, first: Script, second: Script) -> None:
    first.mode = second.mode = "busy"
    answer = ask(pair)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "backends_busy")
    assert "Retry-After" in answer.headers


def test_what_is_wrong_with_a_request_is_told_at_once_and_blames_nobody(
    pair: Running, first: Script, second: Script
) -> None:
    first.mode = second.mode = "wrong"
    for _ in range(4):
        answer = ask(pair)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "told")
    assert len(first.bodies) == len(second.bodies) == 2
    assert {back["state"] for back in pair.state()["backends"]} == {"closed"}


def test_a_breaker_opens_and_closes_when_the_back_end_is_well_again(
    tmp_path: Path, first: Script, second: Script
) -> None:
    backends = [backend("first", first.url), backend("second", second.url)]
    with gateway(tmp_path, backends, choice="round robin", poll_seconds=600) as running:
        first.mode = "broken"
        for _ in range(8):
            assert ask(running).status_code == 200
        assert len(first.bodies) == 3
        assert running.state()["backends"][0]["state"] == "open"
        assert 'tandem_gateway_breaker{backend="first",state="open"} 1' in running.metrics()
        first.mode = "ok"
        wait_until(lambda: running.state()["backends"][0]["state"] == "half open")
        for _ in range(2):
            ask(running)
        assert running.state()["backends"][0]["state"] == "closed"
        assert len(first.bodies) > 3


def test_a_client_that_goes_is_gone_upstream_too(pair: Running, first: Script) -> None:
    first.mode = "stuck"
    with (
        pair.client() as client,
        client.stream("POST", "completions", json=ASK | {"stream": True}) as response,
    ):
        assert "one" in next(response.iter_text())
    wait_until(lambda: first.left == 1)
    [entry] = pair.settled(1)
    assert entry.end == "cancelled"
    assert entry.details["estimated"]
    wait_until(lambda: pair.state()["running"] == 0)
    assert {back["running"] for back in pair.state()["backends"]} == {0}


def test_roles_send_completions_chats_and_agents_to_their_own(
    tmp_path: Path, first: Script, second: Script
) -> None:
    with scripted("big") as big:
        backends = [
            backend("small", first.url, roles=["completion"], models=["little"]),
            backend("chats", second.url, roles=["chat"], models=["middle"]),
            backend("agents", big.url, roles=["agent"], models=["big"]),
        ]
        tool = {"type": "function", "function": {"name": "run", "parameters": {"type": "object"}}}
        with gateway(tmp_path, backends) as running, running.client() as client:
            for model in ("", "completion", "little"):
                asked = client.post("completions", json=ASK | {"model": model})
                assert asked.headers["x-tandem-backend"] == "small", asked.text
            for model in ("", "chat", "middle"):
                asked = client.post("chat/completions", json=TALK | {"model": model})
                assert asked.headers["x-tandem-backend"] == "chats"
            asked = client.post("chat/completions", json=TALK | {"model": "", "tools": [tool]})
            assert asked.headers["x-tandem-backend"] == "agents"
            for wrong in ("chat", "middle", "unheard-of"):
                asked = client.post("completions", json=ASK | {"model": wrong})
                assert (asked.status_code, asked.json()["error"]["code"]) == (
                    404,
                    "model_not_found",
                )
            listed = [row["id"] for row in client.get("models").json()["data"]]
            assert listed == ["little", "middle", "big"]
    assert {body["model"] for body in first.bodies} == {"little"}


def test_another_model_stands_in_for_chats_but_not_for_completions(
    tmp_path: Path, first: Script, second: Script
) -> None:
    first.mode = "broken"
    backends = [
        backend("large", first.url, models=["large"]),
        backend("small", second.url, models=["small"], stands_in_for=["large"]),
    ]
    with gateway(tmp_path, backends) as running, running.client() as client:
        talk = TALK | {"model": "large", "temperature": 0}
        answer = client.post("chat/completions", json=talk)
        assert answer.headers["x-tandem-backend"] == "small"
        assert answer.json()["model"] == "small"
        assert client.post("completions", json=ASK | {"model": "large"}).status_code == 503
        # What it said in the other's place is not remembered as the other's.
        first.mode = "ok"
        wait_until(
            lambda: (
                client.post("chat/completions", json=talk).headers["x-tandem-backend"] == "large"
            )
        )
        assert running.settled(1)[0].details["stands_in"]


def test_requests_of_one_document_go_to_one_replica_and_documents_spread(
    tmp_path: Path, first: Script, second: Script
) -> None:
    backends = [backend("first", first.url), backend("second", second.url)]
    with gateway(tmp_path, backends) as running:
        places = []
        for number in range(16):
            names = {
                ask(
                    running, prompt=f"{'x' * key} of {number}", tandem={"document": f"f{number}.py"}
                ).headers["x-tandem-backend"]
                for key in range(3)
            }
            assert len(names) == 1
            places += names
        assert {*places} == {"first", "second"}


def test_a_repeated_deterministic_request_is_answered_from_the_cache(
    pair: Running, first: Script, second: Script
) -> None:
    for stream in (True, False):
        once = ask(pair, temperature=0, stream=stream)
        again = ask(pair, temperature=0, stream=stream)
        assert again.headers["x-tandem-cache"] == "hit"
        assert again.content == once.content
        assert again.headers["content-type"] == once.headers["content-type"]
    assert len(first.bodies) + len(second.bodies) == 2
    hits = [entry for entry in pair.settled(4) if entry.cache_hit]
    assert len(hits) == 2
    assert 'cache_lookups_total{result="hit"} 2' in pair.metrics()
    # Who steers nothing but the turn asks the same.
    assert "x-tandem-cache" in ask(pair, temperature=0, tandem={"document": "a"}).headers


@pytest.mark.parametrize("fields", [{}, {"temperature": 0, "n": 2}, {"temperature": None}])
def test_what_may_differ_next_time_is_asked_again(
    pair: Running, first: Script, second: Script, fields: dict[str, Any]
) -> None:
    for _ in range(2):
        assert "x-tandem-cache" not in ask(pair, **fields).headers
    assert len(first.bodies) + len(second.bodies) == 2


def test_what_broke_off_is_not_remembered(pair: Running, first: Script) -> None:
    first.mode = "cut"
    assert text_of(ask(pair, temperature=0, stream=True)) == "one two"
    assert text_of(ask(pair, temperature=0, stream=True)) == TEXT


def test_quotas_refuse_and_say_when_to_come_back(tmp_path: Path, first: Script) -> None:
    users = {
        "hasty": {"scopes": ALL, "requests_per_minute": 2},
        "frugal": {"scopes": ALL, "tokens_per_day": 150},
    }
    with gateway(tmp_path, [backend("first", first.url)], users) as running:
        assert [ask(running, "hasty").status_code for _ in range(3)] == [200, 200, 429]
        refused = ask(running, "hasty")
        assert refused.json()["error"]["code"] == "rate_limit"
        assert 0 < int(refused.headers["Retry-After"]) <= 30
        assert ask(running, "frugal").status_code == 200  # takes 104
        refused = ask(running, "frugal", max_tokens=100)
        assert refused.json()["error"]["code"] == "quota_exceeded"
    # A restart gives nobody a second day.
    with gateway(tmp_path, [backend("first", first.url)], users) as running:
        assert running.state("frugal")["tokens_today"]["frugal"] == 104
        assert ask(running, "frugal", max_tokens=100).status_code == 429


def test_the_log_and_the_metrics_hold_nothing_of_what_was_said(
    pair: Running, first: Script, second: Script
) -> None:
    first.text = second.text = "zebra-answer"
    ask(pair, prompt="giraffe-prompt", tandem={"document": "/home/ann/okapi.py"})
    ask(pair, prompt="giraffe-prompt", model="gnu-model")
    pair.settled(2)
    kept = (pair.home / "state" / "gateway" / "requests.jsonl").read_text()
    for text in (kept, pair.metrics(), (pair.home / "gateway.err").read_text()):
        for said in ("zebra", "giraffe", "okapi", "gnu-model", *pair.tokens.values()):
            assert said not in text


def test_a_stopping_gateway_ends_streams_with_an_error_event(pair: Running, first: Script) -> None:
    first.mode = "stuck"
    with (
        pair.client() as client,
        client.stream("POST", "completions", json=ASK | {"stream": True}) as response,
    ):
        pieces = response.iter_text()
        text = next(pieces)
        pair.process.terminate()
        text += "".join(pieces)
    assert '"gateway_stopping"' in text
    assert pair.process.wait(20) == 0


def test_costs_are_written_and_added_up(tmp_path: Path, first: Script) -> None:
    priced = backend("first", first.url, price_in=10.0, price_out=100.0)
    with gateway(tmp_path, [priced], currency="EUR") as running:
        for _ in range(2):
            ask(running, temperature=0)
        once, again = running.settled(2)
    assert once.number("cost") == pytest.approx((100 * 10 + 4 * 100) / 1e6)
    assert again.number("cost") == 0
    assert again.number("saved") == once.number("cost")
