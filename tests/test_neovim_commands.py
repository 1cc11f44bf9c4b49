"""The words of `:Tandem` that are neither ghost text nor a change: each against the real server."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.neovim import SERVED, Neovim, NeovimError, neovim
from tests.repositories import MadeRepository
from tests.scripted_chat import ScriptedChat, says, scripted

CODE = "def total(prices):\n    return sum(prices)\n"
QUIET = "return vim.lsp.get_clients({ name = 'tandem' })[1]:request_sync('tandem/status', vim.empty_dict()).result.snoozedSeconds"
ANSWER = "table.concat(vim.fn.getbufline(vim.fn.bufnr('tandem://' .. ...), 1, '$'), '\\n')"
Open = Callable[..., AbstractAsyncContextManager[Neovim]]


@pytest.fixture
def folder(tmp_path: Path) -> MadeRepository:
    made = MadeRepository(tmp_path / "shop")
    made.commit({"prices.py": CODE})
    return made


@pytest.fixture
def opened(bare_home: Path, folder: MadeRepository, tmp_path: Path) -> Open:
    """Neovim beside the repository, with a file of it; no model but the scripted one for chat."""

    @asynccontextmanager
    async def start(chat: ScriptedChat | None = None, **other: Any) -> AsyncIterator[Neovim]:
        settings = {"endpoint": "http://127.0.0.1:9"}
        if chat is not None:
            settings["chat"] = {"endpoint": chat.url}  # pyright: ignore[reportArgumentType]
        async with neovim(bare_home, folder=tmp_path, settings=settings, **other) as nvim:
            await nvim.command(f"edit {folder.folder}/prices.py")
            await nvim.until(SERVED)
            yield nvim

    return start


async def said(nvim: Neovim, text: str) -> None:
    await nvim.until("vim.fn.execute('messages'):find(..., 1, true)", text)


async def test_snoozed_it_is_quiet_until_it_is_told_to_go_on(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.command("Tandem snooze 5")
        await said(nvim, "quiet for 5 minutes")
        assert 240 < await nvim.lua(QUIET) <= 300
        await nvim.command("Tandem snooze off")
        await said(nvim, "suggests again")
        assert await nvim.lua(QUIET) == 0
        await nvim.command("Tandem snooze 0")
        await said(nvim, "snooze for more than 0")
        assert "quiet for 0" not in await nvim.messages()
        with pytest.raises(NeovimError, match="snooze takes minutes, or off"):
            await nvim.command("Tandem snooze a while")


async def test_the_trace_is_shown_in_a_terminal_below(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type("GA")
        await nvim.until("require('tandem.ghost').last_ms")
        await nvim.type("<Esc>")
        await nvim.command("Tandem trace --last 5")
        await nvim.sees("prices.py")
        await nvim.sees("[Process exited 0]")
        assert await nvim.lua("return #vim.api.nvim_tabpage_list_wins(0)") == 2


async def test_tuning_is_for_the_repository_of_the_buffer(
    opened: Open, folder: MadeRepository
) -> None:
    """It has no model to tune, and says so: what is learned has tests of its own."""
    async with opened() as nvim:
        await nvim.command("Tandem tune --minutes 1")
        await nvim.sees("[Process exited 1]")
        await nvim.sees("tandem models pull")
        ran = await nvim.lua("return vim.api.nvim_get_chan_info(vim.bo.channel).argv")
        assert ran[-5:] == ["tandem", "tune", str(folder.folder), "--minutes", "1"]
        await nvim.command("enew")
        with pytest.raises(NeovimError, match="in no repository"):
            await nvim.command("Tandem tune")


async def test_what_is_staged_is_reviewed_in_a_split(opened: Open, folder: MadeRepository) -> None:
    folder.write({"prices.py": CODE.replace("prices)", "prices) + 1")})
    folder.git("add", "--all")
    with scripted(says("It adds **one** too many.")) as chat:
        async with opened(chat) as nvim:
            await nvim.command("Tandem review")
            await nvim.until(f"({ANSWER}):find('one', 1, true)", "review")
            await nvim.sees("It adds **one** too many.")
            await nvim.command("wincmd l")
            await nvim.type("q")
            assert await nvim.lua("return #vim.api.nvim_tabpage_list_wins(0)") == 1
    assert "+    return sum(prices) + 1" in chat.bodies[0]["messages"][-1]["content"]


async def test_what_is_staged_gets_a_commit_message(opened: Open, folder: MadeRepository) -> None:
    with scripted(says("prices: add one")) as chat:
        async with opened(chat) as nvim:
            await nvim.command("Tandem commit")
            await said(nvim, "Nothing is staged.")
            folder.write({"prices.py": CODE.replace("prices)", "prices) + 1")})
            folder.git("add", "--all")
            await nvim.command("Tandem commit")
            await nvim.until(f"({ANSWER}):find('add one', 1, true)", "commitMessage")
            assert await nvim.lua(f"return {ANSWER}", "commitMessage") == "prices: add one"
