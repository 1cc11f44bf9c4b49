"""A repository as completions use it: what is read before a key asks, and what no thread is asked."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import completion.repository
from completion.document import Document
from completion.index import Index, Indexer
from completion.repository import NO_INDEX, Repository
from completion.retrieve import Retriever

BUDGET = 300
SHOP = "class Cart:\n    def add_item(self, item: str) -> None: ...\n\n    def total(self): ...\n"
APP = "from shop import Cart\n\n\ndef f(cart: Cart):\n    cart.\n"
OTHER = "from shop import Cart\n\n\ndef g():\n    x = Cart(\n"


def count(text: str) -> int:
    return len(text.split()) + text.count("(") + text.count("\n")


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    folder = tmp_path / "work"
    (folder / ".git").mkdir(parents=True)
    (folder / ".gitignore").write_text("made.py\n")
    for name, text in {"shop.py": SHOP, "app.py": APP, "other.py": OTHER, "made.py": "a"}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def repository(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """It has all the time that a busy machine needs."""
    monkeypatch.setattr(completion.repository, "WAIT_S", 60)
    Indexer(root).update()
    opened = Repository(root)
    opened._retriever = count, Retriever(opened.index, count, time_box_ms=float("inf"))
    yield opened
    opened.close()


def at_end_of(root: Path, name: str, text: str, typed: str = "") -> tuple[Document, int]:
    text = text[:-1] + typed + "\n"
    return Document(root / name, "python", text), len(text) - 1


async def test_within_a_name_no_thread_is_asked(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await repository.context(*at_end_of(repository.root, "app.py", APP), BUDGET, count)
    assert first.pieces
    looking = threading.Event()
    monkeypatch.setattr(Retriever, "context", lambda *_: looking.set())
    typed = at_end_of(repository.root, "app.py", APP, "add")
    assert (await repository.context(*typed, BUDGET, count)).pieces == first.pieces
    assert not looking.is_set()


async def test_while_another_look_up_runs_a_request_waits_for_its_turn(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader's objects are one thread's at a time."""
    here = at_end_of(repository.root, "app.py", APP)
    first = await repository.context(*here, BUDGET, count)
    began, may_end = threading.Event(), threading.Event()
    context, known = Retriever.context, Retriever.known

    def slow(self: Retriever, *arguments: object) -> object:
        began.set()
        assert may_end.wait(60)
        return context(self, *arguments)  # pyright: ignore[reportArgumentType]

    threads: list[str] = []

    def told(self: Retriever, *arguments: object) -> object:
        threads.append(threading.current_thread().name)
        return known(self, *arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Retriever, "context", slow)
    monkeypatch.setattr(Retriever, "known", told)
    there = at_end_of(repository.root, "other.py", OTHER)
    other = asyncio.create_task(repository.context(*there, BUDGET, count))
    await asyncio.to_thread(began.wait, 60)
    threads.clear()
    again = asyncio.create_task(repository.context(*here, BUDGET, count))
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(other, again)
    assert "MainThread" not in threads
    assert all(name.startswith("tandem-context") for name in threads)
    assert first.pieces


async def test_a_file_is_read_when_it_is_opened_and_its_context_is_the_same(
    repository: Repository,
) -> None:
    await repository.context(*at_end_of(repository.root, "app.py", APP), BUDGET, count)
    document, offset = at_end_of(repository.root, "other.py", OTHER)
    repository.opened(document)
    await asyncio.wrap_future(repository._reader.submit(lambda: None))  # it has had its turn
    assert repository._retriever is not None
    trees = repository._retriever[1]._trees
    assert list(trees) == ["python:app.py", "python:other.py"]
    warm = await repository.context(document, offset, BUDGET, count)
    assert trees["python:other.py"].full >= 1
    index = Index(repository.root)
    cold = Retriever(index, count, time_box_ms=float("inf")).context(document, offset, BUDGET)
    index.close()
    assert warm.pieces == cold.pieces
    assert warm.pieces


async def test_a_file_may_be_opened_before_there_is_an_index(root: Path) -> None:
    repository = Repository(root)
    document, offset = at_end_of(root, "app.py", APP)
    repository.opened(document)
    context = await repository.context(document, offset, BUDGET, count)
    assert context.left_out == {"all": NO_INDEX}
    repository.close()


def test_of_an_ignored_file_nothing_is_kept_and_it_is_asked_once(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    admits = Index.admits

    def counted(self: Index, path: str) -> bool:
        asked.append(path)
        return admits(self, path)

    monkeypatch.setattr(Index, "admits", counted)
    for name in ("app.py", "made.py"):
        file = repository.root / name
        repository.opened(Document(file, "python", "a"))
        for _ in range(3):
            repository.before_change(file, lambda: "a")
    assert asked == ["app.py", "made.py"]
    assert list(repository._texts) == ["app.py"]
    (repository.root / ".gitignore").write_text("app.py\n")
    repository.update([repository.root / ".gitignore"]).result()
    repository.before_change(repository.root / "made.py", lambda: "a")
    assert asked[2:] == ["made.py"]
    assert "made.py" in repository._texts
