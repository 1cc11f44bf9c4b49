"""A repository's memory as an editor keeps it, at a real engine with a tiny model."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from completion import memory as module
from completion.client import Answer, Client
from completion.document import Document
from completion.memory import Memory
from tests import tiny_adapters
from tests.tiny_adapters import Served

BEFORE = "def tiny(model):\n    return model.settings\n\n\nclass Config:\n    name ="
SEEN = BEFORE + ' "fixture of the engine"\n'
KEY = "AKIA" + "Q7RZ2LXW4NPC8MVT"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with tiny_adapters.served(tmp_path_factory.mktemp("memory")) as served:
        yield served


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    async with Client(served.address.url, served.address.token, 60) as client:
        yield client


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "seen.py").write_text(SEEN)
    return folder


@pytest.fixture
async def memory(root: Path, client: Client) -> AsyncIterator[Memory]:
    """Followed, and what is there sent."""
    memory = Memory(root)
    task = asyncio.create_task(memory.follow(client))
    await until(lambda: not memory.reason)
    yield memory
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(true) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def said(client: Client, memory: Memory) -> tuple[str, str]:
    """What the model goes on with, and what became of the memory."""
    told = {"memory": {"name": memory.name, "weight": 4}}
    answer = Answer()
    body = {"model": "tiny", "prompt": BEFORE, "max_tokens": 6, "temperature": 0, "tandem": told}
    text = "".join([piece async for piece in client.complete(body, answer)])
    return text, answer.usage["tandem"]["memory"]


async def says(client: Client, memory: Memory, wanted: str) -> None:
    async with asyncio.timeout(60):
        while wanted not in (await said(client, memory))[0]:
            await asyncio.sleep(0.01)


async def files(client: Client, memory: Memory) -> int:
    return await client.remember(memory.name, {})


async def test_what_the_repository_says_is_said(client: Client, memory: Memory) -> None:
    text, told = await said(client, memory)
    assert told == "used"
    assert SEEN.startswith(BEFORE + text)


async def test_it_is_asked_for_by_documents_of_its_root_only(memory: Memory, root: Path) -> None:
    inside = Document(root / "new.py", "python", "")
    assert memory.name_for(inside) == memory.name
    assert memory.name_for(Document(root.parent / "other.py", "python", "")) == ""
    assert Memory(root).name_for(inside) == ""
    assert Memory(root).name == memory.name != Memory(root / "sub").name


async def test_an_open_document_counts_as_it_is_now(
    client: Client, memory: Memory, root: Path
) -> None:
    memory.changed(root / "seen.py", lambda: BEFORE + " torch.manual_seed\n")
    await says(client, memory, "torch")
    memory.closed(root / "seen.py")
    await says(client, memory, "fixture")


async def test_a_saved_file_is_read_again_and_a_removed_one_forgotten(
    client: Client, memory: Memory, root: Path
) -> None:
    (root / "seen.py").write_text(BEFORE + " torch.manual_seed\n")
    memory.saved(root / "seen.py")
    await says(client, memory, "torch")
    (root / "seen.py").unlink()
    memory.saved(root / "seen.py")
    async with asyncio.timeout(60):
        while await files(client, memory):
            await asyncio.sleep(0.01)


async def test_a_memory_that_the_server_lost_is_sent_again(
    client: Client, memory: Memory, root: Path
) -> None:
    memory.changed(root / "open.py", lambda: "unsaved = 1\n")
    async with asyncio.timeout(60):
        while await files(client, memory) != 2:
            await asyncio.sleep(0.01)
    response = await client._http.delete(f"tandem/memory/{memory.name}")
    assert response.status_code == 200
    assert (await said(client, memory))[1] == "unknown"
    memory.lost()
    await until(lambda: not memory.reason)
    async with asyncio.timeout(60):
        while await files(client, memory) != 2:
            await asyncio.sleep(0.01)


async def test_secrets_ignored_files_and_other_folders_stay_here(
    client: Client, root: Path, tmp_path: Path
) -> None:
    (root / ".env").write_text("A=1\n")
    (root / ".gitignore").write_text("build.py\n")
    (root / "build.py").write_text("x = 1\n")
    (root / "binary.py").write_bytes(b"\xff\xfe\x00")
    (root / "key.py").write_text(f'key = "{KEY}"\n')
    sent: dict[str, str] = {}
    remember = client.remember

    async def watched(memory: str, files: dict[str, str], drop=()) -> int:
        sent.update(files)
        return await remember(memory, files, drop)

    client.remember = watched  # type: ignore[method-assign]
    memory = Memory(root)
    task = asyncio.create_task(memory.follow(client))
    await until(lambda: not memory.reason)
    for name in (".env", "build.py", "sub/id_rsa", "open.py"):
        memory.changed(root / name, lambda: f"open = '{KEY}'\r\n")
    memory.changed(tmp_path / "elsewhere.py", lambda: "x = 1\n")
    await until(lambda: "open.py" in sent)
    task.cancel()
    assert sent.keys() == {"seen.py", "key.py", "open.py"}
    assert not any(KEY in text or "\r" in text for text in sent.values())


async def test_a_server_that_is_not_there_is_tried_again(root: Path, served: Served) -> None:
    async with Client("http://127.0.0.1:9/v1", "x", 5) as nobody:
        memory = Memory(root)
        task = asyncio.create_task(memory.follow(nobody))
        await until(lambda: "cannot be reached" in memory.reason)
        assert memory.name_for(Document(root / "a.py", "python", "")) == ""
        assert not task.done()
        task.cancel()


async def test_one_that_the_server_has_no_room_for_is_given_up(root: Path, client: Client) -> None:
    (root / "large.py").write_text("x\n" * 100)

    async def full(memory: str, files: dict[str, str], drop=()) -> int:
        # As the engine refuses a memory that is too large alone: here a body that is.
        return await Client.remember(client, memory, {"a.py": "x" * 5_000_000}, drop)

    client.remember = full  # type: ignore[method-assign]
    memory = Memory(root)
    await asyncio.wait_for(memory.follow(client), 60)
    assert "larger than" in memory.reason


def test_batches_are_small_and_leave_the_largest_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    monkeypatch.setattr(module, "BATCH_BYTES", 300)
    found = [module.scan.Found(f"{n}.py", "python", 100 * n, 0) for n in range(1, 6)]
    assert list(module._batches(found)) == [["1.py", "2.py"], ["3.py"], ["4.py"]]
    texts = {str(n): "x" * 200 for n in range(5)}
    parts = list(module._parts(texts))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert {k: v for part in parts for k, v in part.items()} == texts
