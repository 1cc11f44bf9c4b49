"""`tandem uninstall` removes all that is Tandem's and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tandem import config, paths, uninstall
from tandem.errors import TandemError, UsageError
from tandem.trace import Event, write


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tandem", "uninstall", *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60)


@pytest.fixture
def used_home(empty_home: Path) -> Path:
    """A home with a bit of everything."""
    config.save_user({"model": "x"})
    write(Event("complete"))
    model = paths.models_dir() / "m"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"x" * 3_000_000)
    engine = paths.state_dir() / "engine"
    engine.mkdir()
    (engine / "m-1.log").write_text("log")
    return empty_home


def register(pid: int, started: float) -> None:
    state = {"v": 1, "pid": pid, "process_started": started, "url": "", "token": "", "model": "m"}
    (paths.state_dir() / "engine" / "m-1.json").write_text(json.dumps(state))


def test_everything_is_listed_with_its_size_and_then_removed(used_home: Path) -> None:
    result = run("--yes")
    assert result.returncode == 0, result.stderr
    for word in ("models", "state", "settings", "3.0 MB", str(paths.user_config_file())):
        assert word in result.stdout
    assert not used_home.exists()


def test_a_no_keeps_everything(used_home: Path) -> None:
    before = sorted(used_home.rglob("*"))
    result = run(stdin="n\n")
    assert result.returncode != 0
    assert sorted(used_home.rglob("*")) == before


def test_a_yes_at_the_question_removes(used_home: Path) -> None:
    assert run(stdin="y\n").returncode == 0
    assert not used_home.exists()


def test_a_second_time_there_is_nothing_to_do(empty_home: Path) -> None:
    assert "left nothing" in run("--yes").stdout


def test_files_of_others_in_our_folders_stay(used_home: Path) -> None:
    mine = [used_home / "diary.txt", paths.state_dir() / "notes.md", paths.cache_dir() / "x" / "y"]
    for file in mine:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    assert run("--yes").returncode == 0
    assert all(file.read_text() == "mine" for file in mine)
    assert not paths.models_dir().exists()


def test_links_are_removed_and_not_followed(used_home: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    (paths.models_dir() / "linked").symlink_to(precious)
    (paths.state_dir() / "engine" / "link").symlink_to(precious / "file")
    assert run("--yes").returncode == 0
    assert (precious / "file").read_text() == "keep"
    assert not used_home.exists()


def test_a_running_engine_is_stopped_first(used_home: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    try:
        register(process.pid, psutil.Process(process.pid).create_time())
        uninstall.run(yes=True)
        assert not psutil.pid_exists(process.pid)
    finally:
        process.kill()
        process.wait()
    assert not used_home.exists()


def test_a_process_that_only_has_the_engines_number_is_left_alone(used_home: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    try:
        register(process.pid, psutil.Process(process.pid).create_time() - 3600)
        uninstall.run(yes=True)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_damaged_engine_file_stops_nothing(used_home: Path, content: str) -> None:
    (paths.state_dir() / "engine" / "m-1.json").write_text(content)
    assert uninstall.engines() == []


@pytest.mark.parametrize("home", ["/", "~", "~/..", "//", "/tmp/.."])
def test_an_odd_home_is_refused(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(Path(home).expanduser()))
    with pytest.raises(UsageError, match="not a folder of Tandem's own"):
        uninstall.run(yes=True)


def test_a_linked_folder_is_refused(empty_home: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "models").mkdir(parents=True)
    empty_home.mkdir()
    (empty_home / "cache").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="is a link"):
        uninstall.run(yes=True)
    assert (tmp_path / "other" / "models").exists()


def test_what_cannot_be_removed_is_told(used_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(uninstall.shutil, "rmtree", refuse)  # root may delete everything
    with pytest.raises(TandemError, match=r"Could not remove .*models: Permission denied"):
        uninstall.run(yes=True)
