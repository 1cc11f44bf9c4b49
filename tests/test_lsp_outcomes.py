"""What becomes of suggestions, through the real server: said by the editor or told by edits.

The answers are given, so that what is accepted does not hang on a model.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from lsp.client import Editor, capabilities
from lsp.outcomes import ACCEPTED
from tests.lsp_client import (
    ADD,
    AFTER_ADD,
    COMMAND,
    StartEditor,
    editors,
    environment,
    events,
    until,
)
from tests.recorder import recording

HERE = types.Position(*AFTER_ADD)


@pytest.fixture
async def editor(empty_home: Path, answer: str) -> AsyncIterator[Editor]:
    """An editor whose suggestions are all `answer`."""
    with recording({"id": "given"}, answer=answer) as server:
        async with editors(empty_home) as start:
            yield await start(options={"endpoint": server.url})


@pytest.fixture
def answer() -> str:
    return "a + b\n"


async def suggestion(editor: Editor, file: Path) -> tuple[types.InlineCompletionItem, str]:
    editor.open(file.as_uri(), ADD)
    [item] = await editor.inline(file.as_uri(), *AFTER_ADD)
    assert item.insert_text == "a + b"
    [event] = events(file)
    return item, event["id"]


def put(editor: Editor, file: Path, text: str, column: int = AFTER_ADD[1]) -> None:
    here = types.Position(AFTER_ADD[0], column)
    editor.change(file.as_uri(), (here, here, text))


async def outcomes(editor: Editor, file: Path) -> list[dict[str, Any]]:
    """The document is closed, which concludes all; the details of each outcome."""
    editor.shut(file.as_uri())
    await until(lambda: any(map(_concluded, events(file, "outcome"))))
    # Whatever else there is was written by the same message.
    await editor.inline(file.as_uri(), 0, 0)
    return [event["details"] for event in events(file, "outcome")]


def _concluded(event: dict[str, Any]) -> bool:
    return event["details"]["outcome"] != "kept"


async def test_an_insertion_of_it_is_accepted_and_judged_at_closing(
    editor: Editor, file: Path
) -> None:
    _, id = await suggestion(editor, file)
    put(editor, file, "a + b")
    accepted, kept = await outcomes(editor, file)
    assert (accepted["of"], accepted["outcome"], accepted["how"]) == (id, "accepted", "whole")
    assert (accepted["characters"], accepted["language"]) == (5, "python")
    assert (kept["of"], kept["kept_30s"], kept["kept_5min"], kept["closed"]) == (id, 5, 5, True)


async def test_any_editor_says_it_by_the_command_that_comes_along(
    editor: Editor, file: Path
) -> None:
    item, id = await suggestion(editor, file)
    assert item.command is not None
    assert (item.command.command, item.command.arguments) == (ACCEPTED, (id,))
    # The editor has formatted it: the edit alone would be other text.
    put(editor, file, "(a+b)")
    run = types.ExecuteCommandParams(item.command.command, item.command.arguments)
    assert await editor.client.workspace_execute_command_async(run) is None
    [accepted, kept] = await outcomes(editor, file)
    assert (accepted["outcome"], accepted["how"], accepted["characters"]) == (
        "accepted",
        "whole",
        5,
    )
    assert kept["kept_30s"] == 5


async def test_the_command_is_offered_and_only_to_editors_that_can_run_it(
    empty_home: Path, file: Path
) -> None:
    with recording({"id": "given"}, answer="a + b\n") as server:
        async with editors(empty_home) as start:
            able = capabilities()
            assert able.workspace is not None
            able.workspace.execute_command = None
            editor = await start(options={"endpoint": server.url}, able=able)
            item, _ = await suggestion(editor, file)
            assert item.command is None
            other = Editor()
            await other.start(*COMMAND, env=environment(empty_home))
            offered = (await other.initialize()).capabilities.execute_command_provider
            assert offered is not None
            assert ACCEPTED in offered.commands
            await other.close()


async def test_a_word_is_accepted_by_notification(editor: Editor, file: Path) -> None:
    _, id = await suggestion(editor, file)
    notify(editor, "tandem/shown", {"id": id})
    put(editor, file, "a")
    notify(editor, "tandem/accepted", {"id": id, "how": "word", "characters": 1})
    put(editor, file, "b", AFTER_ADD[1] + 1)
    [accepted, kept] = await outcomes(editor, file)
    assert (accepted["outcome"], accepted["how"], accepted["characters"]) == ("accepted", "word", 1)
    assert kept["characters"] == 1


async def test_a_dismissal_is_a_rejection(editor: Editor, file: Path) -> None:
    _, id = await suggestion(editor, file)
    notify(editor, "tandem/rejected", {"id": id})
    [rejected] = await outcomes(editor, file)
    assert (rejected["of"], rejected["outcome"], rejected["why"]) == (id, "rejected", "dismissed")


async def test_other_text_is_a_rejection_and_letters_of_it_are_typed(
    editor: Editor, file: Path
) -> None:
    await suggestion(editor, file)
    for number, key in enumerate("a +x"):
        put(editor, file, key, AFTER_ADD[1] + number)
    [rejected] = await outcomes(editor, file)
    assert (rejected["outcome"], rejected["typed"]) == ("rejected", 3)


@pytest.mark.parametrize(
    "params", [None, [], "x", {}, {"id": 3}, {"id": ["x"], "how": 4, "characters": "many"}]
)
async def test_what_is_no_such_notification_does_no_harm(
    editor: Editor, file: Path, params: Any
) -> None:
    for method in ("tandem/shown", "tandem/accepted", "tandem/rejected"):
        notify(editor, method, params)
    answered = editor.send("workspace/executeCommand", {"command": ACCEPTED, "arguments": [params]})
    assert await answered is None
    _, id = await suggestion(editor, file)
    notify(editor, "tandem/accepted", {"id": id, "how": "all of it", "characters": -1})
    put(editor, file, "a + b")
    accepted, _ = await outcomes(editor, file)
    assert (accepted["how"], accepted["characters"]) == ("whole", 5)


async def test_the_end_of_the_server_concludes_what_is_open(editor: Editor, file: Path) -> None:
    await suggestion(editor, file)
    put(editor, file, "a + b")
    assert await editor.close() == 0
    found = [event["details"]["outcome"] for event in events(file, "outcome")]
    assert found == ["accepted", "kept"]


async def test_an_answer_that_comes_after_the_next_key_is_late(editor: Editor, file: Path) -> None:
    editor.open(file.as_uri(), ADD)
    _, answer = editor.request_inline(file.as_uri(), *AFTER_ADD)
    put(editor, file, "x")
    assert len((await answer).items) == 1
    [late] = await outcomes(editor, file)
    assert (late["outcome"], late["why"]) == ("ignored", "late")


async def test_nobody_reacts_and_a_second_suggestion_takes_the_place(
    editor: Editor, file: Path
) -> None:
    await suggestion(editor, file)
    [again] = await editor.inline(file.as_uri(), *AFTER_ADD)
    assert again.insert_text == "a + b"
    [ignored] = await outcomes(editor, file)
    # The same text for the same place: it is one suggestion.
    assert (ignored["outcome"], len(ignored["also"])) == ("ignored", 1)


@pytest.mark.parametrize("answer", ["\n    if a:\n        return b\n    return f(a, b)\n"])
async def test_lines_in_a_document_with_crlf_are_followed(editor: Editor, file: Path) -> None:
    uri = file.as_uri()
    editor.open(uri, "x = 1\r\n\r\n\r\ndef f(a, b):\r\n")
    [item] = await editor.inline(uri, 4, 0)
    text = str(item.insert_text)
    assert text.count("\r\n") == 2
    here = types.Position(4, 0)
    editor.change(uri, (here, here, text))
    # Formatted as a whole: only what is not the same counts.
    old = "x = 1\r\n\r\n\r\ndef f(a, b):\r\n" + text
    new = old.replace("x = 1", "x = 10").replace("return b", "return 2")
    editor.change(uri, (types.Position(0, 0), types.Position(99, 0), new))
    accepted, kept = await outcomes(editor, file)
    plain = len(text.replace("\r\n", "\n"))
    assert (accepted["how"], accepted["characters"]) == ("whole", plain)
    assert kept["kept_30s"] == plain - 1


async def test_a_document_that_is_opened_again_is_another_one(editor: Editor, file: Path) -> None:
    await suggestion(editor, file)
    editor.open(file.as_uri(), "something else\n")
    put(editor, file, "a + b", 0)
    [ignored] = await outcomes(editor, file)
    assert (ignored["outcome"], ignored["why"]) == ("ignored", "closed")


async def test_a_completion_item_carries_the_command_too(empty_home: Path, file: Path) -> None:
    with recording({"id": "given"}, answer="a + b\n") as server:
        async with editors(empty_home) as start:
            editor = await start(options={"endpoint": server.url}, able=capabilities(inline=False))
            editor.open(file.as_uri(), ADD)
            answer = await editor.client.text_document_completion_async(
                types.CompletionParams(types.TextDocumentIdentifier(file.as_uri()), HERE)
            )
            assert isinstance(answer, types.CompletionList)
            [item] = answer.items
            assert item.command is not None
            put(editor, file, "a + b")
            run = types.ExecuteCommandParams(item.command.command, item.command.arguments)
            await editor.client.workspace_execute_command_async(run)
            accepted, _ = await outcomes(editor, file)
            assert item.command.arguments == (accepted["of"],)


def notify(editor: Editor, method: str, params: Any) -> None:
    editor.client.protocol._send_data({"jsonrpc": "2.0", "method": method, "params": params})


# The real model


async def test_the_models_own_suggestion_is_followed(start: StartEditor, file: Path) -> None:
    editor = await start()
    item, id = await suggestion(editor, file)
    put(editor, file, str(item.insert_text))
    accepted, kept = await outcomes(editor, file)
    assert (accepted["of"], accepted["outcome"], kept["kept_5min"]) == (id, "accepted", 5)
