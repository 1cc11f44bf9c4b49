"""What editors send at their worst, through the real language server over stdio.

Where the model's own words do not matter, a server that answers every prompt alike stands in for
the engine and tells what it was asked.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lsprotocol import types

from lsp.client import Editor, capabilities
from lsp.documents import units
from tests.lsp_client import (
    ADD,
    AFTER_ADD,
    ENCODINGS,
    SLOW,
    StartEditor,
    digits,
    events,
    replace_all,
    stats,
    until,
)
from tests.recorder import Recorder, recording

BODY = "    if n < 2:\n\t\treturn n\n    return n - 1"


@dataclass
class Served:
    """How to start an editor whose model is the recorder."""

    recorder: Recorder
    start: StartEditor

    async def editor(self, *encodings: str) -> Editor:
        able = capabilities(encodings or ["utf-16"])
        able.notebook_document = types.NotebookDocumentClientCapabilities(
            types.NotebookDocumentSyncClientCapabilities()
        )
        return await self.start(able=able, options={"endpoint": self.recorder.url})


@pytest.fixture
async def served(start: StartEditor) -> AsyncIterator[Served]:
    with recording({"id": "given"}, answer=f"\n{BODY}\n") as recorder:
        yield Served(recorder, start)


def reasons(file: Path | str) -> list[str]:
    return [event["reason"] for event in events(file)]


def send(editor: Editor, uri: str, version: int, *texts: str | tuple[int, int, str]) -> None:
    """A change of any version: whole texts, or texts for a place."""
    changes: list[types.TextDocumentContentChangeEvent] = []
    for text in texts:
        if isinstance(text, str):
            changes.append(types.TextDocumentContentChangeWholeDocument(text))
        else:
            here = types.Position(*text[:2])
            changes.append(types.TextDocumentContentChangePartial(types.Range(here, here), text[2]))
    identifier = types.VersionedTextDocumentIdentifier(version, uri)
    editor.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, changes))


# Documents closed while a request runs


async def test_closing_a_document_ends_its_request_and_the_models_work(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), SLOW)
    before = stats()["generated_tokens"]
    _, answer = editor.request_inline(file.as_uri(), 0, len(SLOW), invoked=True)
    await until(lambda: stats()["generated_tokens"] > before)
    editor.shut(file.as_uri())
    assert not (await answer).items
    await until(lambda: not stats()["running"])
    assert reasons(file) == ["document closed"]


async def test_closing_one_document_leaves_the_requests_of_others(
    start: StartEditor, file: Path
) -> None:
    editor, other = await start(), file.with_name("other.py")
    editor.open(file.as_uri(), ADD)
    editor.open(other.as_uri(), "x = 1\n")
    _, answer = editor.request_inline(file.as_uri(), *AFTER_ADD, invoked=True)
    editor.shut(other.as_uri())
    assert [item.insert_text for item in (await answer).items] == ["a + b"]


async def test_a_document_opened_again_while_its_request_ends_is_answered(
    start: StartEditor, file: Path
) -> None:
    editor = await start()
    editor.open(file.as_uri(), f"total = {digits(71)}")
    _, answer = editor.request_inline(file.as_uri(), 0, 190, invoked=True)
    editor.shut(file.as_uri())
    editor.open(file.as_uri(), ADD)
    [item] = await editor.inline(file.as_uri(), *AFTER_ADD, invoked=True)
    assert item.insert_text == "a + b"
    assert not (await answer).items


async def test_a_document_that_is_not_open_is_told_in_the_trace(served: Served, file: Path) -> None:
    editor = await served.editor()
    assert await editor.inline(file.as_uri(), 3, 4) == []
    [event] = events(file)
    assert (event["reason"], event["line"], event["column"]) == ("document not open", 4, 4)


# Two clients


async def test_two_clients_that_edit_one_file_each_get_their_own_answer(
    start: StartEditor, file: Path
) -> None:
    one, other = await asyncio.gather(start(), start())
    one.open(file.as_uri(), ADD)
    other.open(file.as_uri(), "")
    other.change(file.as_uri(), replace_all("def add(first, second):\n    return "))
    answers = [
        editor.request_inline(file.as_uri(), *AFTER_ADD, invoked=True)[1] for editor in (one, other)
    ]
    texts = [[item.insert_text for item in (await answer).items] for answer in answers]
    assert texts == [["a + b"], ["first + second"]]
    assert reasons(file) == ["", ""]


# Versions


async def test_an_edit_that_comes_too_late_is_dropped_and_silence_told_until_a_whole_text(
    served: Served, file: Path
) -> None:
    editor, uri = await served.editor(), file.as_uri()
    editor.open(uri, "a = 1\n")
    send(editor, uri, 5, (1, 0, "b = 2\n"))
    send(editor, uri, 4, (0, 0, "late = 0\n"))
    assert await editor.inline(uri, 2, 0, invoked=True) == []
    send(editor, uri, 6, (2, 0, "c = "))
    assert await editor.inline(uri, 2, 4, invoked=True) == []
    assert set(reasons(file)) == {"document out of step with the editor"}
    assert served.recorder.bodies == []
    send(editor, uri, 3, "whole = 1\nd = ")
    await editor.inline(uri, 1, 4, invoked=True)
    assert events(file)[-1]["details"]["version"] == 3
    assert "whole = 1\nd =" in served.recorder.prompts[-1]


async def test_an_old_whole_text_is_no_news_and_versions_may_leave_numbers_out(
    served: Served, file: Path
) -> None:
    editor, uri = await served.editor(), file.as_uri()
    editor.open(uri, "a = 1\n")
    send(editor, uri, 90, (1, 0, "new = "))
    send(editor, uri, 8, "old = ")
    await editor.inline(uri, 1, 6, invoked=True)
    assert "a = 1\nnew =" in served.recorder.prompts[-1]
    assert events(file)[-1]["details"]["version"] == 90


async def test_a_client_that_never_counts_but_sends_whole_texts_is_served(
    served: Served, file: Path
) -> None:
    editor, uri = await served.editor(), file.as_uri()
    editor.open(uri, "a = 1\n")
    for text in ("b = ", "c = "):
        send(editor, uri, 1, text)
    await editor.inline(uri, 0, 4, invoked=True)
    assert "c =" in served.recorder.prompts[-1]


# Texts


async def test_a_paste_of_5_mb_is_taken_and_the_next_line_answered(
    served: Served, file: Path
) -> None:
    editor, uri = await served.editor(), file.as_uri()
    editor.open(uri, "import math\n\n\n")
    paste = "# pasted, with a tab\t and é语😀\r\n" * 140_000 + "def f(n):\n"
    assert len(paste.encode()) > 5_000_000
    here = types.Position(3, 0)
    editor.change(uri, (here, here, paste))
    await editor.inline(uri, 140_004, 0, invoked=True)
    event = events(file)[-1]
    assert (event["line"], event["column"]) == (140_005, 0)
    assert event["shown"] == BODY
    assert "def f(n):" in served.recorder.prompts[-1]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
async def test_in_a_document_of_mixed_newlines_the_answer_has_that_of_its_place(
    served: Served, file: Path, newline: str
) -> None:
    editor, uri = await served.editor(), file.as_uri()
    editor.open(uri, f"import math\r\rx = 1\n\ndef f(n):{newline}")
    [item] = await editor.inline(uri, 5, 0, invoked=True)
    assert item.insert_text == BODY.replace("\n", newline)
    assert "\r" not in served.recorder.prompts[-1]


async def test_tabs_are_one_character_and_stay_tabs(served: Served, file: Path) -> None:
    editor, uri = await served.editor(), file.as_uri()
    editor.open(uri, "class A:\n\tdef f(n):\n\t\t\n")
    here = types.Position(2, 2)
    editor.change(uri, (here, here, "x\t= "))
    await editor.inline(uri, 2, 6, invoked=True)
    assert events(file)[-1]["column"] == 6
    assert "\tdef f(n):\n\t\tx\t=" in served.recorder.prompts[-1]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "line",
    ['x = "שלום עולם", ', 'x = "مرحبا \u202eabc\u202c", ', 'x = "👩‍👩‍👧🏽😀e\u0301", '],
    ids=["hebrew", "arabic with marks", "emoji"],
)
async def test_right_to_left_and_emoji_text_keeps_its_places(
    served: Served, file: Path, encoding: str, line: str
) -> None:
    editor, uri = await served.editor(encoding), file.as_uri()
    editor.open(uri, f"{line}\ndef f(n):\n")
    end = types.Position(0, units(line, encoding))
    editor.change(uri, (end, end, line), (end, end, "y"))
    end = types.Position(0, units(line + "y" + line, encoding))
    await editor.inline(uri, end.line, end.character, invoked=True)
    event = events(file)[-1]
    assert (event["line"], event["column"]) == (1, len(line) * 2 + 1)
    assert f"{line}y{line}".rstrip() in served.recorder.prompts[-1]
    [item] = await editor.inline(uri, 2, 0, invoked=True)
    here = types.Position(2, 0)
    assert item.range == types.Range(here, here)


# Virtual and read-only documents


@pytest.mark.parametrize("scheme", ["git", "output", "vscode-userdata", "debug", "jdt"])
async def test_a_document_that_nobody_types_in_gets_none_and_says_so(
    served: Served, scheme: str
) -> None:
    editor, uri = await served.editor(), f"{scheme}:/{scheme}/shown.py"
    editor.open(uri, "def f(n):\n")
    assert await editor.inline(uri, 1, 0, invoked=True) == []
    [event] = events(f"/{scheme}/shown.py")
    assert (event["reason"], event["details"]["scheme"]) == ("read-only document", scheme)
    assert served.recorder.bodies == []


@pytest.mark.parametrize("uri", ["untitled:Untitled-7", "vscode-vfs://github/a/b.py"])
async def test_a_virtual_document_that_one_types_in_gets_suggestions(
    served: Served, uri: str
) -> None:
    editor = await served.editor()
    editor.open(uri, "def f(n):\n")
    [item] = await editor.inline(uri, 1, 0, invoked=True)
    assert item.insert_text == BODY
