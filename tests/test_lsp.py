"""Whole conversations with the real language server, engine and model behind it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from completion.engine import background
from completion.models import InstalledModel
from lsp.client import Editor, capabilities, folder_at
from tandem import config
from tests.lsp_client import (
    COMMAND,
    StartEditor,
    editors,
    engine_stopped_after,
    environment,
    events,
    make_home,
)

ADD = "def add(a, b):\n    return "
AFTER_ADD = (1, 11)
COUNTING = "numbers = [\n" + "".join(f"    {n},\n" for n in range(100, 140))
ENCODINGS = ["utf-8", "utf-16", "utf-32"]
REQUEST_CANCELLED = -32800


@pytest.fixture(scope="module")
def served_home(
    tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel
) -> Iterator[Path]:
    """User folders shared by this module, so that one engine serves most of its tests."""
    home = make_home(tmp_path_factory.mktemp("lsp") / "home", default_model.folder)
    with engine_stopped_after(home):
        yield home


@pytest.fixture
def home(served_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANDEM_HOME", str(served_home))
    return served_home


@pytest.fixture
async def start(home: Path) -> AsyncIterator[StartEditor]:
    async with editors(home) as start_editor:
        yield start_editor


@pytest.fixture
def fresh_home(
    tmp_path: Path, default_model: InstalledModel, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """User folders of one test, with the model but without an engine."""
    home = make_home(tmp_path / "home", default_model.folder)
    monkeypatch.setenv("TANDEM_HOME", str(home))
    with engine_stopped_after(home):
        yield home


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "work.py"


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


# What the server says it can do


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_it_offers_ghost_text_and_completion_in_the_encoding_the_client_prefers(
    start: StartEditor, encoding: str
) -> None:
    editor = Editor()
    home = Path(os.environ["TANDEM_HOME"])
    await editor.start(*COMMAND, env=environment(home))
    able = capabilities([encoding, *ENCODINGS])
    offered = (await editor.initialize(able)).capabilities
    assert offered.position_encoding == encoding
    assert offered.inline_completion_provider is not None
    assert offered.completion_provider is not None
    sync = offered.text_document_sync
    assert isinstance(sync, types.TextDocumentSyncOptions)
    assert sync.change == types.TextDocumentSyncKind.Incremental
    assert sync.open_close
    assert await editor.close() == 0


# Ghost text


async def test_ghost_text_is_inserted_at_the_cursor_and_replaces_nothing(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), ADD)
    [item] = await editor.inline(file.as_uri(), *AFTER_ADD)
    assert item.insert_text == "a + b"
    here = types.Position(*AFTER_ADD)
    assert item.range == types.Range(here, here)
    [event] = events(file)
    assert event["shown"] == "a + b"
    assert event["stages_ms"]["total"] > 0


async def test_a_gesture_reaches_the_trace_as_invoked(start: StartEditor, file: Path) -> None:
    editor = await start()
    editor.open(file.as_uri(), ADD)
    await editor.inline(file.as_uri(), *AFTER_ADD, invoked=True)
    await editor.inline(file.as_uri(), *AFTER_ADD, invoked=False)
    assert [event["details"]["invoked"] for event in events(file)] == [True, False]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_characters_outside_the_bmp_before_the_cursor_do_not_move_it(
    start: StartEditor, file: Path, encoding: str
) -> None:
    editor = await start(able=capabilities([encoding]))
    line = '    face, total = "😀語", a + '
    column = {"utf-8": len(line.encode()), "utf-16": len(line) + 1, "utf-32": len(line)}[encoding]
    editor.open(file.as_uri(), f"def add(a, b):\n{line}\n    return total\n")
    # One key more, so that an edit behind such characters is carried out as well.
    here = types.Position(1, column)
    editor.change(file.as_uri(), (here, here, "b"))
    answer = await editor.inline(file.as_uri(), 1, column + 1)
    [event] = events(file)
    assert (event["line"], event["column"]) == (2, len(line) + 1)
    assert all(item.range and item.range.start.character == column + 1 for item in answer)


@pytest.mark.parametrize("newline", ["\r\n", "\r"], ids=["CRLF", "CR"])
async def test_a_suggestion_has_the_line_ending_of_the_document(
    start: StartEditor, file: Path, newline: str
) -> None:
    editor = await start()
    text = "def absolute(x):\n    if x < 0:\n        return -x\n    "
    editor.open(file.as_uri(), ("import math\n\n\n" + text).replace("\n", newline))
    editor.open("untitled:plain", "import math\n\n\n" + text)
    items = await editor.inline(file.as_uri(), 6, 4)
    [plain] = await editor.inline("untitled:plain", 6, 4)
    assert [item.insert_text for item in items] == [str(plain.insert_text).replace("\n", newline)]
    [event] = events(file)
    assert (event["line"], event["column"]) == (7, 4)


async def test_a_suggestion_of_several_lines_keeps_crlf(start: StartEditor, file: Path) -> None:
    editor = await start(options={"completion": {"max_tokens": 48}})
    text = "def is_even(n):\r\n    return n % 2 == 0\r\n\r\n\r\ndef is_odd(n):\r\n"
    editor.open(file.as_uri(), text + COUNTING.replace("\n", "\r\n"))
    [item] = await editor.inline(file.as_uri(), 5 + COUNTING.count("\n"), 0)
    assert "\r\n" in str(item.insert_text)
    assert "\n" not in str(item.insert_text).replace("\r\n", "")


async def test_a_position_past_the_end_is_the_end_of_the_file(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), ADD)
    [item] = await editor.inline(file.as_uri(), 500, 3)
    here = types.Position(*AFTER_ADD)
    assert item.range == types.Range(here, here)
    assert item.insert_text == "a + b"


@pytest.mark.parametrize("uri", ["untitled:Untitled-1", "untitled:/nowhere/new.py", "memo:x"])
async def test_an_unsaved_document_gets_ghost_text(start: StartEditor, uri: str) -> None:
    editor = await start()
    editor.open(uri, ADD)
    [item] = await editor.inline(uri, *AFTER_ADD)
    assert item.insert_text == "a + b"


async def test_a_syntax_error_at_the_cursor_is_no_obstacle(start: StartEditor, file: Path) -> None:
    editor = await start()
    editor.open(file.as_uri(), "def add(a, b:\n    retrun ((a +\n    x = = add(1, ")
    await editor.inline(file.as_uri(), 2, 17)
    [event] = events(file)
    assert event["shown"] or event["reason"] not in ("", "engine error")


async def test_a_document_of_5_mb_is_completed(start: StartEditor, file: Path) -> None:
    editor = await start()
    filler = "# a line that only makes the file long, as generated code is\n" * 90_000
    assert len(filler) > 5_000_000
    editor.open(file.as_uri(), filler + ADD)
    here = types.Position(90_001, 11)
    editor.change(file.as_uri(), (here, here, "a"))
    items = await editor.inline(file.as_uri(), 90_001, 12)
    [event] = events(file)
    assert (event["line"], event["column"]) == (90_002, 12)
    assert [item.insert_text for item in items] == [" + b"]


async def test_binary_garbage_as_text_does_no_harm(start: StartEditor, file: Path) -> None:
    editor = await start()
    garbage = "".join(chr(n) for n in range(1, 256)) * 20 + "\ud800\x00\uffff\udfff\r\r\n"
    editor.open(file.as_uri(), garbage)
    await editor.inline(file.as_uri(), 3, 40)
    [event] = events(file)
    assert event["reason"] != "engine error"
    editor.change(file.as_uri(), replace_all(ADD))
    [item] = await editor.inline(file.as_uri(), *AFTER_ADD)
    assert item.insert_text == "a + b"


async def test_a_document_that_is_not_open_has_no_suggestions(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    assert await editor.inline(file.as_uri(), 0, 0) == []
    editor.open(file.as_uri(), ADD)
    editor.shut(file.as_uri())
    assert await editor.inline(file.as_uri(), *AFTER_ADD) == []


# The fallback


async def complete(editor: Editor, uri: str, kind: int, *place: int) -> types.CompletionList:
    answer = await editor.client.text_document_completion_async(
        types.CompletionParams(
            types.TextDocumentIdentifier(uri),
            types.Position(*place),
            types.CompletionContext(types.CompletionTriggerKind(kind)),
        )
    )
    assert isinstance(answer, types.CompletionList)
    return answer


async def test_an_editor_without_ghost_text_gets_a_completion_item(
    start: StartEditor, file: Path
) -> None:
    editor = await start(able=capabilities(inline=False))
    editor.open(file.as_uri(), ADD + "a")
    answer = await complete(editor, file.as_uri(), 1, 1, 12)
    assert answer.is_incomplete
    [item] = answer.items
    here = types.Position(1, 12)
    assert item.text_edit == types.TextEdit(types.Range(here, here), " + b")
    # An editor keeps an item only if the word before the cursor matches this.
    assert item.filter_text == "a + b"
    assert (item.label, item.detail) == ("+ b", "Tandem")
    assert item.insert_text_format == types.InsertTextFormat.PlainText


async def test_an_editor_with_ghost_text_gets_a_completion_item_only_for_a_gesture(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), ADD + "a")
    assert not (await complete(editor, file.as_uri(), 1, 1, 12)).items
    assert not (await complete(editor, file.as_uri(), 2, 1, 11)).items
    assert events(file) == []
    assert len((await complete(editor, file.as_uri(), 1, 1, 11)).items) == 1


# Cancelling, and edits in between


async def test_a_cancelled_request_is_answered_so_and_the_model_stops(
    start: StartEditor, file: Path
) -> None:
    editor = await start(options={"completion": {"max_tokens": 1000, "max_lines": 200}})
    editor.open(file.as_uri(), COUNTING)
    before = stats()["generated_tokens"]
    number, answer = editor.request_inline(file.as_uri(), COUNTING.count("\n"), 0)
    await until(lambda: stats()["generated_tokens"] > before + 3)
    editor.cancel(number)
    with pytest.raises(JsonRpcException) as failure:
        await answer
    assert failure.value.code == REQUEST_CANCELLED
    await until(lambda: not stats()["running"])
    assert stats()["generated_tokens"] - before < 300
    assert [event["reason"] for event in events(file)] == ["cancelled"]


async def test_an_edit_while_a_completion_runs_changes_neither_its_text_nor_the_document(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), ADD)
    _, answer = editor.request_inline(file.as_uri(), *AFTER_ADD)
    editor.change(file.as_uri(), replace_all("x = 1\n"))
    editor.change(file.as_uri(), replace_all("def add(first, second):\n    return "))
    [old] = (await answer).items
    assert old.insert_text == "a + b"
    [new] = await editor.inline(file.as_uri(), *AFTER_ADD)
    assert new.insert_text == "first + second"
    assert [event["details"]["version"] for event in events(file)] == [1, 3]


async def test_typing_key_by_key_gives_the_text_that_was_typed(
    start: StartEditor, file: Path
) -> None:
    editor = await start(options={"completion": {"max_tokens": 4}})
    editor.open(file.as_uri(), "")
    line, column, answers = 0, 0, []
    for key in ADD:
        here = types.Position(line, column)
        editor.change(file.as_uri(), (here, here, key))
        line, column = (line + 1, 0) if key == "\n" else (line, column + 1)
        number, answer = editor.request_inline(file.as_uri(), line, column)
        editor.cancel(number)
        answers.append(answer)
    await asyncio.gather(*answers, return_exceptions=True)
    [item] = await editor.inline(file.as_uri(), *AFTER_ADD)
    assert item.insert_text == "a + b"


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
    editor = await start(options={"completion": {"max_tokens": 1000, "max_lines": 200}})
    editor.open(file.as_uri(), COUNTING)
    address = background.find(config.load())
    assert address is not None
    _, answer = editor.request_inline(file.as_uri(), COUNTING.count("\n"), 0)
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


# Settings


async def test_a_change_of_configuration_turns_suggestions_off_and_on(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), ADD)
    for settings in ({"tandem": {"completion": {"enabled": False}}}, {"tandem": {}}):
        editor.client.workspace_did_change_configuration(
            types.DidChangeConfigurationParams(settings)
        )
        enabled = settings["tandem"] == {}
        while bool(await editor.inline(file.as_uri(), *AFTER_ADD)) != enabled:
            assert enabled, "off counts from the next request on"
            await asyncio.sleep(0.05)
    assert events(file)[0]["reason"] == "disabled"


async def test_a_bad_setting_is_told_in_one_line_and_the_old_ones_stay(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), ADD)
    editor.client.workspace_did_change_configuration(
        types.DidChangeConfigurationParams({"tandem": {"completion": {"max_tokens": -1}}})
    )
    message = await editor.told()
    assert "completion.max_tokens" in message
    assert "\n" not in message
    assert len(await editor.inline(file.as_uri(), *AFTER_ADD)) == 1
    assert len(editor.messages) == 1


async def test_settings_that_cannot_be_read_at_the_start_turn_suggestions_off(
    start: StartEditor, file: Path
) -> None:
    editor = await start(options={"completion": {"enabled": "perhaps"}}, loaded=False)
    assert "completion.enabled" in await editor.told()
    editor.open(file.as_uri(), ADD)
    assert await editor.inline(file.as_uri(), *AFTER_ADD) == []
    assert [event["reason"] for event in events(file)] == ["disabled"]


async def test_a_folder_whose_file_turns_suggestions_off_has_none_and_its_neighbour_has(
    start: StartEditor, tmp_path: Path
) -> None:
    quiet, loud = tmp_path / "quiet", tmp_path / "quiet" / "inner"
    loud.mkdir(parents=True)
    (quiet / ".tandem.toml").write_text("[completion]\nenabled = false\n")
    (loud / ".tandem.toml").write_text("[completion]\nmax_lines = 3\n")
    editor = await start(folders=[quiet, loud])
    for folder, count in ((quiet, 0), (loud, 1)):
        uri = (folder / "work.py").as_uri()
        editor.open(uri, ADD)
        assert len(await editor.inline(uri, *AFTER_ADD)) == count
    assert [event["reason"] for event in events(quiet / "work.py")] == ["disabled"]


async def test_folders_that_come_and_go_bring_and_take_their_settings(
    start: StartEditor, tmp_path: Path
) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / ".tandem.toml").write_text("[completion]\ndisabled_languages = ['python']\n")
    editor = await start()
    editor.open("untitled:a", ADD)
    assert len(await editor.inline("untitled:a", *AFTER_ADD)) == 1
    added, removed = [folder_at(folder)], []
    editor.client.workspace_did_change_workspace_folders(
        types.DidChangeWorkspaceFoldersParams(types.WorkspaceFoldersChangeEvent(added, removed))
    )
    assert await editor.inline("untitled:a", *AFTER_ADD) == []
    editor.client.workspace_did_change_workspace_folders(
        types.DidChangeWorkspaceFoldersParams(types.WorkspaceFoldersChangeEvent(removed, added))
    )
    while not await editor.inline("untitled:a", *AFTER_ADD):
        await asyncio.sleep(0.05)


async def test_a_settings_file_counts_as_soon_as_it_is_written(
    start: StartEditor, tmp_path: Path, file: Path
) -> None:
    editor = await start(folders=[tmp_path])
    editor.open(file.as_uri(), ADD)
    assert len(await editor.inline(file.as_uri(), *AFTER_ADD)) == 1
    (tmp_path / ".tandem.toml").write_text("[completion]\nenabled = false\n")
    assert await editor.inline(file.as_uri(), *AFTER_ADD) == []
    assert events(file)[-1]["reason"] == "disabled"


async def test_an_untrusted_endpoint_in_a_repository_is_left_out_and_told(
    start: StartEditor, tmp_path: Path, file: Path
) -> None:
    (tmp_path / ".tandem.toml").write_text('endpoint = "http://192.0.2.1/v1"\n')
    editor = await start(folders=[tmp_path])
    message = await editor.told()
    assert "endpoint" in message
    assert "tandem trust" in message
    editor.open(file.as_uri(), ADD)
    assert len(await editor.inline(file.as_uri(), *AFTER_ADD)) == 1


async def test_a_client_that_can_be_asked_is_asked_for_each_folder(
    home: Path, tmp_path: Path, file: Path
) -> None:
    editor = Editor()
    editor.settings = {tmp_path.as_uri(): {"completion": {"enabled": False}, "model": None}}
    await editor.start(*COMMAND, env=environment(home))
    await editor.initialize(capabilities(configuration=True), folders=[tmp_path])
    editor.open(file.as_uri(), ADD)
    await until(lambda: editor.asked)
    assert await editor.inline(file.as_uri(), *AFTER_ADD) == []
    assert events(file)[-1]["reason"] == "disabled"
    assert types.WORKSPACE_DID_CHANGE_CONFIGURATION in editor.registered
    editor.settings = {}
    editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
    while not await editor.inline(file.as_uri(), *AFTER_ADD):
        await asyncio.sleep(0.05)
    assert await editor.close() == 0


async def test_a_secret_file_is_never_completed(start: StartEditor, tmp_path: Path) -> None:
    editor = await start()
    secret = tmp_path / ".env"
    editor.open(secret.as_uri(), ADD)
    assert await editor.inline(secret.as_uri(), *AFTER_ADD) == []
    assert [event["reason"] for event in events(secret)] == ["secret file"]


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
