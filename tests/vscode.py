"""Fixtures of tests in a real VS Code.

    from tests.vscode import browser, package, vscode, window, work, workbench  # noqa: F401

All tests share one code-server, a module's tests one Chromium and one page; each test has user
folders, a language server and a folder of files of its own. A test that fails leaves its page to
nobody, and what helps to understand it in build/editors/failures/TEST.
"""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect, sync_playwright

from tests.code_server import CodeServer, code_server, packed
from tests.shared import FAILED
from tests.workbench import ARTIFACTS, LONGEST_WAIT_S, Workbench

CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1000, 600
LOG_LINES = 40  # of the extension's log, told with a failure
Alone = Callable[..., Workbench]
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def package() -> Path:
    """Our extension, packed once."""
    return packed()


@pytest.fixture(scope="session")
def vscode(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeServer]:
    with code_server(tmp_path_factory.mktemp("code-server"), package) as server:
        yield server


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser(vscode: CodeServer) -> Iterator[Browser]:
    """Chromium, which is there when code-server is. Asynchronous tests of other modules could not
    run beside its driver."""
    with chromium() as one:
        yield one


class Window:
    """A page of a folder, or of a workspace's file; another one after it was closed."""

    def __init__(self, server: CodeServer, browser: Browser, folder: Path, **payload: str) -> None:
        self.folder = folder
        self._payload = payload
        self._server = server
        self._browser = browser
        self._one: Workbench | None = None
        self._console: list[str] = []

    def workbench(self) -> Workbench:
        if self._one is None:
            self._one = opened(self._browser, self._server, self.folder, **self._payload)
            self._one.page.on("console", lambda told: self._console.append(told.text))
        return self._one

    def close(self) -> None:
        if self._one is not None:
            self._one.page.context.close()
        self._one = None
        self._console.clear()

    def keep(self, test: str) -> None:
        """Keep what a failed test saw, and print the end of the extension's log."""
        folder = ARTIFACTS / "failures" / test
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "console.txt").write_text("\n".join(self._console))
        for log in self._server.logs():
            name = str(log.relative_to(self._server.folder)).replace("/", "-")
            shutil.copyfile(log, folder / name)
        try:
            self.workbench().page.screenshot(path=folder / "page.png", timeout=10_000)
        except Error as error:
            print(f"no picture: {error}")
        own = max(self._server.logs(), key=lambda log: ("Tandem" in log.name, log.stat().st_mtime))
        lines = own.read_text(errors="replace").splitlines()[-LOG_LINES:]
        print(f"kept in {folder}; the end of {own.name}:", *lines, sep="\n")


def opened(browser: Browser, server: CodeServer, folder: Path, **payload: str) -> Workbench:
    """A new page, empty until it is started; `payload` is for `CodeServer.address`."""
    page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}).new_page()
    page.set_default_timeout(LONGEST_WAIT_S * 1000)
    expect.set_options(timeout=LONGEST_WAIT_S * 1000)
    return Workbench(page, server, folder, **payload)


@pytest.fixture(scope="module")
def window(
    vscode: CodeServer, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Window]:
    one = Window(vscode, browser, tmp_path_factory.mktemp("window"))
    yield one
    one.close()


@pytest.fixture
def work(window: Window) -> Iterator[Path]:
    """A folder for files of this test's own, in the folder that the page has open."""
    folder = window.folder / f"work-{next(numbers)}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def workbench(window: Window, work: Path, request: pytest.FixtureRequest) -> Iterator[Workbench]:
    """VS Code without an open file."""
    yield window.workbench()
    if request.node.stash.get(FAILED, False):
        window.keep(request.node.name)
        window.close()
        return
    try:
        window.workbench().tidy()
    except Error as error:
        print(f"not tidied, so the next test has a new page: {error}")
        window.close()


@pytest.fixture
def alone(vscode: CodeServer, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Alone]:
    """Starts a page of this test alone: of another folder, or of another server."""
    windows: list[Window] = []

    def start(folder: Path, server: CodeServer = vscode, **payload: str) -> Workbench:
        windows.append(Window(server, browser, folder, **payload))
        return windows[-1].workbench()

    yield start
    for one in windows:
        if request.node.stash.get(FAILED, False):
            one.keep(request.node.name)
        one.close()
