"""Ghost text in a real Neovim, with the real language server; the screen is what Neovim draws.

What the model says is given by a server of the tests, but for the last test, which has the
embedded model.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tandem import trace
from tests.neovim import SERVED, Neovim, neovim
from tests.recorder import Recorder, recording

CODE = "def add(a, b):\n    return \n"
BODY = "    if n < 2:\n        return n\n    return fibonacci(n - 1)"
Open = Callable[..., AbstractAsyncContextManager[Neovim]]


def answer(prompt: str) -> str:
    """One line after `return`, three after `def fibonacci`, else nothing."""
    if "fibonacci" in prompt:
        return "" if "return n" in prompt else f"\n{BODY}\n"
    return "first_number + second_number\n"


@pytest.fixture
def model() -> Any:
    with recording({"id": "given"}, answer=answer) as server:
        yield server


@pytest.fixture
async def opened(bare_home: Path, tmp_path: Path, model: Recorder) -> Open:
    """Neovim with a file that ends in an unfinished `return`, and the server there."""

    def start(setup: Any = None, text: str = CODE, **other: Any) -> Any:
        settings = {"endpoint": model.url, **other.pop("settings", {})}
        return _opened(bare_home, tmp_path, setup, text, settings=settings, **other)

    return start


@asynccontextmanager
async def _opened(
    home: Path, folder: Path, setup: Any, text: str, **other: Any
) -> AsyncIterator[Neovim]:
    (folder / "work.py").write_text(text)
    async with neovim(home, setup, folder=folder, **other) as nvim:
        await nvim.command("edit work.py")
        await nvim.until(SERVED)
        yield nvim


GHOST = "first_number + second_number"
# Counts what the client of the server sends.
COUNT_REQUESTS = """
Requests = 0
local client = vim.lsp.get_clients({ name = 'tandem' })[1]
local request = client.request
client.request = function(...)
  Requests = Requests + 1
  return request(...)
end
"""
# Requests are counted and never answered; keeps the last one's parameters, and what was cancelled.
HOLD_ANSWERS = """
Asked, Sent, Cancelled = nil, 0, {}
local client = vim.lsp.get_clients({ name = 'tandem' })[1]
client.request = function(_, method, params)
  Asked, Sent = params, Sent + 1
  return true, Sent
end
client.cancel_request = function(_, id)
  table.insert(Cancelled, id)
end
"""


def giving(items: str) -> str:
    """Lua that answers the first request with these items, and others with none."""
    return f"""
    local client = vim.lsp.get_clients({{ name = 'tandem' }})[1]
    local items = {{ {items} }}
    client.request = function(_, method, params, handler)
      local given = items
      items = {{}}
      vim.schedule(function() handler(nil, {{ items = given }}) end)
      return true, 1000
    end
    """


GIVE_TWO = giving("{ insertText = 'one' }, { insertText = 'two' }")
GIVE_LINES = giving("{ insertText = '[\\n  1,\\n]' }")
GIVE_BRACKET = giving(
    "{ insertText = 'a, b)', range = {"
    " start = { line = 0, character = 2 }, ['end'] = { line = 0, character = 3 } } }"
)
PROCESS_OR_NIL = "(vim.api.nvim_get_proc_children(vim.fn.getpid()))[1]"
PROCESS = f"return {PROCESS_OR_NIL}"


async def outcomes(count: int) -> list[dict[str, Any]]:
    """Wait for what became of so many suggestions, as the server's trace has it."""
    while len(found := [e["details"] for e in trace.read() if e["kind"] == "outcome"]) < count:
        await asyncio.sleep(0.05)
    return found


