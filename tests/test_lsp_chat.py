"""The chat commands, asked for by an editor over stdio and answered by a scripted chat server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp.client import Editor, capabilities
from tests.lsp_client import REQUEST_CANCELLED, editors, make_home, until
from tests.repositories import MadeRepository
from tests.scripted_chat import ScriptedChat, Turn, breaks_off, fails, refuses, says, scripted

CODE = '''"""Prices."""


def total(prices, tax):
    result = 0
    for price in prices:
        result += price
    return result


def other():
    return total([1], 2)
'''
TOTAL = {"start": {"line": 3, "character": 0}, "end": {"line": 8, "character": 0}}
INSIDE = {"start": {"line": 5, "character": 8}, "end": {"line": 5, "character": 8}}
LOOP = {"start": {"line": 5, "character": 0}, "end": {"line": 6, "character": 23}}
SHORTER = "```python\ndef total(prices, tax):\n    return sum(prices) + tax\n```\n"
INVALID, MODIFIED, FAILED = -32602, -32801, -32803


@dataclass
class Desk:
    """An editor with one file open, and what it was asked and told."""

    editor: Editor
    uri: str
    applied: list[types.WorkspaceEdit] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answer: str | None = "Apply"

    async def run(self, kind: str, /, *positional: Any, **named: Any) -> dict[str, Any]:
        return plain(await self.send(kind, *positional, **named))

    def send(self, kind: str, /, *positional: Any, **named: Any) -> Awaitable[Any]:
        arguments = list(positional) or [{"uri": self.uri, **named}]
        return self.editor.send(
            "workspace/executeCommand", {"command": f"tandem.{kind}", "arguments": arguments}
        )

    def listen(self) -> "Desk":
        @self.editor.client.feature(types.WORKSPACE_APPLY_EDIT)
        def _apply(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
            self.applied.append(params.edit)
            return types.ApplyWorkspaceEditResult(applied=True)

        @self.editor.client.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)
        def _ask(params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
            self.questions.append(params.message)
            return types.MessageActionItem(self.answer) if self.answer else None

        return self


Open = Callable[..., Awaitable[Desk]]


def able(annotations: bool = True, edits: bool = True) -> types.ClientCapabilities:
    told = capabilities(progress=False)
    assert told.workspace is not None
    told.workspace.apply_edit = edits
    support = types.ChangeAnnotationsSupportOptions() if annotations else None
    told.workspace.workspace_edit = types.WorkspaceEditClientCapabilities(
        document_changes=annotations, change_annotation_support=support
    )
    return told


@pytest.fixture
def folder(tmp_path: Path) -> MadeRepository:
    made = MadeRepository(tmp_path / "shop")
    made.commit({"prices.py": CODE})
    return made


@pytest.fixture
async def desk(
    tmp_path: Path, folder: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Open]:
    home = make_home(tmp_path / "home", None)
    monkeypatch.setenv("TANDEM_HOME", str(home))
    async with editors(home) as start:

        async def opened(server: ScriptedChat, told: Any = None, **chat: Any) -> Desk:
            options = {
                "completion": {"enabled": False},
                "chat": {"endpoint": server.url, **chat},
            }
            editor = await start(
                loaded=False, able=told or able(), options=options, folders=[folder.folder]
            )
            file = folder.folder / "prices.py"
            editor.open(file.as_uri(), CODE)
            return Desk(editor, file.as_uri()).listen()

        yield opened


def plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: plain(one) for name, one in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def asked(server: ScriptedChat, number: int = -1) -> str:
    return server.bodies[number]["messages"][-1]["content"]


async def failure(answer: Awaitable[Any]) -> tuple[int, str]:
    with pytest.raises(JsonRpcException) as raised:
        await answer
    return raised.value.code, raised.value.message


async def test_an_explanation_streams_and_is_answered_whole(desk: Open) -> None:
    with scripted(says("It adds **all** prices.")) as server:
        one = await desk(server)
        told = await one.run("explain", range=TOTAL, token="t1")
    assert told["text"] == "It adds **all** prices."
    assert told["usage"]["answer"] == 10
    pieces = [value["text"] for value in one.editor.progress["t1"]]
    assert "".join(pieces) == told["text"]
    assert len(pieces) > 1
    assert "def total(prices, tax):" in asked(server)
    assert "prices.py, lines 4–8" in asked(server)


async def test_an_edit_is_shown_with_an_annotation_that_wants_a_yes(desk: Open) -> None:
    with scripted(says(SHORTER)) as server:
        one = await desk(server)
        told = await one.run("edit", range=TOTAL, instruction="add the tax", token=7)
    assert "add the tax" in asked(server)
    assert told["applied"] is True
    assert told["warnings"] == []
    assert "+    return sum(prices) + tax" in told["diff"]
    assert "-    result = 0" in told["diff"]
    [edit] = one.applied
    assert edit.change_annotations is not None
    assert edit.change_annotations["tandem"].needs_confirmation is True
    [change] = edit.document_changes or []
    assert isinstance(change, types.TextDocumentEdit)
    assert change.text_document.version == 1
    [inner] = change.edits
    assert isinstance(inner, types.AnnotatedTextEdit)
    assert inner.new_text == "def total(prices, tax):\n    return sum(prices) + tax"
    assert (inner.range.start.line, inner.range.end.line, inner.range.end.character) == (3, 7, 17)
    diffs = [value["diff"] for value in one.editor.progress[7] if value.get("diff")]
    assert any("+    return sum(prices) + tax" in diff for diff in diffs)


async def test_a_client_without_annotations_is_asked_by_a_message(desk: Open) -> None:
    with scripted(says(SHORTER), says(SHORTER)) as server:
        one = await desk(server, able(annotations=False))
        first = await one.run("edit", range=TOTAL, instruction="add the tax")
        one.answer = None
        second = await one.run("edit", range=TOTAL, instruction="add the tax")
    assert len(one.questions) == 2
    assert "editing prices.py" in one.questions[0]
    assert (first["applied"], second["applied"]) == (True, False)
    assert second["why"] == "you did not say yes"
    [edit] = one.applied
    assert list(edit.changes or {}) == [one.uri]


async def test_an_edit_that_is_not_to_be_applied_is_in_the_answer_only(desk: Open) -> None:
    with scripted(says(SHORTER)) as server:
        one = await desk(server)
        told = await one.run("edit", range=TOTAL, instruction="add the tax", apply=False)
    assert one.applied == []
    assert told["applied"] is False
    [change] = told["edit"]["documentChanges"]
    assert "sum(prices) + tax" in change["edits"][0]["newText"]


async def test_a_client_that_applies_nothing_is_told_so(desk: Open) -> None:
    with scripted(says(SHORTER)) as server:
        one = await desk(server, able(edits=False))
        told = await one.run("edit", range=TOTAL, instruction="add the tax")
    assert told["applied"] is False
    assert "applies no edits" in told["why"]


async def test_without_a_selection_the_function_around_is_meant(desk: Open) -> None:
    with scripted(says(SHORTER)) as server:
        one = await desk(server)
        told = await one.run("edit", one.uri, INSIDE, "add the tax")
    [change] = told["edit"]["documentChanges"]
    assert change["edits"][0]["range"]["start"]["line"] == 3
    assert change["edits"][0]["range"]["end"]["line"] == 7


async def test_code_at_depth_0_is_put_at_the_depth_of_the_selection(desk: Open) -> None:
    with scripted(says("```python\nresult = sum(prices)\n```")) as server:
        one = await desk(server)
        told = await one.run("edit", range=LOOP, instruction="use sum")
    [change] = told["edit"]["documentChanges"]
    assert change["edits"][0]["newText"] == "    result = sum(prices)"


async def test_an_edit_that_does_not_parse_is_offered_with_a_warning(desk: Open) -> None:
    with scripted(says("```python\ndef total(prices, tax:\n    return (\n```")) as server:
        told = await (await desk(server)).run("edit", range=TOTAL, instruction="break it")
    assert told["warnings"] == ["it does not parse"]


async def test_an_answer_that_changes_nothing_says_so(desk: Open) -> None:
    same = "\n".join(CODE.split("\n")[3:8])
    with scripted(says(f"```python\n{same}\n```")) as server:
        one = await desk(server)
        told = await one.run("edit", range=TOTAL, instruction="keep it")
    assert (told["edit"], told["why"]) == (None, "the answer changes nothing")
    assert one.applied == []


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (says("Sure! I would sum them."), "The answer holds no code"),
        (refuses("I will not."), "refused: I will not."),
        (breaks_off("```python\ndef to"), "broke off its answer"),
        (says("```python\ndef total(prices, tax", finish="length"), "cut off"),
        (fails(401, "no such key"), "refused the token"),
    ],
)
async def test_what_is_no_edit_is_one_line_and_changes_nothing(
    desk: Open, turn: Turn, said: str
) -> None:
    with scripted(turn) as server:
        one = await desk(server)
        code, message = await failure(one.send("edit", range=TOTAL, instruction="add the tax"))
    assert code == FAILED
    assert said in message
    assert "\n" not in message
    assert one.applied == []


async def test_documentation_is_taken_only_if_the_code_stays(desk: Open) -> None:
    body = "\n".join(CODE.split("\n")[4:8])
    good = f'```python\ndef total(prices, tax):\n    """The sum of prices."""\n{body}\n```'
    with scripted(says(good), says(SHORTER)) as server:
        one = await desk(server)
        told = await one.run("document", range=INSIDE)
        code, message = await failure(one.send("document", range=INSIDE))
    assert told["applied"] is True
    assert '+    """The sum of prices."""' in told["diff"]
    assert code == FAILED
    assert "changes code" in message
    assert len(one.applied) == 1


async def test_diagnostics_are_told_to_the_model_and_mended_where_they_are(desk: Open) -> None:
    with scripted(says(SHORTER)) as server:
        one = await desk(server)
        told = await one.run("fix", range=INSIDE, diagnostics=["tax is never used"])
    assert "tax is never used" in asked(server)
    assert told["applied"] is True


async def test_a_question_may_be_about_no_document(desk: Open) -> None:
    with scripted(says("Use a set.")) as server:
        one = await desk(server)
        told = plain(await one.send("ask", {"instruction": "How do I find doubles?"}))
    assert told["text"] == "Use a set."
    assert "How do I find doubles?" in asked(server)


async def test_unsaved_text_is_what_the_model_sees(desk: Open) -> None:
    with scripted(says("Fine.")) as server:
        one = await desk(server)
        start = types.Position(4, 13)
        one.editor.change(one.uri, (start, types.Position(4, 14), "1234"))
        await one.run("explain", range=TOTAL)
    assert "result = 1234" in asked(server)


async def test_secrets_do_not_leave(desk: Open) -> None:
    key = "AKIA" + "IOSFODNN7ABCDEFG"
    with scripted(says("Fine.")) as server:
        one = await desk(server)
        one.editor.change(one.uri, (types.Position(4, 13), types.Position(4, 14), f'"{key}"'))
        await one.run("explain", range=TOTAL)
    assert key not in server.texts[0]
    assert "result" in server.texts[0]


async def test_staged_changes_are_reviewed_and_described(
    desk: Open, folder: MadeRepository
) -> None:
    folder.write({"prices.py": CODE.replace("result = 0", "result = 1"), "new.txt": "a\n"})
    folder.git("add", "--all")
    folder.write({"prices.py": CODE.replace("result = 0", "result = 2")})
    with scripted(says("Why 1?"), says("prices: start at one")) as server:
        one = await desk(server)
        review = await one.run("review")
        message = await one.run("commitMessage")
    assert review["text"] == "Why 1?"
    assert message["text"] == "prices: start at one"
    for number in (0, 1):
        assert "+    result = 1" in asked(server, number)
        assert "result = 2" not in asked(server, number)
        assert "new.txt" in asked(server, number)


async def test_with_nothing_staged_there_is_nothing_to_review(desk: Open) -> None:
    with scripted() as server:
        code, message = await failure((await desk(server)).send("review"))
    assert code == FAILED
    assert message.startswith("Nothing is staged.")
    assert server.bodies == []


async def test_a_document_that_changes_meanwhile_is_not_edited(desk: Open) -> None:
    with scripted(says(SHORTER, delay_s=1.0)) as server:
        one = await desk(server)
        answer = one.send("edit", range=TOTAL, instruction="add the tax")
        await until(lambda: server.bodies)
        one.editor.change(one.uri, (types.Position(0, 0), types.Position(0, 0), "# new\n"))
        code, _ = await failure(answer)
    assert code == MODIFIED
    assert one.applied == []


async def test_a_newer_command_of_a_kind_cancels_the_older_one(desk: Open) -> None:
    with scripted(says("slow", delay_s=60), says("quick")) as server:
        one = await desk(server)
        first = one.send("explain", range=TOTAL)
        await until(lambda: server.bodies)
        told = await one.run("explain", range=LOOP)
        code, _ = await failure(first)
        await until(lambda: server.left == 1)
    assert told["text"] == "quick"
    assert code == REQUEST_CANCELLED


async def test_a_cancelled_command_hangs_up(desk: Open) -> None:
    with scripted(says("slow " * 50, pause_s=5)) as server:
        one = await desk(server)
        answer = asyncio.ensure_future(one.send("ask", instruction="Why?"))
        await until(lambda: server.bodies)
        one.editor.cancel(last_id(one.editor))
        code, _ = await failure(answer)
        await until(lambda: server.left == 1)
    assert code == REQUEST_CANCELLED


def last_id(editor: Editor) -> int:
    return max(n for n in editor.client.protocol._request_futures if isinstance(n, int))


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("explain", [], "uri must name a document"),
        ("explain", ["file:///nowhere.py"], "is not open"),
        ("explain", [{"uri": 1}], "uri must be a text"),
        ("explain", [{"url": "x"}], "no argument 'url'"),
        ("explain", [1, 2, 3, 4], "Give one object"),
        ("explain", [{"uri": "x", "range": {"start": 1}}], "range must be an LSP range"),
        ("explain", [{"uri": "x", "token": []}], "token must be"),
        ("explain", [{"uri": "x", "apply": "no"}], "apply must be"),
        ("ask", [{}], "instruction must hold the question"),
        ("edit", [{"instruction": " "}], "instruction must say"),
        ("fix", [{"diagnostics": "x"}], "diagnostics must be"),
    ],
)
async def test_wrong_arguments_are_named(
    desk: Open, kind: str, arguments: list[Any], said: str
) -> None:
    with scripted() as server:
        one = await desk(server)
        sent = one.editor.send(
            "workspace/executeCommand", {"command": f"tandem.{kind}", "arguments": arguments}
        )
        code, message = await failure(sent)
    assert code == INVALID
    assert said in message


async def test_other_commands_still_run(desk: Open) -> None:
    with scripted() as server:
        one = await desk(server)
        command = {"command": "tandem.unsnooze"}
        assert await one.editor.send("workspace/executeCommand", command) is False
        code, message = await failure(
            one.editor.send("workspace/executeCommand", {"command": "tandem.nothing"})
        )
    assert code == INVALID
    assert "tandem.nothing" in message


async def test_a_model_that_cannot_be_reached_is_told(desk: Open) -> None:
    with scripted() as server:
        url = server.url
    gone = ScriptedChat([], url=url)
    code, message = await failure((await desk(gone)).send("explain", range=TOTAL))
    assert code == FAILED
    assert "cannot be reached" in message


async def test_actions_are_offered_at_selections_and_diagnostics_and_can_be_off(
    desk: Open,
) -> None:
    nothing = {"start": {"line": 3, "character": 0}, "end": {"line": 3, "character": 0}}
    wrong = {"range": nothing, "message": "tax is never used"}

    async def actions(one: Desk, range: Any, *wrong: Any, only: Any = None) -> list[Any]:
        context = {"diagnostics": list(wrong), **({"only": only} if only else {})}
        params = {"textDocument": {"uri": one.uri}, "range": range, "context": context}
        return plain(await one.editor.send("textDocument/codeAction", params)) or []

    with scripted(says(SHORTER)) as server:
        one = await desk(server)
        assert await actions(one, nothing) == []
        assert [found["title"] for found in await actions(one, TOTAL)] == [
            "Tandem: explain this",
            "Tandem: document this",
            "Tandem: write tests for this",
        ]
        [action] = await actions(one, nothing, wrong)
        assert action["title"] == "Tandem: fix this"
        assert await actions(one, TOTAL, wrong, only=["quickfix"]) != []
        assert await actions(one, TOTAL, wrong, only=["source"]) == []
        command = {name: action["command"][name] for name in ("command", "arguments")}
        await one.editor.send("workspace/executeCommand", command)
        assert len(one.applied) == 1
        quiet = await desk(server, actions=False)
        assert await actions(quiet, TOTAL, wrong) == []
