"""Language servers for tests: real processes, with user folders of the test's own."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from lsprotocol import types

from completion.engine import background
from lsp.client import Editor
from tandem import config, trace

REPOSITORY = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "tandem", "lsp")
# Short answers keep the suite fast; a long wait and one thread keep it going on a busy machine,
# where the threads of a matrix product wait for each other far longer than they work.
USER_SETTINGS = """
[completion]
max_tokens = 16
timeout_ms = 120000
# Tests ask where nobody would type, and at once; what is quiet there has tests of its own.
gate = false
display_gate = false
cut_unsure = false
debounce = false
prefetch = false
in_comments = true
in_strings = true
[engine]
threads = 1
"""

ADD = "def add(a, b):\n    return "
AFTER_ADD = (1, 11)


# A number half typed: it is spelled out digit by digit, a second or two, whatever the model says.
def digits(seed: int) -> str:
    """One that no other test has typed: what was spelled out once is guessed the next time."""
    return "".join(random.Random(seed).choices("0123456789", k=190))


DIGITS = digits(1)
SLOW = f"total = {DIGITS}"
ENCODINGS = ["utf-8", "utf-16", "utf-32"]
REQUEST_CANCELLED = -32800

StartEditor = Callable[..., Awaitable[Editor]]


def make_home(home: Path, model: Path | None) -> Path:
    """User folders with test settings and, if given, a link to an installed model."""
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text(USER_SETTINGS)
    if model is not None:
        (home / "cache" / "models").mkdir(parents=True)
        (home / "cache" / "models" / model.name).symlink_to(model, target_is_directory=True)
        share_packed(home, model)
    return home


def share_packed(home: Path, model: Path) -> None:
    """Let user folders use the packed weights that lie beside the shared model."""
    shared = model.parent.parent / "packed"
    shared.mkdir(exist_ok=True)
    (home / "cache" / "packed").symlink_to(shared, target_is_directory=True)


def use_folders(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Have `home`'s user folders in this process, and no settings from outside."""
    for name in [name for name in os.environ if name.startswith("TANDEM_")]:
        if name != "TANDEM_KERNELS" and not name.startswith("TANDEM_TEST_"):
            patch.delenv(name)
    patch.setenv("TANDEM_HOME", str(home))


def environment(home: Path) -> dict[str, str]:
    """This process's environment with other user folders, without settings from outside."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TANDEM_") or name == "TANDEM_KERNELS"
    }
    return {**clean, "TANDEM_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}


@contextmanager
def engine_stopped_after(home: Path) -> Iterator[None]:
    """End the engine of these user folders when the block ends."""
    try:
        yield
    finally:
        before = os.environ.get("TANDEM_HOME")
        os.environ["TANDEM_HOME"] = str(home)
        try:
            background.stop(config.load())
        finally:
            if before is None:
                del os.environ["TANDEM_HOME"]
            else:
                os.environ["TANDEM_HOME"] = before


@asynccontextmanager
async def editors(home: Path) -> AsyncIterator[StartEditor]:
    """Yields how to start an editor with a server; all are closed when the block ends."""
    started: list[Editor] = []

    async def start(*, loaded: bool = True, **initialize: Any) -> Editor:
        editor = Editor()
        started.append(editor)
        await editor.start(*COMMAND, env=environment(home))
        await editor.initialize(**initialize)
        if loaded:
            await editor.loaded()
        return editor

    try:
        yield start
    finally:
        for editor in started:
            await editor.close()


def events(file: Path | str, kind: str = "completion") -> list[dict[str, Any]]:
    """The trace events about one file, oldest first."""
    return [event for event in trace.read() if event["file"] == str(file) and event["kind"] == kind]


def replace_all(text: str) -> tuple[types.Position, types.Position, str]:
    return types.Position(0, 0), types.Position(1_000_000, 0), text


def stats() -> dict[str, Any]:
    address = background.find(config.load())
    assert address is not None, "no engine runs"
    response = httpx.get(
        address.url.removesuffix("/v1") + "/health",
        headers={"Authorization": f"Bearer {address.token}"},
        trust_env=False,
    )
    return response.json()["stats"]


async def until(condition: Any) -> None:
    """Wait for something that another process does; the test's own timeout is the limit."""
    while not condition():
        await asyncio.sleep(0.05)
