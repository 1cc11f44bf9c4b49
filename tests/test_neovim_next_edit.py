"""The next edit in a real Neovim, with the real language server: what is mechanical needs no model."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.neovim import SERVED, Neovim, neovim
from tests.repositories import MadeRepository

CORE = "def price(item, count):\n    total = item * count\n    return total + item\n"
USE = "from core import price\n\nprice(1, 2)\n"
OFF = {"endpoint": "http://127.0.0.1:9"}
THERE = "require('tandem.next_edit').is_there()"
RENAME = "gg/item<CR>cwthing<Esc>"
HEAR_OF_THE_INDEX = """
vim.api.nvim_create_autocmd('LspProgress', { callback = function(event)
  Indexed = Indexed or (event.data.params.value.message or ''):find('indexed', 1, true)
end })
"""
MINE = "vim.keymap.set('n', '<M-n>', function() Mine = (Mine or 0) + 1 end)"
Open = Callable[..., AbstractAsyncContextManager[Neovim]]


@pytest.fixture
def folder(tmp_path: Path) -> MadeRepository:
    made = MadeRepository(tmp_path / "shop")
    made.commit({"core.py": CORE, "use.py": USE})
    return made


@pytest.fixture
def opened(bare_home: Path, folder: MadeRepository) -> Open:
    """Neovim in the repository, with `core.py` there and served."""

    @asynccontextmanager
    async def start(text: str = CORE, setup: Any = None, **other: Any) -> AsyncIterator[Neovim]:
        (folder.folder / "core.py").write_text(text)
        settings = {**OFF, **other.pop("settings", {})}
        async with neovim(
            bare_home, setup, folder=folder.folder, settings=settings, **other
        ) as nvim:
            await nvim.command("edit core.py")
            await nvim.until(SERVED)
            yield nvim

    return start


async def test_a_rename_is_followed_place_by_place_with_one_key(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type(RENAME)
        await nvim.sees("total = itemthing * count  Rename `item` to `thing` here (1 more)")
        assert (await nvim.lines())[1] == "    total = item * count"
        await nvim.type("<M-n>")
        assert (await nvim.lines())[1] == "    total = thing * count"
        assert await nvim.cursor() == (2, 12)
        await nvim.sees("return total + itemthing  Rename `item` to `thing` here")
        await nvim.type("<M-n>")
        assert await nvim.lines() == CORE.replace("item", "thing").splitlines()
        await nvim.until(f"not {THERE}")
        assert "Rename" not in nvim.screen()
        await nvim.type("uu")
        assert (await nvim.lines())[1] == "    total = item * count"


async def test_to_a_place_off_the_screen_the_key_goes_first(opened: Open) -> None:
    text = CORE.replace("    total", "    pass\n" * 60 + "    total", 1)
    async with opened(text) as nvim:
        await nvim.type(RENAME)
        await nvim.sees("count):  line 62: Rename `item` to `thing` here (1 more)")
        await nvim.type("<M-n>")
        assert await nvim.cursor() == (62, 12)
        assert (await nvim.lines())[61] == "    total = item * count"
        await nvim.sees("total = itemthing * count")
        await nvim.type("<M-n>")
        assert (await nvim.lines())[61] == "    total = thing * count"
        await nvim.type("``")
        await nvim.type("<C-o>")
        assert (await nvim.cursor())[0] == 1


async def test_it_follows_into_a_file_that_is_not_open(
    opened: Open, folder: MadeRepository
) -> None:
    async with opened(before=HEAR_OF_THE_INDEX) as nvim:
        await nvim.until("Indexed")
        await nvim.type("gg/price<CR>cwcost<Esc>")
        await nvim.sees("use.py:1: Rename `price` to `cost` here (1 more)")
        await nvim.type("<M-n>")
        await nvim.sees("from core import pricecost")
        assert await nvim.lines() == USE.splitlines()
        await nvim.type("<M-n>")
        await nvim.sees("pricecost(1, 2)")
        await nvim.type("<M-n>")
        assert await nvim.lines() == USE.replace("price", "cost").splitlines()
    assert (folder.folder / "use.py").read_text() == USE


async def test_it_is_made_while_inserting_too_and_is_one_step_of_undo(opened: Open) -> None:
    text = CORE.replace("item *", "'😀é', item *")
    async with opened(text) as nvim:
        await nvim.type("gg/item<CR>cwthing")
        await nvim.sees("total = '😀é', itemthing * count")
        await nvim.type("<M-n>")
        await nvim.until("vim.api.nvim_get_current_line():find('thing', 1, true)")
        assert (await nvim.lines())[1] == "    total = '😀é', thing * count"
        await nvim.type("<Esc>u")
        assert await nvim.lines() == text.replace("price(item", "price(thing").splitlines()


async def test_declined_it_stays_away_and_the_key_does_what_it_did(opened: Open) -> None:
    async with opened(setup={"keys": {"edit": "<M-n>"}}, before=MINE) as nvim:
        await nvim.type(RENAME)
        await nvim.sees("itemthing")
        await nvim.type("a<C-]>")
        await nvim.sees_no_more("itemthing")
        await nvim.type("<Esc><M-n>")
        assert await nvim.lua("return Mine") == 1


async def test_what_is_typed_meanwhile_takes_it_away(opened: Open) -> None:
    async with opened() as nvim:
        await nvim.type(RENAME)
        await nvim.sees("itemthing")
        code = f"vim.api.nvim_buf_set_lines(0, 0, 0, true, {{ '#' }}) return {THERE}"
        assert await nvim.lua(code) is False
        await nvim.type("<M-n>")
        assert (await nvim.lines())[2] == "    total = item * count"
        await nvim.sees("total = itemthing * count")
        await nvim.command("Tandem disable")
        await nvim.sees_no_more("itemthing")
