"""What a key meets in the real server as it is shipped: when it is quiet, and what it knows already.

The answers are given, so that nothing hangs on a model.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from completion import silence
from lsp.client import Editor, capabilities
from tests.lsp_client import ADD, AFTER_ADD, StartEditor, editors, events, until
from tests.paced import paced
from tests.recorder import Recorder, recording

LINE, COLUMN = AFTER_ADD
# As shipped, but for what would ask more than the test wants to count.
SHIPPED = {"gate": True, "in_comments": False, "in_strings": False, "prefetch": False}


@pytest.fixture
def server(answer: str):
    with recording({"id": "given"}, answer=answer) as recorder:
        yield recorder


@pytest.fixture
async def start(empty_home: Path) -> AsyncIterator[StartEditor]:
    async with editors(empty_home) as start:
        yield start


@pytest.fixture
async def editor(start: StartEditor, server: Recorder) -> Editor:
    return await start(options={"endpoint": server.url, "completion": SHIPPED})


@pytest.fixture
def answer() -> str:
    return "max(a, b) * 2\n"


def put(editor: Editor, file: Path, text: str, column: int, removed: int = 0) -> None:
    start, end = types.Position(LINE, column), types.Position(LINE, column + removed)
    editor.change(file.as_uri(), (start, end, text))


async def reason(editor: Editor, file: Path, column: int, line: int = LINE) -> str:
    """Why nothing is shown there; "" if something is."""
    items = await editor.inline(file.as_uri(), line, column)
    told = events(file)[-1]["reason"]
    assert bool(items) == (not told)
    return told


async def test_typing_on_is_answered_from_what_is_known(
    editor: Editor, server: Recorder, file: Path
) -> None:
    editor.open(file.as_uri(), ADD)
    [first] = await editor.inline(file.as_uri(), LINE, COLUMN)
    assert first.insert_text == "max(a, b) * 2"
    for number, letter in enumerate("max"):
        put(editor, file, letter, COLUMN + number)
        [item] = await editor.inline(file.as_uri(), LINE, COLUMN + number + 1)
        assert item.insert_text == "max(a, b) * 2"[number + 1 :]
        assert events(file)[-1]["details"]["cache"] == "typed through"
    assert len(server.bodies) == 1


async def test_a_bracket_that_the_editor_closed_is_replaced(
    editor: Editor, server: Recorder, file: Path
) -> None:
    editor.open(file.as_uri(), ADD)
    await editor.inline(file.as_uri(), LINE, COLUMN)
    for number, letter in enumerate("max"):
        put(editor, file, letter, COLUMN + number)
    put(editor, file, "()", COLUMN + 3)
    [item] = await editor.inline(file.as_uri(), LINE, COLUMN + 4)
    assert item.insert_text == "a, b) * 2"
    assert item.range is not None
    assert (item.range.start.character, item.range.end.character) == (COLUMN + 4, COLUMN + 5)
    assert len(server.bodies) == 1


async def test_an_edit_elsewhere_does_not_ask_again(
    editor: Editor, server: Recorder, file: Path
) -> None:
    above = "import os\n" * 30
    editor.open(file.as_uri(), above + ADD)
    [first] = await editor.inline(file.as_uri(), LINE + 30, COLUMN)
    start = types.Position(0, 0)
    editor.change(file.as_uri(), (start, start, "# a comment\n"))
    [again] = await editor.inline(file.as_uri(), LINE + 31, COLUMN)
    assert again.insert_text == first.insert_text
    assert events(file)[-1]["details"]["cache"] == "edited elsewhere"
    assert len(server.bodies) == 1


async def test_it_is_quiet_while_the_editors_own_list_is_open(
    editor: Editor, server: Recorder, file: Path
) -> None:
    editor.open(file.as_uri(), ADD)
    here = types.Position(LINE, COLUMN)
    chosen = types.SelectedCompletionInfo(types.Range(here, here), "append")
    kind = types.InlineCompletionTriggerKind.Automatic
    params = types.InlineCompletionParams(
        types.InlineCompletionContext(kind, chosen),
        types.TextDocumentIdentifier(file.as_uri()),
        here,
    )
    method = types.TEXT_DOCUMENT_INLINE_COMPLETION
    answer: Any = await editor.client.protocol.send_request_async(method, params)
    assert not answer.items
    assert events(file)[-1]["reason"] == silence.POPUP
    assert server.bodies == []


async def test_it_is_quiet_after_a_paste_and_after_undo(
    editor: Editor, server: Recorder, file: Path
) -> None:
    editor.open(file.as_uri(), ADD)
    pasted = "compute_all(first, second, third)"
    put(editor, file, pasted, COLUMN)
    assert await reason(editor, file, COLUMN + len(pasted)) == silence.PASTED
    put(editor, file, "", COLUMN, len(pasted))
    assert await reason(editor, file, COLUMN) == silence.UNDONE
    assert server.bodies == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a remark that goes ", silence.IN_COMMENT),
        ("x = 'some text that ", silence.IN_STRING),
    ],
)
async def test_it_is_quiet_in_prose(
    editor: Editor, server: Recorder, file: Path, text: str, expected: str
) -> None:
    editor.open(file.as_uri(), text)
    assert await reason(editor, file, len(text), 0) == expected
    assert server.bodies == []


async def test_it_is_quiet_inside_a_word_but_not_when_asked(
    editor: Editor, server: Recorder, file: Path
) -> None:
    editor.open(file.as_uri(), "value = something\n")
    assert await reason(editor, file, 12, 0) == silence.IN_WORD
    await editor.inline(file.as_uri(), 0, 12, invoked=True)
    assert len(server.bodies) == 1


async def test_snoozed_by_a_command_and_woken_by_another(
    editor: Editor, server: Recorder, file: Path
) -> None:
    editor.open(file.as_uri(), ADD)
    run = editor.client.workspace_execute_command_async
    await run(types.ExecuteCommandParams("tandem.snooze", arguments=[5]))
    assert await reason(editor, file, COLUMN) == silence.SNOOZED
    await run(types.ExecuteCommandParams("tandem.unsnooze", arguments=[]))
    assert await reason(editor, file, COLUMN) != silence.SNOOZED


async def test_the_first_line_comes_before_the_others_to_a_client_that_can_show_it(
    start: StartEditor, file: Path
) -> None:
    def block(_: str) -> list[str]:
        return ["\n    first = 1\n", "    second = 2\n", "    return first\n"]

    with paced(block) as server:
        able = capabilities()
        able.experimental = {"tandem": {"partial": True}}
        editor = await start(able=able, options={"endpoint": server.url, "completion": SHIPPED})
        told: list[Any] = []
        editor.client.feature("tandem/partial")(lambda params: told.append(params))
        editor.open(file.as_uri(), "def f():\n    ")
        _, answer = editor.request_inline(file.as_uri(), 1, 4)
        await until(lambda: server.bodies)
        server.release(2)
        await until(lambda: told)
        assert told[0].text == "first = 1"
        assert told[0].position.line == 1
        assert not answer.done()
        server.open = True
        [item] = (await answer).items
        assert str(item.insert_text).startswith("first = 1\n    second = 2")
