"""The chat commands of the Neovim plugin: a real Neovim and server, a scripted chat model."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.neovim import SERVED, Neovim, NeovimError, neovim
from tests.repositories import MadeRepository
from tests.scripted_chat import ScriptedChat, fails, says, scripted

CODE = '''"""Prices."""


def total(prices, tax):
    result = 0
    for price in prices:
        result += price
    return result


def other():
    return total([1], 2)
'''
SHORTER = "```python\ndef total(prices, tax):\n    return sum(prices) + tax\n```\n"
CHANGED = CODE.replace(
    "    result = 0\n    for price in prices:\n        result += price\n    return result\n",
    "    return sum(prices) + tax\n",
)
REVIEWED = "require('tandem.review').is_open()"
TABS = "return #vim.api.nvim_list_tabpages()"
ANSWER = "table.concat(vim.fn.getbufline(vim.fn.bufnr('tandem://' .. ...), 1, '$'), '\\n')"
Open = Callable[[ScriptedChat], AbstractAsyncContextManager[Neovim]]


@pytest.fixture
def folder(tmp_path: Path) -> MadeRepository:
    made = MadeRepository(tmp_path / "shop")
    made.commit({"prices.py": CODE})
    return made


@pytest.fixture
def opened(bare_home: Path, folder: MadeRepository) -> Open:
    """Neovim with the cursor in `total`."""

    @asynccontextmanager
    async def start(server: ScriptedChat) -> AsyncIterator[Neovim]:
        settings = {"completion": {"enabled": False}, "chat": {"endpoint": server.url}}
        async with neovim(bare_home, folder=folder.folder, settings=settings) as nvim:
            await nvim.command("edit prices.py")
            await nvim.until(SERVED)
            await nvim.command("6")
            yield nvim

    return start


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


async def answered(nvim: Neovim, kind: str, what: str) -> str:
    """Wait until the split of a kind holds a text; all that it holds."""
    await nvim.until(f"({ANSWER}):find(select(2, ...), 1, true)", kind, what)
    return await nvim.lua(f"return {ANSWER}", kind)


async def test_an_explanation_streams_into_a_split(opened: Open) -> None:
    slow = says("It adds **all** prices.", pause_s=0.05, hang_s=2.0)
    with scripted(slow) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem explain why so long?")
            await answered(nvim, "explain", "It adds **all**")
            await nvim.sees("It adds **all** prices.")
            assert await nvim.lines() == CODE.splitlines()
            kind = await nvim.lua("return vim.bo[vim.fn.bufnr('tandem://explain')].filetype")
            assert kind == "markdown"
        asked = server.bodies[0]["messages"][-1]["content"]
        assert "why so long?" in asked
        assert "def total(prices, tax):" in asked


async def test_a_question_may_be_typed(opened: Open) -> None:
    with scripted(says("Yes, it does.")) as server:
        async with opened(server) as nvim:
            await nvim.call("nvim_input", ":Tandem ask<CR>")
            await nvim.sees("Ask:")
            await nvim.call("nvim_input", "does it add?<CR>")
            await answered(nvim, "ask", "Yes, it does.")
        assert "does it add?" in server.bodies[0]["messages"][-1]["content"]


async def test_an_edit_is_reviewed_as_a_diff_and_accepted_in_one_step_of_undo(
    opened: Open, folder: MadeRepository
) -> None:
    with scripted(says(SHORTER)) as server:
        async with opened(server) as nvim:
            await nvim.command("4,8Tandem edit add the tax")
            await nvim.until(REVIEWED)
            assert await nvim.lua(TABS) == 2
            assert text(await nvim.lines()) == CHANGED
            diffs = "return vim.tbl_map(function(w) return vim.wo[w].diff end, vim.api.nvim_tabpage_list_wins(0))"
            assert await nvim.lua(diffs) == [True, True]
            await nvim.sees("y accepts, n rejects")
            await nvim.type("y")
            assert await nvim.lua(TABS) == 1
            assert text(await nvim.lines()) == CHANGED
            assert (folder.folder / "prices.py").read_text() == CODE
            await nvim.type("u")
            assert text(await nvim.lines()) == CODE
    assert "add the tax" in server.bodies[0]["messages"][-1]["content"]


async def test_a_rejected_edit_changes_nothing(opened: Open) -> None:
    with scripted(says(SHORTER)) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem edit add the tax")
            await nvim.until(REVIEWED)
            await nvim.command("Tandem reject")
            assert await nvim.lua(TABS) == 1
            assert text(await nvim.lines()) == CODE
            assert not await nvim.lua("return vim.bo.modified")
            assert "not applied" in await nvim.messages()


async def test_an_edit_of_a_text_that_has_changed_is_not_made(opened: Open) -> None:
    with scripted(says(SHORTER)) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem edit add the tax")
            await nvim.until(REVIEWED)
            await nvim.lua(
                "vim.api.nvim_buf_set_lines(vim.fn.bufnr('prices.py'), 0, 0, true, {'#'})"
            )
            with pytest.raises(NeovimError, match="changed meanwhile"):
                await nvim.command("Tandem accept")
            assert text(await nvim.lines()) == f"#\n{CODE}"


# Of two files and a new one, as a fix may give it; saved with the yes.
OF_THREE = """
local folder, done = ..., nil
local function edits(line, text)
  local at = { line = line, character = 0 }
  return { { range = { start = at, ['end'] = at }, newText = text } }
