"""A gateway gives a running vLLM a team's adapters; what does not fit leaves its base alone."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from completion import adapter_package, lora, signing
from completion.adapters import Adapter, Base
from completion.models import InstalledModel
from finetune import registry
from tests import gateways, team, tiny_adapters
from tests.gateways import backend
from tests.lsp_client import make_home
from tests.team import NAME, Team
from tests.vllm_server import VLLM, vllm
from tests.wire import wait_until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3600)]

MODEL = "tandem-135m"
ROOM = 3
PROMPT = "def load(path):\n    return "  # tests/team.py's


class ShippedStore:
    """Random adapters of the shipped model, in the user's folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = Base.of(MODEL, folder)

    def add(self, name: str, seed: int, repository: Path, **told: object) -> Adapter:
        work = repository.parent / "tuned" / name
        tiny_adapters.make(work, tiny_adapters.reload(self.folder), seed, r=8, lora_alpha=32)
        return registry.register(
            work, tiny_adapters.manifest_of(name, self.base, repository, **told), self.base
        )


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel) -> Iterator[Path]:
    home = make_home(tmp_path_factory.mktemp("team") / "dev", default_model.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def shelves(dev: Path) -> Path:
    folder = dev.parent / "gateway" / "state" / "gateway" / "adapters"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def server(dev: Path, shelves: Path) -> Iterator[VLLM]:
    """It has none of its own: room for others is enough."""
    settings = 'context = 512\n[speculation]\nmethod = "off"\n[adapters]\nspare = 0\n'
    settings += f'store = false\nadapter_folder = "{shelves}"\nlent = {ROOM}\nmost_rank = 8\n'
    with vllm(dev, MODEL, settings) as running:
        yield running


@pytest.fixture(scope="module")
def shared(server: VLLM, dev: Path, shelves: Path, default_model: InstalledModel) -> Iterator[Team]:
    source = team.repository(dev.parent / "work" / "app")
    token = server.home / "state" / "engine" / "token"
    rows = [backend("vllm", server.url, models=[MODEL], token_file=str(token))]
    settings = {"adapters.signers.dev": signing.own_key(), "adapters.mb_each": 64}
    gate = shelves.parents[2]
    with gateways.gateway(gate, rows, team.USERS, **settings) as running:
        store = ShippedStore(default_model.folder)
        numbers = iter(itertools.count())
        made = Team(dev, store, source, server, running, numbers)  # pyright: ignore
        wait_until(lambda: made.ask(MODEL).status_code == 200)
        yield made


def test_a_pushed_adapter_answers_at_once_and_the_base_as_before(
    shared: Team, server: VLLM
) -> None:
    before = shared.text(MODEL)
    answer = shared.push()
    assert answer.status_code == 200, answer.text
    assert answer.json()["servers"] == {"vllm": "loaded"}
    assert NAME in shared.models()
    assert shared.text(NAME) != before
    assert shared.text(MODEL) == before == server.text(PROMPT, max_tokens=12)


def test_one_whose_rank_has_no_room_is_told_and_not_kept(shared: Team) -> None:
    """The gateway takes larger ones; this vLLM was started for rank 8."""
    in_use, base = shared.rows()[0]["in_use"], shared.text(MODEL)
    name = "large"
    work = shared.source.parent / "tuned" / name
    model = tiny_adapters.reload(shared.store.folder)
    tiny_adapters.make(work, model, 7, r=16)
    told = tiny_adapters.manifest_of(name, shared.store.base, shared.source)
    adapter = registry.register(work, told, shared.store.base)
    statement = adapter_package.state(adapter, NAME, shared.identity)
    answer = shared.send(adapter.folder, adapter_package.sign(statement))
    assert answer.status_code == 409
    assert "Its rank is 16" in answer.text
    assert shared.rows()[0]["in_use"] == in_use
    assert shared.text(MODEL) == base


@pytest.mark.parametrize("path", ["/etc", "elsewhere", "damaged"])
def test_who_has_the_token_loads_nothing_else(
    shared: Team, server: VLLM, shelves: Path, path: str
) -> None:
    version = shared.rows()[0]["in_use"]["version"]
    good = shelves / shared.identity / version
    folder = {"/etc": Path("/etc"), "elsewhere": shelves.parent / "copy"}.get(path)
    if folder is None:
        folder = shelves / shared.identity / "damaged"
    if path != "/etc":
        shutil.copytree(good, folder)
        (folder / lora.WEIGHTS).write_bytes((folder / lora.WEIGHTS).read_bytes()[:-1] + b"x")
    try:
        body = {"lora_name": "other", "lora_path": str(folder)}
        answer = server.post("/v1/load_lora_adapter", body)
        assert answer.status_code == (409 if path == "damaged" else 404), answer.text
        assert "other" not in server.get("/v1/models").text
        assert shared.text(MODEL)
    finally:
        if path != "/etc":
            shutil.rmtree(folder)


def test_a_new_version_is_used_and_what_has_no_room_leaves_the_last(shared: Team) -> None:
    """On a CPU the last slot stays empty, so that no base request gets an adapter."""
    base, texts = shared.text(MODEL), [shared.text(NAME)]
    for _ in range(ROOM - 1):
        assert shared.push().status_code == 200
        texts.append(shared.text(NAME))
    assert len({*texts}) == ROOM
    answer = shared.push()
    assert answer.status_code == 409
    assert f"takes {ROOM} adapters" in answer.text
    assert shared.text(NAME) == texts[-1]
    assert shared.text(MODEL) == base
