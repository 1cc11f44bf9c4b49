"""`@tandem` in the chat view of a real VS Code, with the real language server and a scripted model.

VS Code opens its chat only for an extension with a default participant and a model; that is
`tests/chat_host`, which says nothing. What is asked and answered goes through ours.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.code_server import CodeServer
from tests.lsp_client import REPOSITORY
from tests.repositories import MadeRepository
from tests.scripted_chat import ScriptedChat, fails, says, scripted
from tests.test_neovim_chat import CHANGED, CODE, SHORTER
from tests.vscode import Window, browser, package, vscode, work, workbench  # noqa: F401
from tests.workbench import Workbench

pytestmark = pytest.mark.editors

HOST = REPOSITORY / "tests" / "chat_host"
INPUT = ".interactive-session .interactive-input-part"
ANSWER = ".interactive-session .interactive-response"


@pytest.fixture(scope="module")
def window(
    vscode: CodeServer,  # noqa: F811
    browser: Browser,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Window]:
    """A page whose VS Code has a workbench."""
    host = {"extensionDevelopmentPath": vscode.uri(HOST), "enableProposedApi": ""}
    one = Window(vscode, browser, tmp_path_factory.mktemp("window"), **host)
    yield one
    one.close()


@pytest.fixture
def file(work: Path) -> Path:  # noqa: F811
    made = MadeRepository(work / "shop")
    made.commit({"prices.py": CODE})
    return made.folder / "prices.py"


def open_with(one: Workbench, file: Path, home: Path, server: ScriptedChat) -> None:
    """Open the file, with the cursor in `total`, and the chat beside it."""
    one.open(file, home, completion={"enabled": False}, chat={"endpoint": server.url})
    one.served()
    one.go_to(6)
    one.press("Control+Alt+i")
    one.page.locator(f"{INPUT} .monaco-editor.focused").wait_for()


def ask(one: Workbench, text: str) -> None:
    one.page.locator(f"{INPUT} .view-lines").click()
    one.press("Control+a")
    one.type(text)
    one.page.locator(f"{INPUT} .view-lines").filter(has_text=text.split()[-1]).wait_for()
    one.press("Escape", "Enter")  # the first closes VS Code's list of names


def answer(one: Workbench, text: str) -> Locator:
    """The answer with a text, once it is there; VS Code takes those out that have scrolled away."""
    found = one.page.locator(ANSWER).filter(has_text=text)
    found.wait_for()
    return found


def test_an_answer_streams_into_the_chat_and_an_error_is_one_line(
    bare_home: Path,
    file: Path,
    workbench: Workbench,  # noqa: F811
) -> None:
    with scripted(says("It adds **all** prices."), fails(401, "no key")) as server:
        open_with(workbench, file, bare_home, server)
        ask(workbench, "@tandem /explain this function")
        told = answer(workbench, "It adds all prices.")
        assert told.locator("strong").inner_text() == "all"
        workbench.picture("participant")
        asked = server.bodies[0]["messages"][-1]["content"]
        assert "def total(prices, tax):" in asked
        ask(workbench, "@tandem does it add?")
        failed = answer(workbench, "refused the token")
        expect(failed).not_to_contain_text("Traceback")
    assert "does it add?" in server.bodies[1]["messages"][-1]["content"]


def test_a_change_is_shown_and_accepted_by_a_button_of_the_chat(
    bare_home: Path,
    file: Path,
    workbench: Workbench,  # noqa: F811
) -> None:
    with scripted(says(SHORTER)) as server:
        open_with(workbench, file, bare_home, server)
        ask(workbench, "@tandem /edit add the tax")
        workbench.tab("prices.py (proposed)").wait_for()
        told = answer(workbench, "+    return sum(prices) + tax")
        assert file.read_text() == CODE
        told.get_by_role("button", name="Accept").click()
        workbench.tab("prices.py (proposed)").wait_for(state="detached")
        workbench.focus()
        workbench.sees("    return sum(prices) + tax")
        assert workbench.saved() == CHANGED


def test_what_needs_words_asks_for_them(
    bare_home: Path,
    file: Path,
    workbench: Workbench,  # noqa: F811
) -> None:
    with scripted() as server:
        open_with(workbench, file, bare_home, server)
        ask(workbench, "@tandem /edit")
        answer(workbench, "Say what to do")
        assert not server.bodies
