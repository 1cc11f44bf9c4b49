"""What the status bar's menu of a real VS Code switches, and that the language server obeys."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tandem import trace
from tests.recorder import Recorder, recording
from tests.vscode import browser, package, vscode, window, work, workbench  # noqa: F401
from tests.workbench import Workbench

pytestmark = pytest.mark.editors

GHOST = "first_number + second_number"
Open = Callable[..., Workbench]


@pytest.fixture
def model() -> Iterator[Recorder]:
    with recording({"id": "given"}, answer=f"{GHOST}\n") as server:
        yield server


@pytest.fixture
def opened(bare_home: Path, work: Path, workbench: Workbench, model: Recorder) -> Workbench:  # noqa: F811
    """VS Code with the cursor behind an unfinished `return`."""
    file = work / "work.py"
    file.write_text("def add(a, b):\n    return\n")
    workbench.open(file, bare_home, endpoint=model.url)
    workbench.served()
    workbench.go_to(2, 11)
    return workbench


def choose(one: Workbench, *words: str) -> None:
    """Open the menu by a click on the status, then choose the rows that hold these words."""
    one.status().click()
    for word in words:
        row = one.page.locator(".quick-input-list .monaco-list-row").filter(has_text=word)
        row.first.click()
    one.focus()


def silences(reason: str) -> list[dict[str, Any]]:
    return [event for event in trace.read() if event.get("reason") == reason]


def stays_silent(one: Workbench, reason: str) -> None:
    """Type a key, for which the trace then has this reason."""
    one.go_to(2, 11)
    one.type(" ")
    one.until(lambda: silences(reason), reason)
    assert one.ghost() == ""
    one.press("Backspace")


def test_a_language_is_switched_off_and_on(opened: Workbench) -> None:
    choose(opened, "Disable for python")
    opened.tells("Suggestions are off for python")
    stays_silent(opened, "disabled for this language")
    choose(opened, "Enable for python")
    opened.tells("Suggestions are on")
    opened.go_to(2, 11)
    opened.type(" ")
    opened.sees_ghost(GHOST)


def test_a_snooze_is_chosen_and_ended(opened: Workbench) -> None:
    choose(opened, "Snooze", "30 minutes")
    opened.tells("Snoozed for 30 min")
    stays_silent(opened, "snoozed")
    choose(opened, "Snooze", "Suggest again")
    opened.tells("Suggestions are on")
    opened.go_to(2, 11)
    opened.type(" ")
    opened.sees_ghost(GHOST)
