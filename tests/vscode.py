"""A real VS Code on a page of Chromium: opened, typed into, and looked at.

    from tests.vscode import browser, vscode, workbench  # noqa: F401

    workbench.open(folder, file, settings)
    workbench.type("return ")
    workbench.sees_ghost("a + b")

A module's tests share one code-server and one Chromium; each test has a page, a folder and a file
of its own. Selectors look in the editor's part of the page alone.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.code_server import CodeServer, code_server
from tests.lsp_client import COMMAND, REPOSITORY, environment

ARTIFACTS = REPOSITORY / "build" / "editors"
CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1100, 700
LONGEST_WAIT_MS = 60_000  # so that what never comes fails with a picture; no test is about it
EDITOR = ".part.editor .editor-instance .monaco-editor"
GHOST = ".ghost-text-decoration, .ghost-text-decoration-preview, .ghost-text"
expect.set_options(timeout=LONGEST_WAIT_MS)


class Workbench:
    """One page with one workspace."""

    def __init__(self, page: Page, server: CodeServer) -> None:
        self.page = page
        self.server = server
        self.file = Path()

    def open(self, workspace: Path, file: Path, home: Path, **settings: Any) -> None:
        """Open a file of a folder, with `tandem lsp` of these user folders.

        `settings` are Tandem's, a section each, such as completion={"enabled": False}; keys with a
        dot are VS Code's own.
        """
        self.server.configure({**served_by(home), **flat(settings)})
        self.file = file
        self.page.goto(self.server.address(workspace, file))
        self.page.locator(f"{EDITOR} .view-lines").first.wait_for()
        self.focus()

    def focus(self) -> None:
        self.page.locator(f"{EDITOR} .view-lines").last.click()

    def go_to(self, line: int, column: int) -> None:
        """Put the cursor there, both counted from 1."""
        self.press("Control+g")
        self.page.locator(".quick-input-widget input").fill(f":{line}:{column}")
        self.press("Enter")
        expect(self.page.locator(".quick-input-widget")).to_be_hidden()

    def type(self, text: str) -> None:
        """Key by key, as fast as the page takes them."""
        self.page.keyboard.type(text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def run(self, title: str) -> None:
        """A command by its title, from the palette."""
        self.press("F1")
        entry = self.page.locator(".quick-input-widget input")
        entry.fill(f">{title}")
        row = self.page.locator(".quick-input-list .monaco-list-row").filter(has_text=title)
        row.first.wait_for()
        self.press("Enter")

    def answer(self, text: str) -> None:
        """Type into the input box that asks for something."""
        box = self.page.locator(".quick-input-widget input")
        box.wait_for()
        box.fill(text)
        self.press("Enter")

    def ghost(self) -> Locator:
        return self.page.locator(EDITOR).locator(GHOST)

    def sees_ghost(self, text: str) -> None:
        expect(self.ghost().first).to_contain_text(spaced(text))

    def sees_no_ghost(self) -> None:
        expect(self.ghost()).to_have_count(0)

    def sees(self, text: str) -> None:
        """Text in the editor, ghost text included."""
        expect(self.page.locator(f"{EDITOR} .view-lines").last).to_contain_text(spaced(text))

    def status(self) -> Locator:
        return self.page.locator("footer [id*='tandem.status']")

    def notification(self, text: str) -> Locator:
        return self.page.locator(".notification-toast").filter(has_text=text)

    def saved(self) -> str:
        """Save the file; what is on disk when the editor says that it is no longer dirty."""
        self.press("Control+s")
        expect(self.page.locator(".part.editor .tab.active.dirty")).to_have_count(0)
        return self.file.read_bytes().decode()

    def picture(self, name: str) -> Path:
        """Kept as an artifact of the build."""
        file = ARTIFACTS / "pictures" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)
        return file


def spaced(text: str) -> re.Pattern[str]:
    """VS Code draws spaces as no-break spaces."""
    return re.compile(re.escape(text).replace(r"\ ", "[ \u00a0\u00b7]"))


def served_by(home: Path) -> dict[str, Any]:
    """Settings that start the server of this copy with given user folders."""
    ours = {name: value for name, value in environment(home).items() if _is_ours(name)}
    return {"tandem.command": list(COMMAND), "tandem.env": ours}


def _is_ours(name: str) -> bool:
    return name.startswith("TANDEM_") or name == "PYTHONPATH"


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{"completion": {"enabled": …}} as {"tandem.completion.enabled": …}."""
    told: dict[str, Any] = {}
    for name, value in settings.items():
        if "." in name or not isinstance(value, Mapping):
            told[name if "." in name else f"tandem.{name}"] = value
        else:
            told |= {f"tandem.{name}.{key}": one for key, one in value.items()}
    return told


@pytest.fixture(scope="module")
def vscode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeServer]:
    with code_server(tmp_path_factory.mktemp("code-server")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def workbench(
    vscode: CodeServer, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Workbench]:
    """A page of this test. If the test fails, its picture and all logs are kept."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.set_default_timeout(LONGEST_WAIT_MS)
    told: list[str] = []
    page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    failed_before = request.session.testsfailed
    one = Workbench(page, vscode)
    yield one
    if request.session.testsfailed > failed_before:
        keep(one, request.node.name, told)
    context.close()


def keep(workbench: Workbench, test: str, console: list[str]) -> None:
    """What helps to understand a failure, in build/editors/failures/TEST."""
    folder = ARTIFACTS / "failures" / test
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    workbench.page.screenshot(path=folder / "page.png")
    (folder / "console.txt").write_text("\n".join(console))
    for log in workbench.server.logs():
        name = str(log.relative_to(workbench.server.folder)).replace("/", "-")
        shutil.copyfile(log, folder / name)
