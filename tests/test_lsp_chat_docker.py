"""Chat commands that run code in the sandbox, from an editor over stdio, with real containers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from lsp.client import Editor
from sandbox import audit
from tests.lsp_client import REQUEST_CANCELLED, StartEditor, editors, until
from tests.repositories import MadeRepository
from tests.scripted_chat import says, scripted
from tests.test_lsp_chat import Desk, able, failure, last_id

TESTS = """from paging import page_links


def test_of_one_page():
    assert page_links(1, 1) is not None


def test_that_is_wrong():
    assert page_links(1, 1) == "nothing like it"
"""


@pytest.fixture
async def start(bare_home: Path, proved: None) -> AsyncIterator[StartEditor]:
    async with editors(bare_home) as start_editor:
        yield start_editor


async def at_desk(
    start: StartEditor,
    folder: Path,
    endpoint: str = "http://127.0.0.1:9",
    name: str = "paging.py",
) -> Desk:
    options = {"completion": {"enabled": False}, "chat": {"endpoint": endpoint}}
    told = able()
    assert told.window is not None
    told.window.work_done_progress = True
    editor = await start(loaded=False, able=told, options=options, folders=[folder])
    file = folder / name
    editor.open(file.as_uri(), file.read_text())
    return Desk(editor, file.as_uri()).listen()


def messages(editor: Editor) -> list[str]:
    return [one.get("message", "") for told in editor.progress.values() for one in told]


async def test_tests_are_written_and_run_in_the_sandbox(
    start: StartEditor, paging: MadeRepository
) -> None:
    name, row = first_function(paging.folder / "paging.py")
    code = TESTS.replace("page_links(1, 1)", f"{name}").replace("page_links", name)
    with scripted(says(f"```python\n{code}```")) as server:
        one = await at_desk(start, paging.folder, server.url)
        inside = {"start": {"line": row, "character": 4}, "end": {"line": row, "character": 4}}
        told = await one.run("tests", range=inside)
    assert "Import what you test from `paging`." in server.bodies[0]["messages"][-1]["content"]
    path = f"tests/test_paging_{name}.py"
    assert told["tests"]["path"] == path
    assert told["tests"]["passed"] == [f"{path}::test_of_one_page"]
    assert told["tests"]["failed"] == [f"{path}::test_that_is_wrong"]
    assert told["tests"]["exitCode"] == 1
    assert not (paging.folder / path).exists()
    [edit] = one.applied
    created, filled = edit.document_changes or []
    assert isinstance(created, types.CreateFile)
    assert created.uri == (paging.folder / path).as_uri()
    assert isinstance(filled, types.TextDocumentEdit)
    assert filled.edits[0].new_text == code  # pyright: ignore[reportAttributeAccessIssue]


def first_function(file: Path) -> tuple[str, int]:
    for row, line in enumerate(file.read_text().split("\n")):
        if line.startswith("def "):
            return line[4:].partition("(")[0], row
    raise AssertionError("no function")


async def test_a_failing_test_is_fixed_with_progress_and_an_edit_that_wants_a_yes(
    start: StartEditor, paging: MadeRepository
) -> None:
    one = await at_desk(start, paging.folder)
    told = await one.run("fix")
    assert told["ended"] == "fixed", told
    assert "+    return list(range(first, last + 1))" in told["diff"]
    assert told["applied"] is True
    assert {"baseline", "search"} <= set(messages(one.editor))
    [edit] = one.applied
    assert edit.change_annotations is not None
    [change] = edit.document_changes or []
    assert isinstance(change, types.TextDocumentEdit)
    assert change.text_document.version == 1
    assert [e.new_text for e in change.edits] == [  # pyright: ignore[reportAttributeAccessIssue]
        "    return list(range(first, last + 1))\n"
    ]
    assert paging.git("status", "--short") == ""


async def test_a_fix_that_the_rules_refuse_is_not_offered(
    start: StartEditor, paging: MadeRepository
) -> None:
    paging.write({".tandem.toml": "[agent]\nprotected = ['/paging.py']\n"})
    one = await at_desk(start, paging.folder)
    told = await one.run("fix", test="python3 -m pytest -q", apply=True)
    assert told["ended"] == "fixed", told
    assert (told["edit"], told["applied"]) == (None, False)
    assert told["why"] == "Nothing was applied: paging.py: your settings protect it."
    assert one.applied == one.questions == []
    log = map(json.loads, audit.file_of(told["run"]).read_text().splitlines())
    [decision] = [one["data"] for one in log if one["event"] == "decision"]
    assert (decision["yes"], decision["by"]) == (False, "rules")


async def test_a_fix_of_a_file_that_is_not_open_is_offered_too(
    start: StartEditor, paging: MadeRepository
) -> None:
    one = await at_desk(start, paging.folder)
    one.editor.shut(one.uri)
    told = await one.run("fix", test="python3 -m pytest -q")
    assert told["edit"] is not None, told
    [change] = told["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": one.uri, "version": None}


async def test_a_fix_for_a_file_with_unsaved_changes_is_not_applied(
    start: StartEditor, paging: MadeRepository
) -> None:
    one = await at_desk(start, paging.folder)
    one.editor.change(one.uri, (types.Position(0, 0), types.Position(0, 0), "# unsaved\n"))
    told = await one.run("fix", test="python3 -m pytest -q")
    assert told["ended"] == "fixed", told
    assert (told["edit"], told["applied"]) == (None, False)
    assert "save it first" in told["why"]
    assert one.applied == []


async def test_a_fix_can_be_cancelled(start: StartEditor, paging: MadeRepository) -> None:
    one = await at_desk(start, paging.folder)
    answer: Any = asyncio.ensure_future(one.send("fix"))
    await until(lambda: "sandbox" in messages(one.editor))
    one.editor.cancel(last_id(one.editor))
    code, _ = await failure(answer)
    assert code == REQUEST_CANCELLED
