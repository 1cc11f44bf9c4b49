"""`@tandem` in the chat view of a real VS Code, with the real language server and a scripted model.

VS Code opens its chat only for an extension with a default participant and a model; that is
`tests/chat_host`, which says nothing. What is asked and answered goes through ours.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.code_server import CodeServer
from tests.lsp_client import REPOSITORY
from tests.repositories import MadeRepository
from tests.scripted_chat import ScriptedChat, fails, says, scripted
from tests.test_neovim_chat import CHANGED, CODE, SHORTER
from tests.vscode import Alone, alone, browser, package, vscode  # noqa: F401
from tests.workbench import Workbench

pytestmark = pytest.mark.editors

HOST = REPOSITORY / "tests" / "chat_host"
INPUT = ".interactive-session .interactive-input-part"
ANSWER = ".interactive-session .interactive-response"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = MadeRepository(tmp_path / "shop")
    made.commit({"prices.py": CODE})
    return made.folder / "prices.py"


@pytest.fixture
def chat(file: Path, vscode: CodeServer, alone: Alone) -> Workbench:  # noqa: F811
    """A page whose VS Code has a chat."""
    host = {"extensionDevelopmentPath": vscode.uri(HOST), "enableProposedApi": ""}
    return alone(file.parent, **host)


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
    bare_home: Path, file: Path, chat: Workbench
) -> None:
    with scripted(says("It adds **all** prices."), fails(401, "no key")) as server:
        open_with(chat, file, bare_home, server)
        ask(chat, "@tandem /explain this function")
        told = answer(chat, "It adds all prices.")
        assert told.locator("strong").inner_text() == "all"
        chat.picture("participant")
        asked = server.bodies[0]["messages"][-1]["content"]
        assert "def total(prices, tax):" in asked
        ask(chat, "@tandem does it add?")
        failed = answer(chat, "refused the token")
        expect(failed).not_to_contain_text("Traceback")
    assert "does it add?" in server.bodies[1]["messages"][-1]["content"]


def test_a_change_is_shown_and_accepted_by_a_button_of_the_chat(
    bare_home: Path, file: Path, chat: Workbench
) -> None:
    with scripted(says(SHORTER)) as server:
        open_with(chat, file, bare_home, server)
        ask(chat, "@tandem /edit add the tax")
        chat.tab("prices.py (proposed)").wait_for()
        told = answer(chat, "+    return sum(prices) + tax")
        assert file.read_text() == CODE
        told.get_by_role("button", name="Accept").click()
        chat.tab("prices.py (proposed)").wait_for(state="detached")
        chat.focus()
        chat.sees("    return sum(prices) + tax")
        assert chat.saved() == CHANGED


def test_what_needs_words_asks_for_them(bare_home: Path, file: Path, chat: Workbench) -> None:
    with scripted() as server:
        open_with(chat, file, bare_home, server)
        ask(chat, "@tandem /edit")
        answer(chat, "Say what to do")
        assert not server.bodies
