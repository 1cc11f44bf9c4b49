"""What the language server tells of itself: `tandem/status`, over stdio."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from completion import silence, snooze
from lsp.client import Editor
from tandem import __version__
from tests.lsp_client import StartEditor, editors, make_home, until
from tests.recorder import recording

CODE = "def add(a, b):\n    return "


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartEditor]:
    """Servers that have no model of their own."""
    home = make_home(tmp_path / "home", None)
    monkeypatch.setenv("TANDEM_HOME", str(home))
    async with editors(home) as start_editor:
        yield start_editor


async def status(editor: Editor) -> dict[str, Any]:
    told = await editor.send("tandem/status", {})
    return {**told._asdict(), "last": told.last and told.last._asdict()}


async def test_before_the_first_request_there_is_no_last_answer(start: StartEditor) -> None:
    editor = await start(loaded=False, options={"completion": {"enabled": False}})
    told = await status(editor)
    assert told == {
        "version": __version__,
        "enabled": False,
        "snoozedSeconds": 0,
        "model": "",
        "failure": "",
        "last": None,
    }


async def test_a_suggestion_is_told_with_its_place_and_its_time(
    start: StartEditor, file: Path
) -> None:
    with recording({"id": "given"}, answer="a + b\n") as server:
        editor = await start(options={"endpoint": server.url})
        editor.open(file.as_uri(), CODE)
        assert len(await editor.inline(file.as_uri(), 1, 11)) == 1
        told = await status(editor)
        assert (told["enabled"], told["model"]) == (True, "given")
        last = told["last"]
        assert last.pop("ms") > 0
        assert last == {"file": str(file), "line": 2, "shown": True, "reason": ""}
        await editor.close()


async def test_a_document_that_is_named_has_the_settings_of_its_own_folder(
    start: StartEditor, tmp_path: Path
) -> None:
    for name, enabled in (("quiet", "false"), ("loud", "true")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".git").mkdir()
        (tmp_path / name / ".tandem.toml").write_text(f"[completion]\nenabled = {enabled}\n")
    editor = await start(loaded=False, folders=[tmp_path / "quiet", tmp_path / "loud"])
    for name, enabled in (("loud", True), ("quiet", False)):
        place = {"textDocument": {"uri": (tmp_path / name / "work.py").as_uri()}}
        assert (await editor.send("tandem/status", place)).enabled is enabled
    assert (await editor.send("tandem/status", {})).enabled is False


async def test_silence_is_told_with_its_reason(start: StartEditor, file: Path) -> None:
    editor = await start(loaded=False, options={"completion": {"enabled": False}})
    assert await editor.inline(file.as_uri(), 1, 11) == []
    assert (await status(editor))["last"]["reason"] == silence.NOT_OPEN
    editor.open(file.as_uri(), CODE)
    assert await editor.inline(file.as_uri(), 1, 11) == []
    last = (await status(editor))["last"]
    assert (last["shown"], last["reason"]) == (False, silence.DISABLED)


async def test_a_snooze_is_told(start: StartEditor) -> None:
    editor = await start(loaded=False, options={"completion": {"enabled": False}})
    snooze.snooze(10)
    assert 0 < (await status(editor))["snoozedSeconds"] <= 600


async def test_a_model_that_does_not_start_is_told_with_the_reason(
    start: StartEditor, file: Path
) -> None:
    editor = await start(loaded=False, options={"endpoint": "http://127.0.0.1:9"})
    editor.open(file.as_uri(), CODE)
    await until(lambda: editor.messages)
    told = await status(editor)
    assert told["model"] == ""
    assert f"Tandem: {told['failure']}" == editor.messages[0]
