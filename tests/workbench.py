"""A real VS Code on a page of Chromium: a file opened, typed into, and looked at.

    workbench.open(file, home, completion={"enabled": True})
    workbench.type("return ")
    workbench.sees_ghost("a + b")
    workbench.tidy()

A page takes VS Code many seconds of a core, so that one serves many tests: with other user folders
the extension starts another language server in it. Selectors look in the editor's part of the page
alone. What is waited for is a condition, never a time. `tests/vscode.py` has the fixtures.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import FrameLocator, Locator, Page

from tests.code_server import TIDY_KEY, CodeServer
from tests.lsp_client import COMMAND, REPOSITORY, environment

ARTIFACTS = REPOSITORY / "build" / "editors"
LONGEST_WAIT_S = 60.0  # so that what never comes fails with the screen; no test is about it
LONGEST_TIDYING_S = 20.0
SAVING_S = 3.0  # then the key is pressed again
EDITOR = ".part.editor .monaco-editor"
IS_SERVED = re.compile(r"Tandem off.*Model: |Model: (?!not ready)")
STATUS = "footer [id$='tandem.status']"
STATUS_LABEL = "item => document.querySelector(item)?.getAttribute('aria-label') ?? ''"
QUICK_INPUT = ".quick-input-widget .quick-input-box input"
# What is drawn, from top to bottom; VS Code draws spaces as no-break spaces. The further lines of
# ghost text lie between the others, in a zone of their own.
SCREEN = r"""selector => {
  const editor = [...document.querySelectorAll(selector)].at(-1)
  if (!editor) return ''
  const rows = [...editor.querySelectorAll('.view-lines > .view-line, .view-zones .view-line')]
  const top = row => row.getBoundingClientRect().top
  return rows.sort((a, b) => top(a) - top(b)).map(row => row.textContent)
    .join('\n').replaceAll('\u00a0', ' ')
}"""
GHOST = r"""selector => {
  const editor = [...document.querySelectorAll(selector)].at(-1)
  if (!editor) return ''
  const parts = all => [...editor.querySelectorAll(all)].map(part => part.textContent)
  const first = parts('.view-lines [class*=ghost-text-decoration]').join('')
  return [first, ...parts('.view-zones .suggest-preview-text .view-line')]
    .join('\n').replaceAll('\u00a0', ' ')
}"""


class Workbench:
    """One page with one workspace."""

    def __init__(self, page: Page, server: CodeServer, folder: Path, **payload: str) -> None:
        """`folder` is what the page has open: a folder, or a workspace's file."""
        self.page = page
        self.server = server
        self._address = server.address(folder, **payload)
        self.file = Path()
        self._home = Path()
        self._settings: dict[str, Any] = {}

    def open(self, file: Path, home: Path, **settings: Any) -> None:
        """Open a file, with `tandem lsp` of these user folders.

        `settings` are Tandem's, a section each, such as completion={"enabled": False}; those with a
        dot are VS Code's own.
        """
        self.start(home, **settings)
        self.status().wait_for()
        self.until(self.language_servers, "the server of these user folders")
        self.show(file)

    def start(self, home: Path, **settings: Any) -> None:
        """Give the settings, but open no file."""
        self._home = home
        self._settings = {**served_by(home), **flat(settings)}
        self.server.configure(self._settings)
        self.load()

    def load(self) -> None:
        """Have VS Code in the page, if it is empty."""
        if self.page.url == "about:blank":
            self.page.goto(self._address)

    def show(self, file: Path) -> None:
        """Open another file, and type there from now on."""
        self.server.show(file)
        self.file = file
        editor = f"{EDITOR}[data-uri={json.dumps(self.server.uri(file))}]"
        self.page.locator(f"{editor} .view-line").first.wait_for()
        self.focus()

    def tidy(self) -> None:
        """Leave the page as it was opened: no editor, no panel, no message."""
        self.press("Escape", TIDY_KEY)
        unsaved = self.page.get_by_role("button", name="Don't Save")
        empty = self.page.locator(".part.editor .editor-group-container.empty")
        unsaved.or_(empty).first.wait_for(timeout=LONGEST_TIDYING_S * 1000)
        if unsaved.is_visible():
            unsaved.click()
            empty.wait_for(timeout=LONGEST_TIDYING_S * 1000)

    def language_servers(self) -> list[psutil.Process]:
        """Those of these user folders."""
        found = []
        for one in self.server.processes("lsp"):
            try:
                if one.environ().get("TANDEM_HOME") == str(self._home):
                    found.append(one)
            except psutil.Error:  # it has just ended
                continue
        return found

    def set(self, **settings: Any) -> None:
        """Change settings while VS Code runs."""
        self._settings |= flat(settings)
        self.server.configure(self._settings)

    def served(self) -> None:
        """Wait until the server and its model are there; of a model that is off, the server."""
        self.until(lambda: IS_SERVED.search(self.told()), "the model")

    def tells(self, text: str) -> None:
        """Wait until the status says something, as a screen reader reads it."""
        self.until(lambda: text in self.told(), f"{text} in the status")

    def told(self) -> str:
        """What the status says; "" while it is not there."""
        return self.page.evaluate(STATUS_LABEL, STATUS)

    def focus(self) -> None:
        self.page.locator(f"{EDITOR} .view-lines").last.click()

    def go_to(self, line: int, column: int = 1) -> None:
        """Put the cursor there, both counted from 1."""
        self.press("Control+g")
        self.answer(f":{line}:{column}")
        self.page.locator(QUICK_INPUT).wait_for(state="hidden")

    def type(self, text: str) -> None:
        """Key by key, as fast as the page takes them."""
        self.page.keyboard.type(text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def run(self, title: str) -> None:
        """One of our commands by its title."""
        self.command(f"Tandem: {title}")

    def command(self, title: str) -> None:
        """A command by its title, from the palette."""
        self.press("F1")
        self.page.locator(QUICK_INPUT).fill(f">{title}")
        rows = self.page.locator(".quick-input-list .monaco-list-row")
        rows.filter(has_text=title).first.wait_for()
        self.press("Enter")

    def answer(self, text: str) -> None:
        """Type into the box that asks for something, over what it holds."""
        self.page.locator(QUICK_INPUT).fill(text)
        self.press("Enter")

    def screen(self) -> str:
        """The lines of the editor with ghost text in them, as they are drawn."""
        return self.page.evaluate(SCREEN, EDITOR)

    def ghost(self) -> str:
        """The ghost text alone."""
        return self.page.evaluate(GHOST, EDITOR)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until something is so."""
        give_up = time.monotonic() + LONGEST_WAIT_S
        while not condition():
            if time.monotonic() > give_up:
                raise AssertionError(f"never came: {what}\n{self.told()}\n{self.screen()}")
            self.page.wait_for_timeout(30)

    def sees(self, text: str) -> None:
        """Wait until a text is in the editor, ghost text included."""
        self.until(lambda: text in self.screen(), text)

    def sees_ghost(self, text: str) -> None:
        self.until(lambda: self.ghost() == text, f"the ghost text {text!r}")

    def sees_no_ghost(self) -> None:
        self.until(lambda: self.ghost() == "", "no ghost text")

    def status(self) -> Locator:
        """Our item in the status bar."""
        return self.page.locator(STATUS)

    def panel(self) -> FrameLocator:
        """What our panel shows: a frame of VS Code's, and in it the frame with our page."""
        outer = self.page.frame_locator("iframe.webview.ready")
        return outer.frame_locator("iframe#active-frame")

    def answered(self, text: str, state: str = "done") -> None:
        """Wait until the panel is in a state and its answer holds a text."""
        answer = self.panel().locator(f"main#answer[data-state={state}]")
        answer.filter(has_text=text).wait_for()

    def tab(self, title: str) -> Locator:
        """An editor's tab by its title."""
        return self.page.locator(".part.editor .tab").filter(has_text=title)

    def notification(self, text: str) -> Locator:
        return self.page.locator(".notification-toast").filter(has_text=text)

    def saved(self) -> str:
        """Save the file; what is on disk when the editor says that it is."""
        before = self.file.stat().st_mtime_ns
        changed = self.page.locator(".part.editor .tab.active.dirty")

        def is_saved() -> bool:
            return self.file.stat().st_mtime_ns != before and changed.count() == 0

        def saves() -> bool:
            # VS Code writes also what has not changed, but not twice while it writes. An edit that
            # it makes meanwhile leaves the file changed again.
            self.press("Control+s")
            again = time.monotonic() + SAVING_S
            while not is_saved() and time.monotonic() < again:
                self.page.wait_for_timeout(30)
            return is_saved()

        self.until(saves, "a file without changes")
        return self.file.read_bytes().decode()

    def picture(self, name: str) -> Path:
        """Kept as an artifact of the build."""
        file = ARTIFACTS / "pictures" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)
        return file


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
        if "." in name:
            told[name] = value
        elif isinstance(value, Mapping):
            told |= {f"tandem.{name}.{key}": one for key, one in value.items()}
        else:
            told[f"tandem.{name}"] = value
    return told
