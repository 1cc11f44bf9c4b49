"""A gateway gives a team's adapters to replicas behind Ray Serve: all of them have each."""

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from completion import lora, signing
from tests import gateways, team
from tests.gateways import backend
from tests.lsp_client import use_folders
from tests.ray_server import TWO, RayServer, ray_server
from tests.team import NAME, Team
from tests.tiny_adapters import Store
from tests.wire import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

PROMPTS = [f"def load_{n}(path):\n    return " for n in range(12)]


@dataclass(frozen=True)
class Shared:
    team: Team
    server: RayServer

    def load(self, name: str, folder: Path) -> httpx.Response:
        """As somebody with Ray's token, without the gateway."""
        with self.server.client() as client:
            body = {"lora_name": name, "lora_path": str(folder)}
            return client.post("load_lora_adapter", json=body)

    def unload(self, name: str) -> httpx.Response:
        with self.server.client() as client:
            return client.post("unload_lora_adapter", json={"lora_name": name})

    def version(self) -> Path:
        """The folder of what is in use."""
        told = self.team.rows()[0]["in_use"]["version"]
        return self.team.shelves / self.team.identity / told

    def names(self) -> set[str]:
        """What a replica says that it has; which one, is Ray's choice."""
        with self.server.client() as client:
            return {row["id"] for row in client.get("models").json()["data"]}

    def everywhere(self, name: str) -> list[str]:
        """Texts of prompts that go to either replica."""
        answers = [self.server.ask(prompt, name) for prompt in PROMPTS]
        assert {answer.status_code for answer in answers} == {200}
        return [answer.json()["choices"][0]["text"] for answer in answers]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    root = tmp_path_factory.mktemp("ray-team")
    dev, gate = root / "dev", root / "gateway"
    shelves = gate / "state" / "gateway" / "adapters"
    shelves.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, dev)
        store = Store()
        source = team.repository(root / "work" / "app")
        lent = f'[adapters]\nadapter_folder = "{shelves}"\nmost_rank = 4\n'
        with ray_server(dev, TWO + lent) as server:
            token = dev / "state" / "engine" / "token"
            rows = [backend("ray", server.url, models=["tiny"], token_file=str(token))]
            settings = {"adapters.signers.dev": signing.own_key(), "adapters.mb_each": 1}
            with gateways.gateway(gate, rows, team.USERS, **settings) as running:
                made = Team(dev, store, source, server, running, itertools.count())  # pyright: ignore
                wait_until(made.base_answers())
                yield Shared(made, server)


def test_a_pushed_adapter_answers_at_all_replicas_and_the_base_as_before(shared: Shared) -> None:
    before = shared.everywhere("tiny")
    answer = shared.team.push()
    assert answer.status_code == 200, answer.text
    assert answer.json()["servers"] == {"ray": "loaded"}
    assert NAME in shared.team.models()
    served = f"{NAME}.{shared.version().name}"
    for _ in range(6):
        assert {"tiny", served} <= shared.names()
    assert shared.everywhere(served) != before
    assert shared.everywhere("tiny") == before
    assert shared.team.text(NAME) != shared.team.text("tiny")


def test_a_new_version_goes_before(shared: Shared) -> None:
    old = shared.team.text(NAME)
    assert shared.team.push().status_code == 200
    assert shared.team.text(NAME) != old


def test_a_replica_that_is_started_later_has_it_too(shared: Shared) -> None:
    served = f"{NAME}.{shared.version().name}"
    wanted = shared.everywhere(served)
    before = shared.server.replicas()
    before[0].kill()
    wait_until(lambda: len({*shared.server.replicas()} - {*before}) == 1, 120)

    def answers() -> bool:
        return all(shared.server.ask(one, served).status_code == 200 for one in PROMPTS)

    wait_until(answers, 120)
    for _ in range(2):
        assert shared.everywhere(served) == wanted


def test_what_is_damaged_or_elsewhere_is_refused_and_stops_nobody(
    shared: Shared, tmp_path: Path
) -> None:
    good = shared.version()
    damaged = good.parent / "damaged"
    shutil.copytree(good, damaged)
    weights = damaged / lora.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(good, elsewhere)
    try:
        for folder, status in ((damaged, 409), (elsewhere, 404), (Path("/etc"), 404)):
            answer = shared.load("other", folder)
            assert answer.status_code == status, answer.text
            assert str(shared.team.shelves) not in answer.text
        assert shared.load("tiny", good).status_code == 409
        assert shared.load(f"{NAME}.{good.name}", damaged).status_code == 409
        assert shared.load("no/name", good).status_code in (400, 409)
        assert "other" not in shared.names()
        assert shared.team.text(NAME)
    finally:
        shutil.rmtree(damaged)


def test_what_is_unloaded_is_gone_everywhere_and_may_come_again(shared: Shared) -> None:
    """Under a name of which the gateway, which would load it again, knows nothing."""
    good, mine = shared.version(), shared.team.shelves / "mine"
    shutil.copytree(good, mine)
    told = json.loads((mine / "tandem.json").read_text())
    (mine / "tandem.json").write_text(json.dumps({**told, "name": "mine"}))
    assert shared.server.ask("a", "mine").status_code == 404
    for _ in range(2):
        assert [shared.load("mine", mine).status_code for _ in range(2)] == [200, 200]
        assert shared.everywhere("mine") == shared.everywhere(f"{NAME}.{good.name}")
        assert shared.unload("mine").status_code == 200
        assert {shared.server.ask(one, "mine").status_code for one in PROMPTS} == {404}
        assert shared.unload("mine").status_code == 404
    shutil.rmtree(mine)


def test_who_has_no_token_loads_nothing(shared: Shared) -> None:
    body = {"lora_name": "other", "lora_path": str(shared.version())}
    for path in ("load_lora_adapter", "unload_lora_adapter"):
        answer = httpx.post(f"{shared.server.url}/{path}", json=body, trust_env=False)
        assert answer.status_code == 401
