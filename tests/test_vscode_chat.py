"""The chat commands in a real VS Code: the real language server, a scripted chat model, real Docker."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.docker_support import docker_client, image  # noqa: F401
from tests.repositories import MadeRepository
from tests.scripted_chat import ScriptedChat, fails, says, scripted
from tests.test_neovim_chat import CHANGED, CODE, SHORTER
from tests.vscode import browser, package, vscode, window, work, workbench  # noqa: F401
from tests.workbench import Workbench

pytestmark = pytest.mark.editors

# A bug that is mended among the first that are tried.
BROKEN = "def last(values):\n    return values[len(values)]\n"
MENDED = "    return values[len(values) - 1]\n"
TEST_OF_BROKEN = """from ends import last


def test_last():
    assert last([1, 2, 3]) == 3
    assert last("ab") == "b"
"""
LONGEST_FIX_S = 180.0  # a search in a sandbox, on a busy machine
PROPOSED = "prices.py (proposed)"
Open = Callable[[ScriptedChat], Workbench]


@pytest.fixture
def opened(bare_home: Path, work: Path, workbench: Workbench) -> Open:  # noqa: F811
    """VS Code with the cursor in `total`."""

    def start(server: ScriptedChat) -> Workbench:
        made = MadeRepository(work / "shop")
        made.commit({"prices.py": CODE})
        _open(workbench, bare_home, made.folder / "prices.py", server.url, 6)
        return workbench

    return start


def _open(one: Workbench, home: Path, file: Path, endpoint: str, line: int) -> None:
    one.open(file, home, completion={"enabled": False}, chat={"endpoint": endpoint})
    one.served()
    one.go_to(line)


def test_an_explanation_streams_into_the_panel(opened: Open) -> None:
    with scripted(says("It adds **all** prices.", pause_s=0.05, hang_s=2.0)) as server:
        one = opened(server)
        one.run("Explain")
        one.answered("It adds all", "streaming")
        one.answered("It adds all prices.")
        one.picture("explain")
        asked = server.bodies[0]["messages"][-1]["content"]
    assert "def total(prices, tax):" in asked
    assert one.saved() == CODE


def test_a_question_is_asked_in_a_box(opened: Open) -> None:
    with scripted(says("Yes, it does.")) as server:
        one = opened(server)
        one.run("Ask")
        one.answer("does it add?")
        one.answered("Yes, it does.")
        assert "does it add?" in server.bodies[0]["messages"][-1]["content"]


def test_markup_in_an_answer_is_text(opened: Open) -> None:
    with scripted(says("<img src=x onerror=\"document.title='hit'\"> <b>no</b>")) as server:
        one = opened(server)
        one.run("Explain")
        one.answered("<b>no</b>")
        assert one.panel().locator("main img, main b").count() == 0


def test_an_edit_is_reviewed_as_a_diff_and_accepted_in_one_step_of_undo(opened: Open) -> None:
    with scripted(says(SHORTER)) as server:
        one = opened(server)
        one.run("Edit with an Instruction")
        one.answer("add the tax")
        one.tab(PROPOSED).wait_for()
        one.sees("    return sum(prices) + tax")
        one.picture("diff")
        assert one.file.read_text() == CODE
        one.run("Accept Changes")
        one.tab(PROPOSED).wait_for(state="detached")
        one.sees("    return sum(prices) + tax")
        assert one.saved() == CHANGED
        one.press("Control+z")
        assert one.saved() == CODE
    assert "add the tax" in server.bodies[0]["messages"][-1]["content"]


def test_a_rejected_edit_changes_nothing(opened: Open) -> None:
    with scripted(says(SHORTER)) as server:
        one = opened(server)
        one.run("Edit with an Instruction")
        one.answer("add the tax")
        one.tab(PROPOSED).wait_for()
        one.notification("prices.py").get_by_role("button", name="Reject").click()
        one.tab(PROPOSED).wait_for(state="detached")
        one.sees("        result += price")
        assert one.saved() == CODE


def test_documentation_is_reviewed_too(opened: Open) -> None:
    documented = CODE.replace("tax):\n", 'tax):\n    """The sum of the prices."""\n')
    code = documented[documented.index("def total") : documented.index("\n\n\ndef other")]
    with scripted(says(f"```python\n{code}\n```\n")) as server:
        one = opened(server)
        one.run("Document")
        one.tab(PROPOSED).wait_for()
        one.notification("prices.py").get_by_role("button", name="Accept").click()
        one.tab(PROPOSED).wait_for(state="detached")
        assert one.saved() == documented


def test_an_answer_can_be_stopped(opened: Open) -> None:
    with scripted(says("It adds", hang_s=600.0)) as server:
        one = opened(server)
        one.run("Explain")
        one.answered("It adds", "streaming")
        one.panel().get_by_role("button", name="Stop").click()
        one.answered("It adds")
        one.until(lambda: server.left, "the connection's end")


def test_a_server_that_is_killed_leaves_no_one_waiting(opened: Open) -> None:
    with scripted(says("It adds", hang_s=600.0)) as server:
        one = opened(server)
        one.run("Explain")
        one.answered("It adds", "streaming")
        [killed] = one.language_servers()
        killed.kill()
        one.answered("It adds", "error")


def test_an_error_is_one_line(opened: Open) -> None:
    with scripted(fails(401, "no key")) as server:
        one = opened(server)
        one.run("Explain")
        one.answered("", "error")
        told = one.panel().locator("body")
        expect(told).to_contain_text("refused the token")
        expect(told).not_to_contain_text("Traceback")


@pytest.mark.usefixtures("proved")
def test_new_tests_are_run_and_saved_with_a_yes(
    bare_home: Path,
    paging: MadeRepository,
    workbench: Workbench,  # noqa: F811
) -> None:
    code = "from paging import count\n\n\ndef test_of_no_page():\n    assert count(0, 10) >= 0\n"
    source = paging.folder / "paging.py"
    line = source.read_text().split("\n").index("def count(results: int, size: int) -> int:") + 1
    with scripted(says(f"```python\n{code}```")) as server:
        _open(workbench, bare_home, source, server.url, line)
        workbench.run("Write Tests")
        workbench.tab("test_paging_count.py (proposed)").wait_for()
        workbench.panel().get_by_text("In the sandbox: 1 passed, 0 failed").wait_for()
        file = paging.folder / "tests" / "test_paging_count.py"
        assert not file.exists()
        workbench.run("Accept Changes")
        workbench.until(file.exists, "the new file")
        workbench.until(lambda: file.read_text() == code, "its text")


@pytest.mark.usefixtures("proved")
def test_a_fix_ends_in_an_accepted_diff_and_the_file_on_disk_is_right(
    bare_home: Path,
    work: Path,  # noqa: F811
    workbench: Workbench,  # noqa: F811
) -> None:
    made = MadeRepository(work / "ends")
    made.commit({"ends.py": BROKEN, "test_ends.py": TEST_OF_BROKEN})
    source = made.folder / "ends.py"
    _open(workbench, bare_home, source, "http://127.0.0.1:9", 1)
    workbench.run("Fix a Failing Test")
    workbench.answer("python3 -m pytest -q")
    workbench.tab("ends.py (proposed)").wait_for(timeout=LONGEST_FIX_S * 1000)
    workbench.answered("verified")
    workbench.sees(MENDED)
    workbench.picture("fix")
    assert MENDED not in source.read_text()
    workbench.run("Accept Changes")
    workbench.tab("ends.py (proposed)").wait_for(state="detached")
    workbench.until(lambda: MENDED in source.read_text(), "the fix on disk")
    assert made.git("status", "--short").split() == ["M", "ends.py"]
