"""No suggestions for a while: one file, the command, and what editors send."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsprotocol import types

from completion import snooze
from completion.snooze import LONGEST_MINUTES, Snooze
from tandem import cli, paths
from tests.lsp_client import StartEditor


@pytest.fixture
def state(empty_home: Path) -> Path:
    """The file's place."""
    return paths.state_dir() / "snooze.json"


def test_nobody_is_snoozed_at_first(state: Path) -> None:
    assert snooze.left_s() == 0
    assert not Snooze().active(0.0)
    assert not snooze.unsnooze()
    assert not state.exists()


def test_a_snooze_is_seen_by_who_looks_the_first_time(state: Path) -> None:
    until = snooze.snooze(10)
    assert 590 < until - time.time() <= 600
    assert 590 < snooze.left_s() <= 600
    assert Snooze().active(0.0)


def test_who_has_looked_looks_again_after_a_second(state: Path) -> None:
    known = Snooze()
    assert not known.active(100.0)
    snooze.snooze(10)
    assert not known.active(100.5)
    assert known.active(101.0)
    assert snooze.unsnooze()
    assert known.active(101.5)
    assert not known.active(102.0)


def test_who_has_changed_it_need_not_wait(state: Path) -> None:
    known = Snooze()
    assert not known.active(100.0)
    snooze.snooze(10)
    known.look_again()
    assert known.active(100.1)


def test_a_second_snooze_counts_and_a_shorter_one_too(state: Path) -> None:
    known = Snooze()
    snooze.snooze(60)
    assert known.active(0.0)
    snooze.snooze(10)
    assert snooze.left_s() <= 600
    assert known.active(1.0)


def test_a_snooze_ends_by_itself(state: Path) -> None:
    snooze.snooze(10)
    found = json.loads(state.read_text())
    state.write_text(json.dumps({**found, "until": time.time() - 0.001}))
    assert snooze.left_s() == 0
    assert not Snooze().active(0.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        '{"v": 1}',
        '{"v": 2, "until": 99999999999}',
        '{"v": 1, "until": "soon"}',
        '{"v": 1, "until": true}',
        '{"v": 1, "until": NaN}',
        '{"v": 1, "until": Infinity}',
        '{"v": 1, "until": 99999999999}',  # a clock that was wrong
        "[" * 100_000,
    ],
)
def test_a_damaged_file_silences_nobody(state: Path, text: str) -> None:
    state.parent.mkdir(parents=True)
    state.write_text(text)
    assert snooze.left_s() == 0
    assert not Snooze().active(0.0)
    snooze.snooze(5)
    assert snooze.left_s() > 0


@given(st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise(state: Path, data: bytes) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_bytes(data)
    assert not Snooze().active(0.0)


def test_only_the_user_may_read_it(state: Path) -> None:
    snooze.snooze(1)
    assert state.stat().st_mode & 0o077 == 0


def test_the_command_snoozes_and_takes_it_back(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["snooze"]) == 0
    assert "No suggestions until" in capsys.readouterr().out
    assert 0 < snooze.left_s() <= 60 * snooze.USUAL_MINUTES
    assert cli.run(["snooze", "5"]) == 0
    assert 0 < snooze.left_s() <= 300
    assert cli.run(["snooze", "--off"]) == 0
    assert snooze.left_s() == 0
    assert cli.run(["snooze", "--off"]) == 0
    assert "were not snoozed" in capsys.readouterr().out


@pytest.mark.parametrize("minutes", ["0", "-5", str(LONGEST_MINUTES + 1), "nan", "inf"])
def test_minutes_that_make_no_sense_are_refused(
    state: Path, minutes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["snooze", "--", minutes]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not state.exists()


def test_a_state_folder_that_is_a_file_is_one_line(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty_home.mkdir(parents=True)
    (empty_home / "state").write_text("")
    assert cli.run(["snooze"]) == 1
    assert "tandem doctor" in capsys.readouterr().err


async def test_an_editor_snoozes_and_takes_it_back(start: StartEditor) -> None:
    editor = await start(loaded=False)
    ask = editor.client.workspace_execute_command_async
    until = await ask(types.ExecuteCommandParams("tandem.snooze", [5]))
    assert isinstance(until, float)
    assert 0 < snooze.left_s() <= 300
    assert await ask(types.ExecuteCommandParams("tandem.unsnooze")) is True
    assert snooze.left_s() == 0
    assert await ask(types.ExecuteCommandParams("tandem.unsnooze", [])) is False
    assert await ask(types.ExecuteCommandParams("tandem.snooze")) is not None
    assert snooze.left_s() > 0
    assert await ask(types.ExecuteCommandParams("tandem.unsnooze")) is True
    for nonsense in ("ten", -1, 10**9, True, {"minutes": 5}):
        params = types.ExecuteCommandParams("tandem.snooze", [nonsense])
        assert await ask(params) is None
        assert "snooze for more than 0" in await editor.told()
        editor.messages.clear()
    assert snooze.left_s() == 0
