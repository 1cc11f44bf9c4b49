"""The language server's settings: from the client, from folders, and when they are bad."""

import asyncio
from pathlib import Path

from lsprotocol import types

from lsp.client import Editor, capabilities, folder_at
from tests.lsp_client import (
    ADD,
    AFTER_ADD,
    COMMAND,
    StartEditor,
    environment,
    events,
    until,
)

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
