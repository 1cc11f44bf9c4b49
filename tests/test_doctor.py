"""`tandem doctor`: each check can fail, and says what mends it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from completion.engine import weights
from tandem import doctor, paths, trace
from tandem.config import Config, load
from tandem.doctor import Check


def check(name: str, config: Config | None = None) -> Check:
    [found] = [check for check in doctor.checks(config) if check.name == name]
    return found


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH is one empty folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_json_has_every_check_and_the_exit_code_follows(tandem_home: Path) -> None:
    command = [sys.executable, "-m", "tandem", "doctor", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    answer = json.loads(result.stdout)
    names = {check["name"] for check in answer["checks"]}
    assert names >= {"python", "torch", "model", "engine", "git", "docker", "settings", "trace"}
    assert answer["ok"] == all(check["ok"] is not False for check in answer["checks"])
    assert result.returncode == (0 if answer["ok"] else 1)


def test_a_missing_model_fails_and_the_fix_is_the_command(
    empty_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = check("model")
    assert (found.ok, found.fix) == (False, "tandem models pull tandem-135m")
    assert doctor.report([found], as_json=False) is False
    assert "→ tandem models pull tandem-135m" in capsys.readouterr().out


def test_an_installed_model_passes(tandem_home: Path) -> None:
    assert check("model").ok is True


def test_a_damaged_model_fails(tandem_home: Path) -> None:
    (tandem_home / "cache/models/tandem-135m/tokenizer.json").unlink()
    found = check("model")
    assert found.ok is False
    assert "tokenizer.json is missing" in found.detail


def test_things_that_tandem_can_do_without_do_not_fail() -> None:
    assert doctor.report([Check("a", True, ""), Check("b", None, "")], as_json=True)
    assert not doctor.report([Check("a", True, ""), Check("b", False, "")], as_json=True)


def test_no_engine_is_no_failure(tandem_home: Path) -> None:
    assert check("engine").ok is None


def test_an_endpoint_is_asked_instead_of_the_engine(empty_home: Path) -> None:
    config = load(options={"endpoint": "http://127.0.0.1:9/v1", "model": "m"})
    found = check("server", config)
    assert found.ok is False
    assert "cannot be reached" in found.detail


def test_broken_settings_are_a_failed_check_not_a_crash(empty_home: Path) -> None:
    paths.user_config_file().parent.mkdir(parents=True)
    paths.user_config_file().write_text("model = [")
    found = check("settings")
    assert found.ok is False
    assert "config.toml" in found.detail


def test_a_state_folder_that_cannot_be_written_fails(empty_home: Path) -> None:
    empty_home.mkdir()
    (empty_home / "state").write_text("a file")
    assert check("trace", Config(endpoint="http://127.0.0.1:9/v1")).ok is False


def test_lost_events_fail(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_lost", 3)
    assert "3 events" in doctor._trace().detail


def test_git_docker_and_editors_are_looked_for_on_path(bare_path: Path) -> None:
    assert doctor._git() == Check("git", False, "not installed", "apt-get install git")
    assert doctor._docker().ok is None
    assert doctor._docker().fix == "tandem sandbox setup"
    [editors] = doctor._editors()
    assert editors.ok is None
    program(bare_path, "nvim", "exit 0")
    assert [editor.name for editor in doctor._editors()] == ["nvim"]


def test_a_docker_client_without_a_daemon_is_told_apart(bare_path: Path) -> None:
    program(bare_path, "docker", "echo 28.0; echo 'Cannot connect to the daemon' >&2; exit 1")
    found = doctor._docker()
    assert found.ok is None
    assert "Cannot connect to the daemon" in found.detail
    program(bare_path, "docker", "echo 28.0 28.1")
    assert doctor._docker() == Check("docker", True, "client 28.0, daemon 28.1")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="features are read on Linux only")
def test_cpu_features_and_the_engines_dtype_are_told() -> None:
    found = doctor._torch(Config())
    assert f"engine: {weights.choose('auto')}, " in found.detail
    assert ("avx2" in found.detail) == ("avx2" in doctor.cpu_flags())


def test_the_real_git_is_found() -> None:
    assert doctor._git().ok is (shutil.which("git") is not None)


def test_the_fixed_width_table_is_readable(
    empty_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", "100")
    doctor.report([Check("model", False, "[red]odd[/red]", "fix it")], as_json=False)
    assert "[red]odd[/red]" in capsys.readouterr().out
