"""A session, and an editor, complete a file with its repository's adapter."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from completion import activations, adapters, lora
from completion.client import Client, ServedModel, Unavailable
from completion.document import Document
from completion.session import Session
from finetune import registry
from tandem import config, trace
from tandem.config import Config
from tests import tiny_adapters
from tests.lsp_client import editors
from tests.tiny_adapters import Served, Store

CODE = "def load(path):\n    return pa"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with tiny_adapters.served(tmp_path_factory.mktemp("home")) as served:
        yield served


@pytest.fixture
def store(running: Served) -> Iterator[Store]:
    yield running.store
    for name in adapters.names():
        shutil.rmtree(adapters.folder_of(name))
    shutil.rmtree(running.store.work, ignore_errors=True)
    for file in (activations.file(), trace.paths.trace_file()):
        file.unlink(missing_ok=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / ".git").mkdir(parents=True)
    return folder


@pytest.fixture
async def session(running: Served, store: Store) -> AsyncIterator[Session]:
    session = Session(running.config, source="test")
    await session.start()
    yield session
    await session.close()


async def ask(session: Session, repository: Path, name: str = "a.py") -> dict[str, Any]:
    """The trace event of one completion in a file of the repository."""
    await session.complete(Document(repository / name, "python", CODE), len(CODE))
    return trace.read()[-1]


def answer(event: dict[str, Any]) -> str:
    return event["shown"] or event["details"]["answer"]


async def test_without_an_adapter_the_base_answers(session: Session, repository: Path) -> None:
    event = await ask(session, repository)
    assert event["model"] == "tiny"
    assert "adapter" not in event["details"]


async def test_use_and_roll_back_count_with_the_next_request(
    session: Session, store: Store, repository: Path
) -> None:
    base = await ask(session, repository)
    store.add("one", 1, repository)
    store.add("two", 2, repository)
    assert (await ask(session, repository))["model"] == "tiny"
    asked = []
    for change in (
        lambda: registry.activate("one", repository, store.base),
        lambda: registry.activate("two", repository, store.base),
        lambda: registry.roll_back(repository, store.base),
        lambda: registry.roll_back(repository, store.base),
    ):
        change()
        asked.append(await ask(session, repository))
    assert [event["model"] for event in asked] == ["one", "two", "one", "tiny"]
    assert answer(asked[0]) == answer(asked[2])
    assert answer(asked[3]) == answer(base)
    assert len({answer(event) for event in asked}) == 3


async def test_only_the_repository_s_own_files_get_its_adapter(
    session: Session, store: Store, repository: Path, tmp_path: Path
) -> None:
    store.add("one", 1, repository)
    registry.activate("one", repository, store.base)
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    assert (await ask(session, repository, "deep/down/b.py"))["model"] == "one"
    assert (await ask(session, other))["model"] == "tiny"
    assert (await ask(session, tmp_path))["model"] == "tiny"


async def test_an_adapter_that_goes_away_leaves_the_base(
    session: Session, store: Store, repository: Path
) -> None:
    store.add("one", 1, repository)
    registry.activate("one", repository, store.base)
    assert (await ask(session, repository))["model"] == "one"
    registry.remove("one")
    assert (await ask(session, repository))["model"] == "tiny"


async def test_an_adapter_that_is_not_served_is_said_in_the_trace(
    session: Session, store: Store, repository: Path
) -> None:
    store.add("one", 1, repository)
    registry.activate("one", repository, store.base)
    (adapters.folder_of("one") / "adapter_model.bin").write_bytes(b"")
    event = await ask(session, repository)
    assert event["model"] == "tiny"
    assert "one is not served" in event["details"]["adapter"]


async def test_an_adapter_that_fails_leaves_the_base_until_it_is_chosen_again(
    session: Session, store: Store, repository: Path
) -> None:
    store.add("one", 1, repository)
    registry.activate("one", repository, store.base)
    file = adapters.folder_of("one") / lora.WEIGHTS
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    first = await ask(session, repository)
    assert first["model"] == "tiny"
    assert "has changed" in first["details"]["adapter"]
    assert answer(first)
    file.write_bytes(good)
    second = await ask(session, repository)
    assert (second["model"], second["details"]["adapter"]) == (
        "tiny",
        first["details"]["adapter"],
    )
    registry.activate("one", repository, store.base)
    assert (await ask(session, repository))["model"] == "one"


async def test_the_server_is_asked_for_its_models_once_a_change(
    session: Session, store: Store, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    models = Client.models

    async def counted(client: Client) -> list[ServedModel]:
        nonlocal asked
        asked += 1
        return await models(client)

    monkeypatch.setattr(Client, "models", counted)
    store.add("one", 1, repository)
    await ask(session, repository)
    assert asked == 0
    registry.activate("one", repository, store.base)
    for _ in range(3):
        await ask(session, repository)
    assert asked == 1


async def test_a_server_that_is_gone_while_it_is_asked_is_not_the_adapter_s_fault(
    session: Session, store: Store, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add("one", 1, repository)
    registry.activate("one", repository, store.base)

    async def gone(_: Client) -> list[ServedModel]:
        raise Unavailable("It cannot be reached.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "models", gone)
        assert (await ask(session, repository))["model"] == "tiny"
    assert (await ask(session, repository))["model"] == "one"


async def test_a_server_that_lists_an_adapter_first_is_asked_for_its_base(
    running: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other servers keep another order; the default name means the model without adapter."""

    async def models(_: Client) -> list[ServedModel]:
        return [ServedModel("one", parent="tiny"), ServedModel("tiny")]

    monkeypatch.setattr(Client, "models", models)
    address = running.address
    session = Session(Config(endpoint=address.url, token=SecretStr(address.token)))
    await session.start()
    assert session.model == "tiny"
    await session.close()


async def test_parents_are_read_from_the_list(running: Served, store: Store) -> None:
    store.add("one", 1)
    async with Client(running.address.url, running.address.token) as client:
        rows = await client.models()
    assert [(row.id, row.parent) for row in rows] == [("tiny", ""), ("one", "tiny")]


async def test_an_editor_gets_the_adapter_s_text_without_a_restart(
    running: Served, store: Store, repository: Path
) -> None:
    """Over LSP: the base, then what `tandem adapters use` chose, then the base again."""
    home = Path(running.store.folder.parents[2])
    file = config.paths.user_config_file()
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        'model = "tiny"\n[completion]\nmax_tokens = 16\ntimeout_ms = 120000\n'
        '[engine]\nthreads = 1\ncontext = 256\ndtype = "float32"\n'
    )
    store.add("one", 1, repository)
    source = repository / "a.py"
    async with editors(home) as start:
        editor = await start()
        editor.open(source.as_uri(), CODE)
        for change in (
            lambda: None,
            lambda: registry.activate("one", repository, store.base),
            lambda: registry.roll_back(repository, store.base),
        ):
            change()
            await editor.inline(source.as_uri(), 1, 13)
    asked = [event for event in trace.read() if event["file"] == str(source)]
    assert [event["model"] for event in asked] == ["tiny", "one", "tiny"]
    assert answer(asked[0]) == answer(asked[2]) != answer(asked[1])


def test_one_engine_served_them_all(running: Served) -> None:
    health = httpx.get(
        running.address.url.removesuffix("/v1") + "/health",
        headers={"Authorization": f"Bearer {running.address.token}"},
        trust_env=False,
    ).json()
    assert health["pid"] == running.address.pid
    assert health["stats"]["requests"] > 0
