"""The next edit through the real language server over stdio: request, code actions, trace."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from lsp.client import Editor, capabilities
from tests.lsp_client import StartEditor, editors, events, make_home
from tests.repositories import MadeRepository

CORE = "def price(item, count):\n    return item * count\n"
USE = "from core import price\n\nprice(1, 2)\n"
ENCODINGS = ["utf-8", "utf-16", "utf-32"]


@pytest.fixture
async def start(empty_home: Path) -> AsyncIterator[StartEditor]:
    """Servers without a model: what is mechanical needs none."""
    make_home(empty_home, None)
    async with editors(empty_home) as start:
        yield start


def able(encoding: str = "utf-16", versions: bool = True) -> types.ClientCapabilities:
    made = capabilities([encoding])
    assert made.workspace is not None
    made.workspace.workspace_edit = types.WorkspaceEditClientCapabilities(document_changes=versions)
    return made


async def opened(start: StartEditor, file: Path, text: str, **more: Any) -> Editor:
    editor = await start(loaded=False, able=able(), **more)
    editor.open(file.as_uri(), text)
    return editor


def rename(editor: Editor, uri: str, line: int, column: int, old: str, new: str) -> None:
    """Letter by letter, as it is typed; columns are in ASCII lines."""
    position = types.Position
    for size in range(len(old), 0, -1):
        at = column + size - 1
        editor.change(uri, (position(line, at), position(line, at + 1), ""))
    for number, letter in enumerate(new):
        at = position(line, column + number)
        editor.change(uri, (at, at, letter))


async def next_edit(editor: Editor, uri: str, line: int = 0, column: int = 0) -> Any:
    params = {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": column},
    }
    return _plain(await editor.send("tandem/nextEdit", params))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    return value


async def actions(editor: Editor, uri: str, *only: str) -> list[types.CodeAction]:
    here = types.Range(types.Position(0, 0), types.Position(0, 0))
    context = types.CodeActionContext([], [types.CodeActionKind(one) for one in only] or None)
    params = types.CodeActionParams(types.TextDocumentIdentifier(uri), here, context)
    found = await editor.client.text_document_code_action_async(params)
    assert all(isinstance(one, types.CodeAction) for one in found or [])
    return list(found or [])  # pyright: ignore[reportReturnType]


async def test_the_next_edit_is_given_with_its_title_version_and_range(
    start: StartEditor, tmp_path: Path
) -> None:
    file = tmp_path / "core.py"
    editor = await opened(start, file, CORE)
    rename(editor, file.as_uri(), 0, 10, "item", "thing")
    told = await next_edit(editor, file.as_uri())
    where = {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 15}}
    assert told["title"] == "Rename `item` to `thing` here"
    assert told["uri"] == file.as_uri()
    assert told["version"] == 10
    assert told["remaining"] == 0
    assert told["range"] == where
    assert told["edit"] == {"range": where, "newText": "thing"}
    [event] = events(file, "next_edit")
    assert event["id"] == told["id"]
    assert event["shown"] == "thing"


async def test_code_actions_offer_this_place_and_all_with_versions(
    start: StartEditor, tmp_path: Path
) -> None:
    file = tmp_path / "core.py"
    editor = await opened(start, file, CORE.replace("item *", "item + item *"))
    rename(editor, file.as_uri(), 0, 10, "item", "thing")
    here, everywhere = await actions(editor, file.as_uri())
    assert here.title == "Tandem: rename `item` to `thing` here (1 more)"
    assert everywhere.title == "Tandem: rename `item` to `thing` everywhere (2 places)"
    assert here.kind == "refactor.rewrite"
    assert everywhere.edit is not None
    assert everywhere.edit.document_changes is not None
    [change] = everywhere.edit.document_changes
    assert isinstance(change, types.TextDocumentEdit)
    assert change.text_document.version == 10
    assert [edit.new_text for edit in change.edits] == ["thing", "thing"]  # pyright: ignore
    assert len(await actions(editor, file.as_uri(), "refactor")) == 2
    assert await actions(editor, file.as_uri(), "quickfix") == []


async def test_a_client_without_versions_gets_plain_changes(
    start: StartEditor, tmp_path: Path
) -> None:
    file = tmp_path / "core.py"
    editor = await start(loaded=False, able=able(versions=False))
    editor.open(file.as_uri(), CORE)
    rename(editor, file.as_uri(), 0, 10, "item", "thing")
    [here] = await actions(editor, file.as_uri())
    assert here.edit is not None
    assert here.edit.document_changes is None
    assert list(here.edit.changes or {}) == [file.as_uri()]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_ranges_count_as_the_client_does_also_in_lines_of_emoji_and_crlf(
    start: StartEditor, tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "core.py"
    editor = await start(loaded=False, able=able(encoding))
    editor.open(file.as_uri(), "def f(item):\r\n    return '😀é', item\r\n")
    rename(editor, file.as_uri(), 0, 6, "item", "thing")
    told = await next_edit(editor, file.as_uri())
    before = "    return '😀é', "
    size = {"utf-8": len(before.encode()), "utf-16": len(before) + 1, "utf-32": len(before)}
    assert told["range"]["start"] == {"line": 1, "character": size[encoding]}
    assert told["range"]["end"] == {"line": 1, "character": size[encoding] + 4}


async def test_a_new_argument_on_its_own_line_ends_as_the_document_s_lines_do(
    start: StartEditor, tmp_path: Path
) -> None:
    file = tmp_path / "core.py"
    text = "def f(a):\n    pass\n\n\nb = 1\nf(\n    1,\n)\n"
    editor = await opened(start, file, text.replace("\n", "\r\n"))
    rename(editor, file.as_uri(), 0, 6, "a", "a, b")
    told = await next_edit(editor, file.as_uri())
    assert told["edit"]["newText"] == ",\r\n    b"
    assert told["title"] == "A new parameter of `f` here"


async def test_without_a_value_nothing_is_offered_and_the_trace_says_so(
    start: StartEditor, tmp_path: Path
) -> None:
    file = tmp_path / "core.py"
    editor = await opened(start, file, "def f(a):\n    pass\n\n\nf(1)\n")
    rename(editor, file.as_uri(), 0, 6, "a", "a, b")
    assert await next_edit(editor, file.as_uri()) is None
    assert await actions(editor, file.as_uri()) == []
    [event] = events(file, "next_edit")
    assert event["reason"] == "no value is known for the new argument"
    assert event["shown"] is None


async def test_a_recognised_change_without_a_place_is_told_once(
    start: StartEditor, tmp_path: Path
) -> None:
    file = tmp_path / "core.py"
    editor = await opened(start, file, "def f(a, b):\n    return a\n")
    rename(editor, file.as_uri(), 0, 6, "a", "b")
    for _ in range(3):
        assert await next_edit(editor, file.as_uri()) is None
    [event] = events(file, "next_edit")
    assert event["reason"] == "the new name means something else there"
    assert event["details"]["change"] == "rename `a` to `b`"


async def test_the_rest_follows_in_other_files_of_the_repository(
    start: StartEditor, tmp_path: Path
) -> None:
    made = MadeRepository(tmp_path / "project")
    made.write({"core.py": CORE, "use.py": USE})
    core, use = made.folder / "core.py", made.folder / "use.py"
    editor = await opened(start, core, CORE, folders=[made.folder])
    while not any("indexed" in told[-1].get("message", "") for told in editor.progress.values()):
        await editor._next()
    rename(editor, core.as_uri(), 0, 4, "price", "cost")
    told = await next_edit(editor, core.as_uri())
    assert (told["uri"], told["version"]) == (use.as_uri(), None)
    assert told["range"]["start"] == {"line": 0, "character": 17}
    assert told["remaining"] == 1
    here, everywhere = await actions(editor, core.as_uri())
    assert here.title == "Tandem: rename `price` to `cost` here (1 more)"
    assert everywhere.title == "Tandem: rename `price` to `cost` everywhere (2 places)"
    # It is opened and the edit made: the next one is asked for there.
    editor.open(use.as_uri(), USE)
    start_, end = told["range"]["start"], told["range"]["end"]
    editor.change(
        use.as_uri(),
        (types.Position(**start_), types.Position(**end), told["edit"]["newText"]),
    )
    told = await next_edit(editor, use.as_uri())
    assert told["range"]["start"] == {"line": 2, "character": 0}
    assert told["version"] == 2


async def test_other_schemes_secrets_and_read_only_files_are_never_changed(
    start: StartEditor, tmp_path: Path
) -> None:
    editor = await start(loaded=False, able=able())
    secret, fixed = tmp_path / ".env", tmp_path / "fixed.py"
    fixed.write_text(CORE)
    fixed.chmod(stat.S_IRUSR)
    uris = [f"git:{tmp_path / 'core.py'}", "output:core.py", secret.as_uri()]
    if not _may_write_all():
        uris.append(fixed.as_uri())
    for uri in uris:
        editor.open(uri, CORE)
        rename(editor, uri, 0, 10, "item", "thing")
        assert await next_edit(editor, uri) is None
        assert await actions(editor, uri) == []


def _may_write_all() -> bool:
    """Root may write what is read-only."""
    return os.geteuid() == 0


async def test_an_unsaved_document_has_next_edits(start: StartEditor) -> None:
    editor = await start(loaded=False, able=able())
    editor.open("untitled:Untitled-1", CORE)
    rename(editor, "untitled:Untitled-1", 0, 10, "item", "thing")
    told = await next_edit(editor, "untitled:Untitled-1")
    assert told["uri"] == "untitled:Untitled-1"


async def test_an_answer_is_of_the_newest_text_or_none(start: StartEditor, tmp_path: Path) -> None:
    file = tmp_path / "core.py"
    editor = await opened(start, file, CORE)
    rename(editor, file.as_uri(), 0, 10, "item", "thing")
    asked = asyncio.ensure_future(next_edit(editor, file.as_uri()))
    await asyncio.sleep(0)
    version = editor.change(file.as_uri(), (types.Position(0, 0), types.Position(0, 0), "x = 1\n"))
    told = await asked
    assert told is None or told["version"] in (version - 1, version)
    told = await next_edit(editor, file.as_uri())
    assert (told["version"], told["range"]["start"]["line"]) == (version, 2)


async def test_malformed_parameters_and_unknown_documents_get_null(
    start: StartEditor, tmp_path: Path
) -> None:
    editor = await start(loaded=False, able=able())
    assert await next_edit(editor, (tmp_path / "never.py").as_uri()) is None
    for params in ({}, {"textDocument": 3}, {"textDocument": {"uri": "a"}, "position": None}, None):
        assert await editor.send("tandem/nextEdit", params) is None


async def test_the_setting_turns_it_off(start: StartEditor, tmp_path: Path) -> None:
    file = tmp_path / "core.py"
    editor = await opened(start, file, CORE, options={"completion": {"next_edit": False}})
    rename(editor, file.as_uri(), 0, 10, "item", "thing")
    assert await next_edit(editor, file.as_uri()) is None
    assert await actions(editor, file.as_uri()) == []
    assert events(file, "next_edit") == []
