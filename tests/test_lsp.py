"""Ghost text through the real language server, engine and model: whole conversations."""

import asyncio
import os
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp.client import Editor, capabilities
from tests.lsp_client import (
    ADD,
    AFTER_ADD,
    COMMAND,
    DIGITS,
    ENCODINGS,
    REQUEST_CANCELLED,
    SLOW,
    StartEditor,
    environment,
    events,
    replace_all,
    stats,
    until,
)
from tests.recorder import recording

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
    editor.open("untitled:work.py", "import math\n\n\n" + text)
    items = await editor.inline(file.as_uri(), 6, 4)
    [plain] = await editor.inline("untitled:work.py", 6, 4)
    assert [item.insert_text for item in items] == [str(plain.insert_text).replace("\n", newline)]
    [event] = events(file)
    assert (event["line"], event["column"]) == (7, 4)


async def test_a_suggestion_of_several_lines_keeps_crlf(start: StartEditor, file: Path) -> None:
    """How many lines a model writes is its own affair, so this one's answer is given."""
    body = "    if n < 2:\n        return n\n    return fibonacci(n - 1)"
    with recording({"id": "given"}, answer=f"\n{body}\n") as server:
        editor = await start(options={"endpoint": server.url})
        editor.open(file.as_uri(), "import math\r\n\r\n\r\ndef fibonacci(n):\r\n")
        [item] = await editor.inline(file.as_uri(), 4, 0)
        assert item.insert_text == body.replace("\n", "\r\n")
        await editor.close()


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
    editor = await start()
    editor.open(file.as_uri(), SLOW)
    before = stats()["generated_tokens"]
    number, answer = editor.request_inline(file.as_uri(), 0, len(SLOW))
    await until(lambda: stats()["generated_tokens"] > before + 3)
    editor.cancel(number)
    with pytest.raises(JsonRpcException) as failure:
        await answer
    assert failure.value.code == REQUEST_CANCELLED
    await until(lambda: not stats()["running"])
    assert stats()["generated_tokens"] - before < len(DIGITS)
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
