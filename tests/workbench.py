"""A real VS Code on a page of Chromium: a file opened, typed into, and looked at.

    workbench.open(file, home, completion={"enabled": True})
    workbench.type("return ")
    workbench.sees_ghost("a + b")

Selectors look in the editor's part of the page alone. What is waited for is a condition, never a
time. `tests/vscode.py` has the fixtures.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import FrameLocator, Locator, Page

from tests.code_server import CodeServer
from tests.lsp_client import COMMAND, REPOSITORY, environment

ARTIFACTS = REPOSITORY / "build" / "editors"
LONGEST_WAIT_S = 120.0  # so that what never comes fails with the screen; no test is about it
EDITOR = ".part.editor .monaco-editor"
IS_SERVED = re.compile(r"Tandem off.*Model: |Model: (?!not ready)")
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

    def __init__(self, page: Page, server: CodeServer) -> None:
        self.page = page
        self.server = server
        self.file = Path()
        self._settings: dict[str, Any] = {}

    def open(self, file: Path, home: Path, **settings: Any) -> None:
        """Open a file and its folder, with `tandem lsp` of these user folders.

        `settings` are Tandem's, a section each, such as completion={"enabled": False}; those with a
        dot are VS Code's own.
        """
        self._settings = {**served_by(home), **flat(settings)}
        self.server.configure(self._settings)
        self.file = file
        self.page.goto(self.server.address(file.parent, file))
        self.page.locator(f"{EDITOR} .view-lines").first.wait_for()
        self.status().wait_for()
        self.focus()

    def set(self, **settings: Any) -> None:
        """Change settings while VS Code runs."""
        self._settings |= flat(settings)
        self.server.configure(self._settings)

    def served(self) -> None:
        """Wait until the server and its model are there; of a model that is off, the server."""
        self.until(lambda: IS_SERVED.search(self.told()), f"the model: {self.told()}")

    def tells(self, text: str) -> None:
        """Wait until the status says something, as a screen reader reads it."""
        self.until(lambda: text in self.told(), f"{text} in the status: {self.told()}")

    def told(self) -> str:
        return self.status().get_attribute("aria-label") or ""

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
        """One of our commands by its title, from the palette."""
        self.press("F1")
        self.page.locator(QUICK_INPUT).fill(f">Tandem: {title}")
        rows = self.page.locator(".quick-input-list .monaco-list-row")
        rows.filter(has_text=f"Tandem: {title}").first.wait_for()
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
            assert time.monotonic() < give_up, f"never came: {what}\n{self.screen()}"
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
        return self.page.locator("footer [id$='tandem.status']")

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
        self.press("Control+s")
        self.page.locator(".part.editor .tab.active.dirty").wait_for(state="detached")
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
