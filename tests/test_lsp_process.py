"""The language server's life: loading, a dying engine, the protocol's edges, its end."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pygls.exceptions import JsonRpcException

from completion.engine import background
from lsp.client import Editor, capabilities
from tandem import config
from tests.lsp_client import (
    ADD,
    AFTER_ADD,
    COMMAND,
    SLOW,
    StartEditor,
    editors,
    environment,
    events,
    make_home,
    replace_all,
    stats,
    until,
)

# Loading


async def test_a_request_before_the_model_is_ready_is_empty_and_traced(
    fresh_home: Path, file: Path
) -> None:
    async with editors(fresh_home) as start:
        editor = await start(loaded=False)
        editor.open(file.as_uri(), ADD)
        assert await editor.inline(file.as_uri(), *AFTER_ADD) == []
        assert [event["reason"] for event in events(file)] == ["model loading"]
        assert "ready" in await editor.loaded()
        assert len(await editor.inline(file.as_uri(), *AFTER_ADD)) == 1
        [told] = editor.progress.values()
        kinds = [value["kind"] for value in told]
        assert (kinds[0], kinds[-1]) == ("begin", "end")
        assert kinds.count("begin") == kinds.count("end") == 1


async def test_a_client_without_progress_is_sent_none(start: StartEditor, file: Path) -> None:
    editor = await start(able=capabilities(progress=False), loaded=False)
    editor.open(file.as_uri(), ADD)
    while not await editor.inline(file.as_uri(), *AFTER_ADD):
        await asyncio.sleep(0.05)
    assert editor.progress == {}


async def test_a_missing_model_is_told_once_with_the_command_that_mends_it(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "home", None)
    monkeypatch.setenv("TANDEM_HOME", str(home))
    async with editors(home) as start:
        editor = await start()
        assert "tandem models pull tandem-135m" in await editor.told()
        editor.open(file.as_uri(), ADD)
        for _ in range(3):
            assert await editor.inline(file.as_uri(), *AFTER_ADD) == []
        assert len(editor.messages) == 1
        [told] = editor.progress.values()
        assert [value["kind"] for value in told].count("end") == 1


async def test_two_language_servers_share_one_engine(fresh_home: Path, file: Path) -> None:
    async with editors(fresh_home) as start:
        one, other = await asyncio.gather(start(), start())
        engines = [
            process
            for process in psutil.process_iter(["cmdline"])
            if "completion.engine" in (process.info["cmdline"] or [])
            and process.environ().get("TANDEM_HOME") == str(fresh_home)
        ]
        assert len(engines) == 1
        for editor in (one, other):
            editor.open(file.as_uri(), ADD)
            assert len(await editor.inline(file.as_uri(), *AFTER_ADD)) == 1


async def test_a_killed_engine_gives_an_empty_answer_and_is_started_again(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), SLOW)
    address = background.find(config.load())
    assert address is not None
    _, answer = editor.request_inline(file.as_uri(), 0, len(SLOW))
    await until(lambda: stats()["running"])
    psutil.Process(address.pid).kill()
    assert not (await answer).items
    assert [event["reason"] for event in events(file)] == ["engine restarting"]
    editor.change(file.as_uri(), replace_all(ADD))
    while not await editor.inline(file.as_uri(), *AFTER_ADD):
        await asyncio.sleep(0.1)
    again = background.find(config.load())
    assert again is not None
    assert again.pid != address.pid


# The protocol's edges


async def test_malformed_parameters_are_refused_and_the_server_goes_on(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    with pytest.raises(JsonRpcException) as failure:
        await editor.send("textDocument/inlineCompletion", {"position": "nowhere"})
    assert failure.value.code in (-32602, -32603)
    editor.open(file.as_uri(), ADD)
    assert len(await editor.inline(file.as_uri(), *AFTER_ADD)) == 1
    assert editor.messages == []


async def test_a_request_before_initialize_is_refused(home: Path) -> None:
    editor = Editor()
    await editor.start(*COMMAND, env=environment(home))
    with pytest.raises(JsonRpcException) as failure:
        await editor.inline("untitled:a", 0, 0)
    assert failure.value.code == -32002
    await editor.initialize()
    assert await editor.close() == 0


async def test_the_flag_that_some_clients_add_changes_nothing(home: Path) -> None:
    editor = Editor()
    await editor.start(*COMMAND, "--stdio", env=environment(home))
    try:
        await editor.initialize()
    finally:
        await editor.close()


async def test_a_request_after_shutdown_is_refused_and_exit_returns_0(start: StartEditor) -> None:
    editor = await start()
    await editor.client.shutdown_async(None)
    with pytest.raises(JsonRpcException) as failure:
        await editor.inline("untitled:a", 0, 0)
    assert failure.value.code == -32600
    editor.client.exit(None)
    await editor.client.stop()
    assert editor.exit_code == 0


async def test_exit_without_shutdown_returns_1(start: StartEditor) -> None:
    editor = await start()
    editor.client.exit(None)
    await editor.client.stop()
    assert editor.exit_code == 1


async def test_shutdown_while_the_model_loads_ends_the_server(fresh_home: Path) -> None:
    async with editors(fresh_home) as start:
        editor = await start(loaded=False)
        assert await editor.close() == 0


def test_the_end_of_the_input_ends_the_server(home: Path) -> None:
    server = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(home)
    )
    stdout, _ = server.communicate(timeout=60)
    assert stdout == b""
    assert server.returncode == 1


async def test_the_end_of_the_editor_ends_the_server_even_with_its_input_open(
    home: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        editor = Editor()
        await editor.start(*COMMAND, env=environment(home))
        await editor.initialize(process_id=parent.pid)
        parent.communicate(b"\n")
    await editor.client.stop()
    assert editor.exit_code == 1


# TCP


async def test_tcp_serves_one_editor_on_this_machine_only(home: Path, file: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        *COMMAND, "--tcp", "0", stderr=asyncio.subprocess.PIPE, env=environment(home)
    )
    assert server.stderr is not None
    host, _, port = (await server.stderr.readline()).decode().split()[-1].partition(":")
    addresses = {one.laddr.ip for one in psutil.Process(server.pid).net_connections("inet")}
    assert host == "127.0.0.1"
    assert addresses == {"127.0.0.1"}
    editor = Editor()
    await editor.connect(host, int(port))
    await editor.initialize()
    await editor.loaded()
    editor.open(file.as_uri(), ADD)
    # Sent in one go: the request must see the text before the edit that follows it.
    _, answer = editor.request_inline(file.as_uri(), *AFTER_ADD)
    editor.change(file.as_uri(), replace_all("x = 1\n"))
    assert [item.insert_text for item in (await answer).items] == ["a + b"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=5)
    await editor.client.shutdown_async(None)
    editor.client.exit(None)
    assert await server.wait() == 0
    await editor.client.stop()


def test_a_tcp_port_in_use_is_one_line_and_exit_code_2(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "--tcp", port], capture_output=True, text=True, env=environment(home)
        )
    assert done.returncode == 2
    assert "Cannot listen" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
