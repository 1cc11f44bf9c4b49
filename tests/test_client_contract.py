"""The suite of the completion client against the embedded engine, alone and behind the gateway.
Against vLLM: tests/test_vllm_serves.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from completion.engine import background
from completion.engine.background import Address
from completion.models import InstalledModel
from tandem.config import Config, EngineConfig
from tests.client_contract import ClientContract, SeedContract, Served
from tests.gateways import Running, backend, gateway
from tests.lsp_client import make_home
from tests.wire import stats

MODEL = "tandem-135m"


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel
) -> Iterator[Address]:
    home = make_home(tmp_path_factory.mktemp("contract") / "home", default_model.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(home))
        config = Config(engine=EngineConfig(dtype="float32", context=1024, threads=1))
        yield background.ensure(config)
        background.stop(config)


@pytest.fixture(scope="module")
def before(engine: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    row = backend("engine", engine.url, models=[MODEL], token=engine.token)
    users = {"ann": {"scopes": ["completion", "chat", "admin"]}}
    home: Path = tmp_path_factory.mktemp("contract") / "gateway"
    with gateway(home, [row | {"fields": ["ignore_eos"]}], users, cache_mb=0) as running:
        yield running


class TestEngine(ClientContract, SeedContract):
    @pytest.fixture
    def served(self, engine: Address) -> Served:
        return Served(engine, MODEL, lambda: stats(engine)["running"])


class TestGateway(ClientContract, SeedContract):
    @pytest.fixture
    def served(self, before: Running) -> Served:
        return Served(before.address(), MODEL, lambda: before.state()["running"])