async def test_ghost_text_appears_while_typing_and_tab_takes_it(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(f"    return {GHOST}")
        assert await nvim.lines() == ["def add(a, b):", "    return "]
        await nvim.type("<Tab>")
        assert await nvim.lines() == ["def add(a, b):", f"    return {GHOST}"]
        assert await nvim.cursor() == (2, len(f"    return {GHOST}"))


async def test_tab_stays_tab_where_no_ghost_text_is(opened: Open) -> None:
    async with opened(settings={"completion": {"enabled": False}}) as nvim:
        await nvim.command("setlocal expandtab softtabstop=4")
        await nvim.type("o<Tab>x")
        assert await nvim.lines() == ["def add(a, b):", "        x", "    return "]


async def test_a_mapped_tab_is_not_stolen(opened: Open) -> None:
    async with opened(before="vim.keymap.set('i', '<Tab>', 'mine')") as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.type("<Tab>")
        assert (await nvim.lines())[1] == "    return mine"
        assert await nvim.lua("return require('tandem.keys').left_alone") == {"accept": "<Tab>"}


@pytest.mark.parametrize(
    "mapping",
    [
        "'<Tab>', 'mine'",
        "'<Tab>', function() vim.api.nvim_put({ 'mine' }, 'c', false, true) end",
        "'<Tab>', function() return 'mine' end, { expr = true }",
    ],
    ids=["keys", "function", "expression"],
)
async def test_a_named_key_does_what_it_did_where_no_ghost_text_is(
    opened: Open, mapping: str
) -> None:
    setup = {"keys": {"accept": "<Tab>"}}
    async with opened(setup, before=f"vim.keymap.set('i', {mapping})") as nvim:
        await nvim.type("O<Tab>")
        assert (await nvim.lines())[0] == "mine"
        await nvim.type("<Esc>GA")
        await nvim.sees(GHOST)
        await nvim.type("<Tab>")
        assert (await nvim.lines())[2] == f"    return {GHOST}"


async def test_neovims_own_tab_still_jumps_in_a_snippet(opened: Open) -> None:
    async with opened(settings={"completion": {"enabled": False}}) as nvim:
        await nvim.type("O")
        await nvim.lua("vim.snippet.expand('f(${1:a}, ${2:b})')")
        await nvim.type("x<Tab>")
        await nvim.until("vim.api.nvim_get_mode().mode == 's'")
        await nvim.type("y")
        assert (await nvim.lines())[0] == "f(x, y)"


async def test_a_word_then_a_line_of_it_are_taken(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.type("<M-Right>")
        assert (await nvim.lines())[1] == "    return first_number"
        await nvim.sees(f"    return {GHOST}")
        await nvim.type("<M-Right>")
        assert (await nvim.lines())[1] == "    return first_number +"
        await nvim.sees(f"    return {GHOST}")
        await nvim.type("<M-C-Right>")
        assert (await nvim.lines())[1] == f"    return {GHOST}"


async def test_what_is_typed_of_it_keeps_it_without_another_request(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.lua(COUNT_REQUESTS)
        await nvim.type("first_")
        await nvim.until("#vim.api.nvim_get_current_line() == 17")
        await nvim.sees(f"    return {GHOST}")
        assert await nvim.lua("return Requests") == 0
        await nvim.type("<Tab>")
        assert (await nvim.lines())[1] == f"    return {GHOST}"


async def test_what_is_typed_otherwise_takes_it_away(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.type("z")
        # What comes then is for the text as it is by now.
        await nvim.until("require('tandem.ghost').last_ms")
        await nvim.sees("    return z")
        assert f"    return {GHOST}" not in nvim.screen()


async def test_disabled_it_goes_and_enabled_it_comes_back(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.command("Tandem disable")
        await nvim.sees_no_more(GHOST)
        assert await nvim.lua("return require('tandem').statusline()") == "Tandem: off"
        await nvim.until("#vim.lsp.get_clients({ name = 'tandem' }) == 0")
        await nvim.type("<Esc>")
        await nvim.command("Tandem enable")
        await nvim.until(SERVED)
        await nvim.type("A")
        await nvim.sees(GHOST)


async def test_the_first_line_is_shown_while_the_others_are_on_their_way(opened: Open) -> None:
    """The server's notification is played back: which answers come in parts is its affair."""
    async with opened(settings={"completion": {"enabled": False}}) as nvim:
        await nvim.lua(HOLD_ANSWERS)
        await nvim.type("jA")
        await nvim.until("Asked")
        await nvim.lua(
            """
            local params = vim.deepcopy(Asked)
            params.text = 'first line'
            params.textDocument.version = vim.lsp.util.buf_versions[vim.api.nvim_get_current_buf()]
            require('tandem.client').handlers['tandem/partial'](nil, params)
            """
        )
        await nvim.sees("    return first line")
        await nvim.type("<Tab>")
        assert (await nvim.lines())[1] == "    return first line"


async def test_of_several_candidates_the_next_is_shown(opened: Open) -> None:
    """Our server gives one; others, and later ones, may give more."""
    async with opened(settings={"completion": {"enabled": False}}) as nvim:
        await nvim.lua(GIVE_TWO)
        await nvim.type("jA")
        await nvim.sees("    return one")
        await nvim.type("<M-]>")
        await nvim.sees("    return two")
        await nvim.type("<M-]>")
        await nvim.sees("    return one")
        await nvim.type("<M-[><Tab>")
        assert (await nvim.lines())[1] == "    return two"


async def test_letters_outside_of_ascii_before_the_cursor_do_not_move_it(opened: Open) -> None:
    async with opened(text='x = "😀語ä"; y = \n') as nvim:
        await nvim.type("A")
        await nvim.sees(GHOST)
        await nvim.type("<Tab>")
        assert await nvim.lines() == [f'x = "😀語ä"; y = {GHOST}']


async def test_windows_line_ends_stay_as_they_are(opened: Open, tmp_path: Path) -> None:
    async with opened(text="def fibonacci(n):\r\n\r\n\r\nx = 1\r\n") as nvim:
        await nvim.type("ji")
        await nvim.sees(f"def fibonacci(n):\n{BODY}\n")
        await nvim.type("<Tab><Esc>")
        await nvim.command("write")
    lines = ["def fibonacci(n):", *BODY.split("\n"), "", "x = 1", ""]
    assert (tmp_path / "work.py").read_bytes().decode() == "\r\n".join(lines)


async def test_only_the_named_filetypes_are_served(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("A\n")
    async with opened({"filetypes": ["python"]}) as nvim:
        await nvim.command("edit notes.md")
        assert await nvim.lua("return require('tandem').statusline()") == ""
        assert await nvim.lua("return #vim.lsp.get_clients({ bufnr = 0, name = 'tandem' })") == 0


async def test_checkhealth_tells_what_is_there_and_which_keys_were_left_alone(
    opened: Open,
) -> None:
    async with opened(before="vim.keymap.set('i', '<Tab>', 'mine')") as nvim:
        await nvim.command("checkhealth tandem")
        told = "\n".join(await nvim.lines())
    assert "ERROR" not in told
    assert "Model: " in told
    assert "<Tab> is yours, so it does not accept" in told


async def test_the_embedded_model_writes_and_tab_takes_it(
    served_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(served_home))
    async with _opened(served_home, tmp_path, None, CODE) as nvim:
        await nvim.type("jA")
        await nvim.sees("    return a + b")
        assert await nvim.lines() == CODE.splitlines()
        await nvim.type("<Tab>")
        assert (await nvim.lines())[1] == "    return a + b"


async def test_several_lines_lie_below_the_cursor_and_are_one_step_of_undo(opened: Open) -> None:
    async with opened(text="def fibonacci(n):\n\n\nx = 1\n") as nvim:
        await nvim.type("ji")
        await nvim.sees(f"def fibonacci(n):\n{BODY}\n")
        assert await nvim.lines() == ["def fibonacci(n):", "", "", "x = 1"]
        await nvim.type("<Tab>")
        assert await nvim.lines() == ["def fibonacci(n):", *BODY.split("\n"), "", "x = 1"]
        await nvim.type("<Esc>u")
        assert await nvim.lines() == ["def fibonacci(n):", "", "", "x = 1"]


async def test_it_is_hidden_while_the_popup_menu_is_open(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.command("set completeopt=menuone,noinsert")
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.lua("vim.fn.complete(12, { 'from_the_menu' })")
        await nvim.sees("from_the_menu")
        await nvim.sees_no_more(GHOST)
        await nvim.type("<C-e>")
        await nvim.sees(GHOST)


async def test_it_goes_when_insert_mode_ends(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.type("<Esc>")
        await nvim.sees_no_more(GHOST)


async def test_dismissed_it_stays_away_and_the_server_hears_of_it(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.type("<C-]>")
        await nvim.sees_no_more(GHOST)
        [event] = await outcomes(1)
        assert (event["outcome"], event["why"]) == ("rejected", "dismissed")


async def test_what_was_taken_is_reported(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("jA")
        await nvim.sees(GHOST)
        await nvim.type("<Tab>")
        await nvim.until("vim.api.nvim_get_current_line():find('second_number', 1, true)")
        await nvim.command("stopinsert | bdelete!")
        events = await outcomes(1)
        assert events[0]["outcome"] == "accepted"
        assert (events[0]["how"], events[0]["characters"]) == ("whole", len(GHOST))


async def test_the_older_request_is_cancelled(opened: Open) -> None:
    async with opened(settings={"completion": {"enabled": False}}) as nvim:
        await nvim.lua(HOLD_ANSWERS)
        await nvim.type("jA")
        for count, key in enumerate("xyz", 2):
            await nvim.until(f"Sent == {count - 1}")
            await nvim.type(key)
            await nvim.until(f"Sent == {count}")
        assert await nvim.lua("return Cancelled") == [1, 2, 3]
        await nvim.type("<Esc>")
        assert await nvim.lua("return Cancelled") == [1, 2, 3, 4]


async def test_what_stands_behind_the_cursor_moves_to_the_end_of_several_lines(
    opened: Open,
) -> None:
    """Ours gives only one line there; a server may give more."""
    async with opened(settings={"completion": {"enabled": False}}, text="x = )\ny = 1\n") as nvim:
        await nvim.lua(GIVE_LINES)
        await nvim.type("f)i")
        await nvim.sees("x = [\n  1,\n])\ny = 1")
        assert await nvim.lines() == ["x = )", "y = 1"]
        await nvim.type("<Tab>")
        assert await nvim.lines() == ["x = [", "  1,", "])", "y = 1"]
        assert await nvim.cursor() == (3, 1)


async def test_a_bracket_that_is_replaced_is_shown_once(opened: Open) -> None:
    async with opened(settings={"completion": {"enabled": False}}, text="f()\n") as nvim:
        await nvim.lua(GIVE_BRACKET)
        await nvim.type("f)i")
        await nvim.sees("f(a, b)\n")
        await nvim.type("<Tab>")
        assert await nvim.lines() == ["f(a, b)"]
        assert await nvim.cursor() == (1, 7)


async def test_with_settings_it_is_off_and_the_status_says_why(opened: Open) -> None:
    async with opened(settings={"completion": {"enabled": False}}) as nvim:
        await nvim.type("jA")
        await nvim.until("require('tandem.ghost').last_ms")
        assert GHOST not in nvim.screen()
        await nvim.command("Tandem status")
        await nvim.sees("disabled")


async def test_a_server_that_is_killed_comes_back(opened: Open, model: Recorder) -> None:
    async with opened() as nvim:
        killed = await nvim.lua(PROCESS)
        os.kill(killed, signal.SIGKILL)
        await nvim.until(f"({PROCESS_OR_NIL}) and ({PROCESS_OR_NIL}) ~= ...", killed)
        await nvim.until(SERVED)
        await nvim.type("jA")
        await nvim.sees(GHOST)


async def test_a_server_that_dies_again_and_again_is_left_alone(opened: Open) -> None:
    async with opened() as nvim:
        killed = 0
        for _ in range(4):
            killed = await nvim.until(f"({PROCESS_OR_NIL}) ~= ... and ({PROCESS_OR_NIL})", killed)
            os.kill(killed, signal.SIGKILL)
        await nvim.until("vim.fn.execute('messages'):find('again and again', 1, true)")
        # Nor does another buffer start it.
        await nvim.command("edit other.py")
        assert await nvim.lua("return #vim.lsp.get_clients({ name = 'tandem' })") == 0
        await nvim.command("Tandem status")
        await nvim.sees("run `tandem doctor`, then :Tandem enable")
        await nvim.command("Tandem enable")
        await nvim.until(SERVED)


async def test_a_command_that_is_not_there_is_told_with_what_to_do(
    bare_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text(CODE)
    async with neovim(bare_home, {"cmd": ["no-such-tandem", "lsp"]}, folder=tmp_path) as nvim:
        await nvim.command("edit work.py")
        told = await nvim.messages()
        assert "no-such-tandem" in told
        assert "cmd =" in told


@pytest.mark.parametrize(
    ("setup", "told"),
    [
        ({"keys": {"acept": "<Tab>"}}, 'no key for "acept"'),
        ({"colour": "red"}, 'no option "colour"'),
        ({"cmd": []}, "cmd must be a list"),
    ],
)
async def test_a_wrong_option_is_one_line(
    bare_home: Path, tmp_path: Path, setup: dict[str, Any], told: str
) -> None:
    async with neovim(bare_home, folder=tmp_path) as nvim:
        done, why = await nvim.lua("return { pcall(require('tandem').setup, ...) }", setup)
    assert not done
    assert told in why
    assert "\n" not in why
