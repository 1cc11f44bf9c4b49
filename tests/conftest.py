"""Fixtures that start the real thing: the default model, and user folders of a test's own."""

import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from completion import models
from completion.engine import background
from completion.engine.background import Address
from completion.models import InstalledModel
from tandem.config import Config, EngineConfig
from tests.lsp_client import (
    StartEditor,
    editors,
    engine_stopped_after,
    make_home,
    share_packed,
    use_folders,
)
from tests.shared import FAILED, bare_home, docker_client, image, paging, proved, work  # noqa: F401

# A shell's background job, as the whole suite may be, starts with Ctrl-C ignored, and so would
# every program that it starts; many tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parent.parent
SMALL_ENGINE = Config(engine=EngineConfig(threads=1, context=256, queue=2, batch=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know whether their test failed."""
    report = yield
    if call.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def default_model(tmp_path_factory: pytest.TempPathFactory) -> InstalledModel:
    """The default model, pulled once and kept between runs in a folder that git ignores.

    It is shared by all tests: read it, never change it.
    """
    cache = os.environ.get("TANDEM_TEST_CACHE") or str(REPOSITORY / ".cache" / "test-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", cache)
        return models.pull(models.DEFAULT)


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> Iterator[None]:
    """The engine's kernels are compiled once, and not for each test's own user folders."""
    with pytest.MonkeyPatch.context() as patch:
        if "TANDEM_KERNELS" not in os.environ:
            patch.setenv("TANDEM_KERNELS", str(REPOSITORY / ".cache" / "kernels"))
        yield


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User folders of this test's own, with nothing in them."""
    home = tmp_path / "tandem-home"
    use_folders(monkeypatch, home)
    return home


@pytest.fixture
def tandem_home(empty_home: Path, default_model: InstalledModel) -> Path:
    """User folders of this test's own, with the default model installed.

    The model's files are links to the shared ones: replace them, never write into them.
    """
    folder = empty_home / "cache" / "models" / models.DEFAULT
    folder.mkdir(parents=True)
    for file in default_model.folder.iterdir():
        try:
            (folder / file.name).hardlink_to(file)
        except OSError:  # another file system
            (folder / file.name).symlink_to(file)
    share_packed(empty_home, default_model.folder)
    return empty_home


@pytest.fixture(scope="session")
def engine_home(default_model: InstalledModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """User folders of the session's engine."""
    home = tmp_path_factory.mktemp("engine-home")
    (home / "cache" / "models").mkdir(parents=True)
    (home / "cache" / "models" / models.DEFAULT).symlink_to(default_model.folder)
    share_packed(home, default_model.folder)
    return home


@pytest.fixture(scope="session")
def engine(engine_home: Path) -> Iterator[Address]:
    """A background engine of `SMALL_ENGINE` that all tests share: leave it as you found it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(engine_home))
        address = background.ensure(SMALL_ENGINE)
    yield address
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(engine_home))
        background.stop(SMALL_ENGINE)


@pytest.fixture(scope="session")
def served_home(
    tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel
) -> Iterator[Path]:
    """User folders that language servers share, so that one engine serves most tests."""
    home = make_home(tmp_path_factory.mktemp("lsp") / "home", default_model.folder)
    with engine_stopped_after(home):
        yield home


@pytest.fixture
def home(served_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANDEM_HOME", str(served_home))
    return served_home


@pytest.fixture
async def start(home: Path) -> AsyncIterator[StartEditor]:
    async with editors(home) as start_editor:
        yield start_editor


@pytest.fixture
def fresh_home(
    tmp_path: Path, default_model: InstalledModel, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """User folders of one test, with the model but without an engine."""
    home = make_home(tmp_path / "home", default_model.folder)
    monkeypatch.setenv("TANDEM_HOME", str(home))
    with engine_stopped_after(home):
        yield home


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A Python file that only an editor knows."""
    return tmp_path / "work.py"