end
local function changed(name, some)
  return { textDocument = { uri = vim.uri_from_fname(folder .. name) }, edits = some }
end
require('tandem.review').open({ documentChanges = {
  { kind = 'create', uri = vim.uri_from_fname(folder .. '/new/made.py') },
  changed('/new/made.py', edits(0, 'x = 1\\n')),
  changed('/prices.py', edits(0, '# one\\n')),
  changed('/used.py', edits(0, '# two\\n')),
} }, 'utf-16', true, function(accepted) Accepted = accepted end)
"""


@pytest.fixture
def two(folder: MadeRepository) -> MadeRepository:
    folder.commit({"used.py": "import prices\n"})
    return folder


async def test_a_change_of_several_files_is_accepted_in_one_step(
    opened: Open, two: MadeRepository
) -> None:
    with scripted() as server:
        async with opened(server) as nvim:
            await nvim.lua(OF_THREE, str(two.folder))
            assert await nvim.lua(TABS) == 4
            for number, new in enumerate(["x = 1", "# one", "# two"], 1):
                await nvim.sees(f"file {number} of 3: y accepts all, n rejects")
                await nvim.sees(new)
                await nvim.type("gt" if number < 3 else "")
            await nvim.type("y")
            assert await nvim.lua("return Accepted")
            assert await nvim.lua(TABS) == 1
    assert (two.folder / "new" / "made.py").read_text() == "x = 1\n"
    assert (two.folder / "prices.py").read_text() == f"# one\n{CODE}"
    assert (two.folder / "used.py").read_text() == "# two\nimport prices\n"


async def test_a_change_of_several_files_is_rejected_in_one_step(
    opened: Open, two: MadeRepository
) -> None:
    with scripted() as server:
        async with opened(server) as nvim:
            await nvim.lua(OF_THREE, str(two.folder))
            await nvim.type("n")
            assert await nvim.lua("return { Accepted, #vim.api.nvim_list_tabpages() }") == [
                False,
                1,
            ]
    assert two.git("status", "--short") == ""


async def test_if_one_of_several_files_has_changed_none_is(
    opened: Open, two: MadeRepository
) -> None:
    with scripted() as server:
        async with opened(server) as nvim:
            await nvim.lua(OF_THREE, str(two.folder))
            await nvim.lua("vim.api.nvim_buf_set_lines(vim.fn.bufnr('used.py'), 0, 0, true, {'#'})")
            with pytest.raises(NeovimError, match="changed meanwhile"):
                await nvim.command("Tandem accept")
            assert text(await nvim.lines()) == CODE
    assert two.git("status", "--short") == ""


async def test_an_answer_can_be_stopped(opened: Open) -> None:
    with scripted(says("It adds", hang_s=600.0)) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem explain")
            await answered(nvim, "explain", "It adds")
            await nvim.command("Tandem stop")
            assert "Stopped." in await answered(nvim, "explain", "Stopped.")
            while not server.left:
                await nvim.lua("vim.wait(20)")


async def test_a_server_that_is_killed_leaves_no_one_waiting(opened: Open) -> None:
    with scripted(says("It adds", hang_s=600.0)) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem explain")
            await answered(nvim, "explain", "It adds")
            [pid] = await nvim.lua("return vim.api.nvim_get_proc_children(vim.fn.getpid())")
            os.kill(pid, signal.SIGKILL)
            await answered(nvim, "explain", "The server ended.")
            assert await nvim.lua("return require('tandem.progress').line()") is None


async def test_an_error_is_one_line(opened: Open) -> None:
    with scripted(fails(401, "no key")) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem explain")
            await nvim.until("vim.fn.execute('messages'):find('Tandem: ', 1, true)")
            [line] = [one for one in (await nvim.messages()).splitlines() if one]
            assert "refused the token" in line


async def test_documentation_is_reviewed_too(opened: Open) -> None:
    documented = CODE.replace("tax):\n", 'tax):\n    """The sum of the prices."""\n')
    code = documented[documented.index("def total") : documented.index("\n\n\ndef other")]
    with scripted(says(f"```python\n{code}\n```\n")) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem doc")
            await nvim.until(REVIEWED)
            await nvim.command("Tandem accept")
            assert text(await nvim.lines()) == documented


async def test_the_newer_of_two_edits_is_the_one_under_review(opened: Open) -> None:
    with scripted(says(SHORTER, hang_s=600.0), says(SHORTER)) as server:
        async with opened(server) as nvim:
            await nvim.command("Tandem edit add the tax")
            while not server.bodies:
                await nvim.lua("vim.wait(20)")
            await nvim.command("Tandem edit add the tax, please")
            await nvim.until(REVIEWED)
            await nvim.command("Tandem accept")
            assert text(await nvim.lines()) == CHANGED
    assert "please" in server.bodies[1]["messages"][-1]["content"]


async def test_an_unknown_word_is_told_with_those_there_are(opened: Open) -> None:
    with scripted() as server:
        async with opened(server) as nvim:
            with pytest.raises(NeovimError, match=r'there is no "expalin"; .*, explain,'):
                await nvim.command("Tandem expalin")


async def test_a_buffer_that_is_not_served_says_so(opened: Open) -> None:
    with scripted() as server:
        async with opened(server) as nvim:
            await nvim.command("enew")
            await nvim.command("Tandem explain")
            assert "does not serve this buffer" in await nvim.messages()


async def test_new_tests_are_run_and_saved_with_a_yes(
    bare_home: Path, proved: None, paging: MadeRepository
) -> None:
    code = "from paging import count\n\n\ndef test_of_no_page():\n    assert count(0, 10) >= 0\n"
    with scripted(says(f"```python\n{code}```")) as server:
        settings = {"completion": {"enabled": False}, "chat": {"endpoint": server.url}}
        async with neovim(bare_home, folder=paging.folder, settings=settings) as nvim:
            await nvim.command("edit paging.py")
            await nvim.until(SERVED)
            await nvim.command("/^def count")
            await nvim.command("Tandem tests")
            await nvim.until(REVIEWED)
            await answered(nvim, "tests", "In the sandbox: ")
            file = paging.folder / "tests" / "test_paging_count.py"
            assert not file.exists()
            await nvim.type("y")
            await nvim.until("vim.fn.execute('messages'):find('applied and saved', 1, true)")
            assert file.read_text() == code


async def test_a_fix_ends_in_an_accepted_diff_and_the_file_on_disk_is_right(
    bare_home: Path, proved: None, paging: MadeRepository
) -> None:
    settings = {"completion": {"enabled": False}, "chat": {"endpoint": "http://127.0.0.1:9"}}
    async with neovim(bare_home, folder=paging.folder, settings=settings) as nvim:
        await nvim.command("edit paging.py")
        await nvim.until(SERVED)
        await nvim.command("Tandem fix")
        await answered(nvim, "fix", "baseline")
        await nvim.until(REVIEWED)
        evidence = await answered(nvim, "fix", "verified")
        assert "search" in evidence
        assert "    return list(range(first, last + 1))" in await nvim.lines()
        assert "last + 1" not in (paging.folder / "paging.py").read_text()
        await nvim.type("y")
        await nvim.until("vim.fn.execute('messages'):find('applied and saved', 1, true)")
    assert "    return list(range(first, last + 1))\n" in (paging.folder / "paging.py").read_text()
    assert paging.git("status", "--short").split() == ["M", "paging.py"]
