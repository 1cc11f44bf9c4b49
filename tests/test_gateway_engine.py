"""The gateway before real embedded engines: the same answers, adapters, and engines that die."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from benchmarks.parts import gateway_chaos, gateway_speed
from completion.choice import choose
from completion.client import Client
from completion.engine.background import Address
from tandem.config import Config
from tests.gateways import Running, backend, gateway
from tests.lsp_client import use_folders
from tests.replicas import Replica, replicas
from tests.tiny_adapters import Store
from tests.wire import stats, wait_until

PROMPT = "def tiny(model):\n    return model.settings\n\n\nclass Config:\n    name = "
BODY: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 40, "temperature": 0}
LONG = BODY | {"max_tokens": 180, "stream": True, "temperature": 1.0}
USERS = {f"team-{n}": f"team-{n}-adapter" for n in range(4)}
FREE = {"requests_per_minute": 100_000, "at_once": 300}
ENGINE = {"threads": "1", "context": "256", "dtype": "float32", "queue": "1024"}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    home = tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, home)
        store = Store()
        for number, name in enumerate(USERS.values()):
            store.add(name, number)
    with replicas(home, "tiny", 2, **ENGINE) as found:
        yield found


@pytest.fixture(scope="module")
def running(engines: list[Replica], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    users: dict[str, dict[str, Any]] = {
        user: FREE | {"scopes": ["completion", "chat", "adapters"], "adapters": [name]}
        for user, name in USERS.items()
    }
    users["ann"] = FREE | {"scopes": ["completion", "chat", "admin", "metrics"]}
    backends = [
        backend(f"engine-{n}", e.url, models=["tiny"], token_file=str(e.token_file))
        for n, e in enumerate(engines)
    ]
    with gateway(tmp_path_factory.mktemp("gateway"), backends, users) as found:
        wait_until(lambda: all(len(b["adapters"]) == 4 for b in found.state()["backends"]))
        yield found


@pytest.fixture
def awake(engines: list[Replica], running: Running) -> list[Replica]:
    """Both engines, with nothing to do, and known to be well."""
    wait_until(lambda: all(engine.ready() for engine in engines))
    wait_until(lambda: all(stats(engine.address)["running"] == 0 for engine in engines))
    wait_until(lambda: all(b["state"] != "open" for b in running.state()["backends"]))
    return engines


def asking(address: Address) -> openai.OpenAI:
    return openai.OpenAI(base_url=address.url, api_key=address.token, max_retries=0, timeout=120)


def test_openais_client_gets_the_same_text_as_from_the_engine_itself(
    running: Running, awake: list[Replica]
) -> None:
    with asking(awake[0].address) as direct, asking(running.address()) as through:
        expected = direct.completions.create(**BODY)
        got = through.completions.create(**BODY)
        assert got.choices[0].text == expected.choices[0].text
        assert got.usage == got.usage.model_copy(
            update={"completion_tokens": expected.usage.completion_tokens}
        )
        pieces = through.completions.create(**BODY, stream=True)
        assert "".join(event.choices[0].text for event in pieces) == expected.choices[0].text


async def test_our_client_finds_the_model_its_template_and_what_it_can(
    running: Running, awake: list[Replica]
) -> None:
    async with Client(running.url, running.tokens["team-1"]) as client:
        served = await client.models()
    model = choose(served, Config(endpoint=running.url))
    assert (model.id, model.template, model.context) == ("tiny", "plain", 256)
    assert {"heal", "usage", "documents"} <= model.capabilities
    assert "memory" not in model.capabilities
    assert [m.id for m in served if m.parent] == ["team-1-adapter"]


def test_each_tenant_gets_their_own_adapters_text(running: Running, awake: list[Replica]) -> None:
    prompts = gateway_chaos.PROMPTS[:3]
    texts = asyncio.run(gateway_chaos.right(awake[0].address, [*USERS.values()]))
    assert len({*texts.values()}) > len(USERS)
    for user, name in USERS.items():
        with running.client(user) as client:
            for prompt in prompts:
                answer = client.post("completions", json=gateway_chaos.body(name, prompt)).json()
                assert answer["choices"][0]["text"] == texts[name, prompt]
                assert answer["model"] == name
            other = next(one for one in USERS.values() if one != name)
            refused = client.post("completions", json=gateway_chaos.body(other, prompts[0]))
            assert refused.status_code == 404


def test_leaving_streams_leaves_nothing_running_in_the_engines(
    running: Running, awake: list[Replica]
) -> None:
    """Whether an engine was still at it when its client went is not told by so small a model;
    test_gateway.py holds that for a back end that waits."""
    for _ in range(8):
        with running.client() as client, client.stream("POST", "completions", json=LONG) as reply:
            assert next(reply.iter_raw())
    wait_until(lambda: all(stats(engine.address)["running"] == 0 for engine in awake))
    wait_until(lambda: running.state()["running"] == 0)


def test_two_hundred_streams_at_once_all_end(running: Running, awake: list[Replica]) -> None:
    body = BODY | {"max_tokens": 4, "temperature": 0.0005}
    crowd = asyncio.run(gateway_speed.at_once(running.address(), body, 200))
    assert (crowd.well, crowd.most_open) == (200, 200)
    wait_until(lambda: running.state()["running"] == 0)


def test_engines_that_are_killed_lose_no_request_and_mix_no_tenants(
    running: Running, awake: list[Replica]
) -> None:
    texts = asyncio.run(gateway_chaos.right(awake[0].address, [*USERS.values()]))
    told = asyncio.run(gateway_chaos.replay(running, USERS, texts, awake, 300, kill_every=60))
    assert told.kills > 0
    assert told.ends["wrong"] == told.ends["lost"] == told.ends["mixed"] == 0
    assert told.ends["right"] > 100
    assert sum(told.ends.values()) == 300
    assert all(message for message in told.errors)
