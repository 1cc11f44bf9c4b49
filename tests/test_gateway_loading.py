"""A gateway's adapters come and go at a real engine: versions, restarts, damage."""

import json
from collections.abc import Iterator

import pytest

from completion import lora, signing
from gateway import config, loading
from gateway.adapter_store import Store
from gateway.backend import Backend
from gateway.loading import Loading
from tests import team
from tests.team import NAME, Team
from tests.wire import bearer, get, wait_until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team.team(tmp_path_factory.mktemp("team")) as made:
        assert made.push().status_code == 200
        yield made


def test_a_new_version_is_used_and_a_replayed_rollback_counts_once(shared: Team) -> None:
    first, before = shared.text(NAME), shared.rows()[0]["in_use"]["signed_ms"]
    assert shared.push().status_code == 200
    now = shared.rows()[0]["in_use"]["signed_ms"]
    assert now > before
    assert shared.text(NAME) != first
    text = json.dumps({"v": 1, "repository": shared.identity, "from_ms": now})
    body = json.loads(signing.sign("rollback", text).model_dump_json())
    with shared.running.client() as client:
        answers = [client.post("tandem/adapters/rollback", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert shared.text(NAME) == first


def test_an_engine_that_came_back_has_it_again(shared: Team) -> None:
    text = shared.text(NAME)
    shared.engine.kill()
    shared.engine.start()
    wait_until(shared.engine.ready)
    engine = shared.engine.address
    # Until then the gateway may not have noticed, and answers from its cache.
    wait_until(lambda: NAME in get(engine, "/v1/models", bearer(engine)).body.decode())
    wait_until(lambda: shared.ask(NAME).status_code == 200)
    assert shared.text(NAME) == text


def test_a_folder_that_is_damaged_meanwhile_is_told_and_harms_nobody(shared: Team) -> None:
    version = shared.rows()[0]["in_use"]["version"]
    file = shared.shelves / shared.identity / version / lora.WEIGHTS
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    shared.engine.kill()
    shared.engine.start()
    wait_until(shared.engine.ready)
    wait_until(lambda: "has changed" in shared.rows()[0]["servers"]["engine"])
    wait_until(shared.base_answers())
    assert shared.ask(NAME).status_code == 404
    assert NAME not in shared.models()
    file.write_bytes(good)
    assert shared.push().status_code == 200
    wait_until(lambda: shared.ask(NAME).status_code == 200)


async def test_a_version_that_nobody_uses_any_more_is_unloaded(
    shared: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once: requests under way may need it. Here without the wait."""
    before = shared.rows()[0]["in_use"]["version"]
    assert shared.push().status_code == 200
    now = shared.rows()[0]["in_use"]["version"]
    told = {"name": "engine", "url": shared.engine.url, "roles": ["chat"], "models": ["tiny"]}
    token = shared.engine.token_file
    engine = Backend(config.Backend.model_validate(told | {"token_file": token}))
    assert await engine.poll()
    keeper = Loading(Store(shared.shelves, config.Adapters()), [engine])
    await keeper.settle()
    assert {f"{NAME}.{before}", f"{NAME}.{now}"} <= {*engine.adapters()}
    monkeypatch.setattr(loading, "UNLOAD_AFTER", 0.0)
    await keeper.settle()
    assert f"{NAME}.{before}" not in engine.adapters()
    assert f"{NAME}.{now}" in engine.adapters()
    assert shared.ask(NAME).status_code == 200
