"""Fixtures of tests in a real VS Code.

    from tests.vscode import browser, package, vscode, workbench  # noqa: F401

A module's tests share one code-server and one Chromium; each test has a page, a folder and a file
of its own. What helps to understand a failure is kept in build/editors/failures/TEST.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.code_server import CodeServer, code_server, packed
from tests.workbench import ARTIFACTS, LONGEST_WAIT_S, Workbench

CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1100, 700


@pytest.fixture(scope="session")
def package() -> Path:
    """Our extension, packed once."""
    return packed()


@pytest.fixture(scope="module")
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
    """Chromium, which is there when code-server is."""
    with chromium() as one:
        yield one


@pytest.fixture
def workbench(
    vscode: CodeServer, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Workbench]:
    """A page of this test."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.set_default_timeout(LONGEST_WAIT_S * 1000)
    told: list[str] = []
    page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    failed_before = request.session.testsfailed
    one = Workbench(page, vscode)
    yield one
    if request.session.testsfailed > failed_before:
        keep(one, request.node.name, told)
    context.close()


def keep(workbench: Workbench, test: str, console: list[str]) -> None:
    folder = ARTIFACTS / "failures" / test
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    workbench.page.screenshot(path=folder / "page.png")
    (folder / "console.txt").write_text("\n".join(console))
    for log in workbench.server.logs():
        name = str(log.relative_to(workbench.server.folder)).replace("/", "-")
        shutil.copyfile(log, folder / name)
