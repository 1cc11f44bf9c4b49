"""Tenants behind one embedded engine: what they share, and whose request makes room for whose.

The engine's model is tiny but its context is long, and without guesses ahead an answer that fills
it takes many seconds: whoever leaves, or is superseded, does so in the middle of it.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateways import Running, backend, gateway
from tests.lsp_client import use_folders
from tests.replicas import Replica, replicas
from tests.tiny_adapters import Store
from tests.wire import stats, wait_until

PROMPT = "def tiny(model):\n    return model.settings\n\n\nclass Config:\n    name = "
SHORT: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 4}
# Nearly greedy: the gateway keeps no such answer.
SHORT["temperature"] = 0.0005
LONG = SHORT | {"max_tokens": 16_000, "stream": True}
ENGINE = {"threads": "1", "context": "16384", "dtype": "float32", "speculation": "false"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    home = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, home)
        Store(context=16_384)
    with replicas(home, "tiny", 1, **ENGINE) as (found,):
        yield found


@pytest.fixture(scope="module")
def shared(engine: Replica, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    row = backend("engine", engine.url, models=["tiny"], token_file=str(engine.token_file))
    users = {name: {"scopes": ["completion", "chat"]} for name in ("ann", "bob")}
    users["admin"] = {"scopes": ["admin"]}
    with gateway(tmp_path_factory.mktemp("gateway"), [row], users) as found:
        yield found


@pytest.fixture
def running(shared: Running, engine: Replica) -> Iterator[Running]:
    yield shared
    wait_until(lambda: stats(engine.address)["running"] == 0)


def count(engine: Replica, name: str) -> float:
    return stats(engine.address)[name]


def events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def test_a_prompt_that_one_tenant_asked_is_new_to_the_other(running: Running) -> None:
    def cached(user: str) -> int:
        with running.client(user) as client:
            usage = client.post("completions", json=SHORT).json()["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"]

    assert [cached(user) for user in ("ann", "bob")] == [0, 0]
    assert all(cached(user) > 16 for user in ("ann", "bob"))


def test_who_leaves_in_mid_stream_frees_the_engine(running: Running, engine: Replica) -> None:
    before = count(engine, "cancelled")
    with running.client() as client, client.stream("POST", "completions", json=LONG) as response:
        told = events(response)
        assert next(told)["choices"]
        assert count(engine, "running") == 1
    wait_until(lambda: count(engine, "running") == 0)
    assert count(engine, "cancelled") == before + 1
    wait_until(lambda: any(entry.end == "cancelled" for entry in running.entries()))
    wait_until(lambda: running.state("admin")["running"] == 0)


def test_who_hangs_up_on_a_whole_answer_frees_the_engine(running: Running, engine: Replica) -> None:
    before = count(engine, "cancelled")
    with running.client() as client, pytest.raises(httpx.ReadTimeout):
        client.post("completions", json=LONG | {"stream": False}, timeout=1)
    wait_until(lambda: count(engine, "running") == count(engine, "waiting") == 0)
    assert count(engine, "cancelled") == before + 1


def test_a_newer_request_of_a_document_takes_the_older_ones_place(
    running: Running, engine: Replica
) -> None:
    def body(prompt: str, **more: Any) -> dict[str, Any]:
        return {**LONG, "prompt": prompt, "tandem": {"document": "app.py"}, **more}

    superseded, cancelled = count(engine, "superseded"), count(engine, "cancelled")
    with (
        running.client("ann") as first,
        running.client("ann") as second,
        running.client("bob") as third,
        first.stream("POST", "completions", json=body("def older(")) as older,
        third.stream("POST", "completions", json=body("def theirs(")) as theirs,
    ):
        told, others = events(older), events(theirs)
        assert next(told)["choices"]
        assert next(others)["choices"]
        newer = body("import newer", stream=False, max_tokens=2)
        assert second.post("completions", json=newer).json()["usage"]["completion_tokens"] == 2
        assert [*told][-1]["error"]["code"] == "superseded"
        # Another tenant's file of that name is another file.
        assert next(others)["choices"]
        assert count(engine, "superseded") == superseded + 1
        assert count(engine, "running") == 1
    wait_until(lambda: count(engine, "cancelled") == cancelled + 1)
    ended = {entry.end for entry in running.settled(8) if entry.user == "ann"}
    assert ended == {"answered", "cancelled"}
