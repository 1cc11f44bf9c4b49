"""Ghost text in a real VS Code, with the real language server; what is read is what VS Code draws.

What the model says is given by a server of the tests, but for the first test, which has the
embedded model. What was typed and taken is read from the saved file.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tandem import trace
from tests.recorder import Recorder, recording
from tests.vscode import (  # noqa: F401
    Alone,
    alone,
    browser,
    package,
    vscode,
    window,
    work,
    workbench,
)
from tests.workbench import Workbench

pytestmark = pytest.mark.editors

CODE = "def add(a, b):\n    return\n"
GHOST = "first_number + second_number"
BODY = "    if n < 2:\n        return n\n    return fibonacci(n - 1)"
FIBONACCI = "def fibonacci(n):\n\nx = 1\n"
NAMES = "first_name = 1\nfirst_number = 2\nsecond_number = 3\n"
OFF = {"completion": {"enabled": False}}
Open = Callable[..., Workbench]


def answer(prompt: str) -> str:
    """One line after `return`, three after `def fibonacci`, else nothing."""
    if "fibonacci" in prompt:
        return "" if "return n" in prompt else f"\n{BODY}\n"
    return f"{GHOST}\n"


@pytest.fixture
def model() -> Iterator[Recorder]:
    with recording({"id": "given"}, answer=answer) as server:
        yield server


@pytest.fixture
def opened(bare_home: Path, work: Path, workbench: Workbench, model: Recorder) -> Open:  # noqa: F811
    """VS Code with a file that ends in an unfinished `return`, the cursor behind it."""

    def start(text: str = CODE, line: int = 2, column: int = 11, **settings: Any) -> Workbench:
        file = written(work, text)
        workbench.open(file, bare_home, **{"endpoint": model.url, **settings})
        workbench.served()
        workbench.go_to(line, column)
        return workbench

    return start


def written(folder: Path, text: str) -> Path:
    file = folder / "work.py"
    file.write_bytes(text.encode())
    return file


def outcomes() -> list[dict[str, Any]]:
    return [event["details"] for event in trace.read() if event["kind"] == "outcome"]


def test_the_embedded_model_writes_while_you_type_and_tab_takes_it(
    served_home: Path,
    work: Path,  # noqa: F811
    workbench: Workbench,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(served_home))
    workbench.open(written(work, "def add(a, b):\n\n"), served_home)
    workbench.served()
    workbench.go_to(2)
    workbench.type("    return ")
    workbench.sees_ghost("a + b")
    workbench.picture("ghost")
    assert workbench.saved() == "def add(a, b):\n    return \n"
    workbench.press("Tab")
    assert workbench.saved() == "def add(a, b):\n    return a + b\n"


def test_tab_takes_all_of_it_and_the_server_hears_so(opened: Open) -> None:
    one = opened()
    one.type(" ")
    one.sees_ghost(GHOST)
    one.press("Tab")
    assert one.saved() == f"def add(a, b):\n    return {GHOST}\n"
    one.until(outcomes, "an outcome in the trace")
    assert [(o["outcome"], o["how"], o["characters"]) for o in outcomes()] == [
        ("accepted", "whole", len(GHOST))
    ]


def test_a_word_then_a_line_of_it_are_taken(opened: Open) -> None:
    one = opened()
    one.type(" ")
    one.sees_ghost(GHOST)
    one.press("Control+ArrowRight")
    one.sees_ghost(" + second_number")
    assert one.saved().endswith("    return first_number\n")
    one.press("Control+ArrowRight")
    one.sees_ghost("+ second_number")  # VS Code took the space as a word
    assert one.saved().endswith("    return first_number \n")
    one.press("Control+Alt+ArrowRight")
    one.until(lambda: one.saved().endswith(f"    return {GHOST}\n"), "the line")


def test_what_is_typed_of_it_keeps_it_without_another_request(
    opened: Open, model: Recorder
) -> None:
    one = opened()
    one.type(" ")
    one.sees_ghost(GHOST)
    asked = len(model.bodies)
    one.type("first_")
    one.sees_ghost(GHOST.removeprefix("first_"))
    assert len(model.bodies) == asked
    one.press("Tab")
    assert one.saved().endswith(f"    return {GHOST}\n")


def test_what_is_typed_otherwise_takes_it_away(opened: Open) -> None:
    one = opened()
    one.type(" ")
    one.sees_ghost(GHOST)
    one.type("z")
    one.until(lambda: not one.screen().endswith(f"return z{GHOST[1:]}"), "another text")
    assert one.saved().endswith("    return z\n")


def test_escape_dismisses_it_and_the_server_hears_so(opened: Open) -> None:
    one = opened()
    one.type(" ")
    one.sees_ghost(GHOST)
    one.press("Escape")
    one.sees_no_ghost()
    one.until(outcomes, "an outcome in the trace")
    assert [(o["outcome"], o["why"]) for o in outcomes()] == [("rejected", "dismissed")]
    assert one.saved() == f"{CODE[:-1]} \n"


def test_several_lines_are_taken_and_undone_in_one_step(opened: Open) -> None:
    one = opened(FIBONACCI, 1, 18)
    one.press("Enter")
    one.sees_ghost(BODY.lstrip())
    one.sees(f"def fibonacci(n):\n{BODY}\n")
    one.picture("ghost-lines")
    assert one.saved() == "def fibonacci(n):\n    \n\nx = 1\n"
    one.press("Tab")
    assert one.saved() == f"def fibonacci(n):\n{BODY}\n\nx = 1\n"
    one.press("Control+z")
    assert one.saved() == "def fibonacci(n):\n    \n\nx = 1\n"


def test_windows_line_ends_stay_as_they_are(opened: Open) -> None:
    one = opened(FIBONACCI.replace("\n", "\r\n"), 1, 18)
    one.press("Enter")
    one.sees_ghost(BODY.lstrip())
    one.press("Tab")
    assert one.saved() == f"def fibonacci(n):\n{BODY}\n\nx = 1\n".replace("\n", "\r\n")


def test_letters_outside_of_ascii_before_the_cursor_do_not_move_it(opened: Open) -> None:
    one = opened('x = "😀語ä"; y =\n', 1, 16)
    one.type(" ")
    one.sees_ghost(GHOST)
    one.press("Tab")
    assert one.saved() == f'x = "😀語ä"; y = {GHOST}\n'


def test_it_is_away_while_the_editors_own_list_is_open(opened: Open) -> None:
    one = opened(NAMES + "y = fi\n", 4, 7, **{"editor.wordBasedSuggestions": "currentDocument"})
    focused = one.page.locator(".suggest-widget.visible .monaco-list-row.focused")
    row = focused.filter(has_text="first_name")

    def listed() -> bool:
        one.press("Control+Space")  # VS Code says nothing until it has read the words of the file
        with suppress(PlaywrightTimeoutError):
            row.wait_for(timeout=3000)
        return row.is_visible()

    one.until(listed, "VS Code's own list")
    one.sees_no_ghost()
    one.press("Tab")
    one.sees("y = first_name")  # VS Code asks who listed it before it writes
    assert one.saved() == f"{NAMES}y = first_name\n"


def test_an_answer_that_is_on_its_way_is_cancelled_when_the_cursor_leaves(
    opened: Open, bare_home: Path
) -> None:
    with recording({"id": "slow"}, hang_s=600.0) as slow:
        one = opened(endpoint=slow.url)
        one.type(" ")
        one.until(lambda: slow.bodies, "a request for the model")
        one.press("ArrowUp")
        one.until(lambda: slow.left, "the connection's end")
    reasons = [event["reason"] for event in trace.read() if event["kind"] == "completion"]
    assert "cancelled" in reasons


def test_a_setting_turns_it_off_at_once_and_on_again(opened: Open, bare_home: Path) -> None:
    one = opened()
    one.type(" ")
    one.sees_ghost(GHOST)
    one.set(completion={"enabled": False})
    one.tells("Tandem off")
    one.press("Escape", "Backspace")
    one.type(" ")
    one.until(lambda: "disabled" in reasons(), "a silence")
    assert one.ghost() == ""
    one.set(completion={"enabled": True})
    one.tells("Suggestions are on")
    one.press("Backspace")
    one.type(" ")
    one.sees_ghost(GHOST)


def reasons() -> list[str]:
    return [event["reason"] for event in trace.read() if event["kind"] == "completion"]


def test_a_server_that_is_killed_comes_back(opened: Open) -> None:
    one = opened()
    [killed] = one.language_servers()
    killed.kill()
    one.until(lambda: set(one.language_servers()) - {killed}, "another server")
    one.served()
    one.type(" ")
    one.sees_ghost(GHOST)


def test_a_command_that_is_not_there_is_told_with_what_to_do(
    bare_home: Path,
    tmp_path: Path,
    alone: Alone,  # noqa: F811
) -> None:
    one = alone(tmp_path)
    one.start(bare_home, **{"tandem.command": ["no-such-tandem", "lsp"]})
    one.notification("no-such-tandem").wait_for()
    one.picture("no-server")
