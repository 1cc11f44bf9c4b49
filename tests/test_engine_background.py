"""One shared engine in the background: found, started, shared, replaced and ended."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from completion import models
from completion.engine import background
from completion.engine.background import Address
from tandem import paths
from tandem.config import Config, EngineConfig
from tandem.errors import EngineError, ModelError
from tests.conftest import SMALL_ENGINE
from tests.wire import wait_until

ENGINE = EngineConfig(threads=1, context=256)
ENSURE = """
import json, sys
from completion.engine import background
from tandem.config import Config
address = background.ensure(Config(**json.loads(sys.argv[1])))
print(json.dumps([address.pid, address.url, address.token]))
"""


@pytest.fixture
def config(tandem_home: Path):
    """Settings in a home of the test's own; engines started there end with the test."""
    yield (config := Config(engine=ENGINE))
    background.stop(config)


@pytest.fixture
def running(engine: Address, engine_home: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings whose engine runs already: the session's, for tests that leave it alone."""
    monkeypatch.setenv("TANDEM_HOME", str(engine_home))
    return SMALL_ENGINE


def ensure_elsewhere(config: Config, folder: Path | None = None) -> subprocess.Popen[str]:
    """Another program that needs the engine."""
    settings = config.model_dump_json(include={"model", "engine"})
    return subprocess.Popen(
        [sys.executable, "-P", "-c", ENSURE, settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def answers(address: Address) -> bool:
    response = httpx.post(
        f"{address.url}/completions",
        json={"prompt": "def f", "max_tokens": 1, "temperature": 0},
        headers={"Authorization": f"Bearer {address.token}"},
        trust_env=False,
        timeout=120,
    )
    return response.status_code == 200


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def damage(file: Path, data: bytes) -> None:
    """Replace a model's file by one of equal size and time, which only loading can tell apart."""
    before = file.stat()
    file.unlink()  # it is linked to the shared model
    file.write_bytes(data.ljust(before.st_size, b"\0"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_two_programs_at_once_share_one_engine(config: Config) -> None:
    programs = [ensure_elsewhere(config) for _ in range(2)]
    said = [program.communicate(timeout=240) for program in programs]
    assert [program.returncode for program in programs] == [0, 0], said
    first, second = (json.loads(out) for out, _ in said)
    assert first == second
    address = background.ensure(config)
    assert [address.pid, address.url, address.token] == first
    assert answers(address)


def test_the_address_and_its_folder_are_for_the_user_alone(running: Config) -> None:
    files = background.files_for(running)
    assert mode(files.state.parent) == 0o700
    for file in files.state.parent.iterdir():
        assert mode(file) == 0o600, file


def test_the_token_is_not_in_the_process_list(running: Config) -> None:
    address = background.ensure(running)
    process = psutil.Process(address.pid)
    assert address.token not in " ".join(process.cmdline())
    assert address.token not in " ".join(process.environ().values())


def test_a_killed_engine_is_noticed_and_replaced(config: Config) -> None:
    first = background.ensure(config)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: background.find(config) is None)
    assert background.files_for(config).state.exists()
    second = background.ensure(config)
    assert second.pid != first.pid
    assert second.token != first.token
    assert answers(second)


def test_the_state_of_a_reused_process_number_is_stale(config: Config) -> None:
    files = background.files_for(config)
    ourselves = {"url": "http://127.0.0.1:9/v1", "token": "t", "pid": os.getpid(), "model": "m"}
    for started in (1.0, psutil.Process().create_time()):
        state = {"v": 1, **ourselves, "process_started": started}
        files.state.write_text(json.dumps(state))
        assert background.find(config) is None
        assert not background.stop(config)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"v": 1}', '{"v": 99}', '{"v": 1, "x": 2}'])
def test_a_damaged_state_file_is_no_engine(config: Config, text: str) -> None:
    background.files_for(config).state.write_text(text)
    assert background.find(config) is None


def test_an_idle_engine_ends_itself_and_cleans_up(config: Config) -> None:
    hasty = config.model_copy(
        update={"engine": config.engine.model_copy(update={"idle_minutes": 0.02})}
    )
    address = background.ensure(hasty)
    wait_until(lambda: not psutil.pid_exists(address.pid))
    assert background.find(hasty) is None
    assert not background.files_for(hasty).state.exists()


def test_stop_ends_the_engine_and_removes_its_address(config: Config) -> None:
    address = background.ensure(config)
    assert background.stop(config)
    assert not psutil.pid_exists(address.pid)
    assert not background.files_for(config).state.exists()
    assert not background.stop(config)


def test_other_settings_are_another_engine(config: Config) -> None:
    wider = Config(engine=EngineConfig(threads=1, context=512))
    same = Config(engine=EngineConfig(threads=2, context=256, idle_minutes=1))
    assert background.files_for(wider) != background.files_for(config)
    assert background.files_for(same) == background.files_for(config)


def test_a_folder_is_the_same_model_however_it_is_written(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    spellings = ["mine", "./mine", str(tmp_path / "mine"), "../" + tmp_path.name + "/mine"]
    assert len({background.files_for(Config(model=name)) for name in spellings}) == 1


def test_a_model_folder_outside_the_store_is_served_by_its_name(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(models.resolve(config.model).folder)
    monkeypatch.chdir(tmp_path)
    local = config.model_copy(update={"model": "./mine"})
    try:
        assert answers(background.ensure(local))
    finally:
        background.stop(local)


def test_nothing_is_imported_from_the_folder_an_editor_runs_in(
    config: Config, tmp_path: Path
) -> None:
    hostile = tmp_path / "repository"
    hostile.mkdir()
    marker = tmp_path / "ran"
    for name in ("torch", "uvicorn", "completion", "sitecustomize"):
        (hostile / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    program = ensure_elsewhere(config, hostile)
    _, errors = program.communicate(timeout=240)
    assert program.returncode == 0, errors
    assert not marker.exists()


def test_a_missing_model_is_told_before_anything_starts(config: Config) -> None:
    with pytest.raises(ModelError, match=r"no-such-model.*tandem models list"):
        background.ensure(config.model_copy(update={"model": "no-such-model"}))


def test_a_truncated_model_is_told_before_anything_starts(config: Config) -> None:
    file = models.resolve(config.model).folder / "model.safetensors"
    file.unlink()
    file.write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match=r"model\.safetensors has 100 bytes"):
        background.ensure(config)


def test_a_model_that_only_fails_to_load_is_told_with_its_file_and_the_log(config: Config) -> None:
    damage(models.resolve(config.model).folder / "model.safetensors", b"{")
    with pytest.raises(EngineError) as caught:
        background.ensure(config)
    assert "model.safetensors" in caught.value.message
    log = background.files_for(config).log
    assert str(log) in caught.value.hint
    assert "Traceback" not in log.read_text()
    assert background.find(config) is None


def test_progress_is_told_and_may_end_the_waiting(config: Config) -> None:
    class Enough(Exception): ...

    def impatient(message: str) -> None:
        if message.startswith("loading"):
            raise Enough(message)

    with pytest.raises(Enough, match=r"loading tandem-135m \(\d+ s\)"):
        background.ensure(config, impatient)
    assert answers(background.ensure(config))


def test_a_second_engine_for_the_same_files_is_refused(running: Config) -> None:
    settings = running.model_dump_json(include={"engine"})
    second = subprocess.run(
        [sys.executable, "-m", "completion.engine", running.model, settings],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert second.returncode == 1
    assert second.stderr.strip() == "Another engine serves this model already."
    assert background.find(running) is not None


def test_the_log_is_cut_when_it_grows_too_long(running: Config) -> None:
    log = background.files_for(running).log
    with log.open("ab") as stream:
        stream.write(b"x" * (background.MAX_LOG + 1))
    wait_until(lambda: log.stat().st_size < background.MAX_LOG)


def test_serve_in_the_foreground_names_its_token_file_and_ends_on_a_signal(
    tandem_home: Path,
) -> None:
    code = "import typer; from tandem.serve_cli import serve; typer.run(serve)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split(" at ")[1].strip()
        token_file = paths.state_dir() / "engine" / "token"
        assert str(token_file) in process.stdout.readline()
        assert mode(token_file) == 0o600
        token = token_file.read_text().strip()
        address = Address(url, token, process.pid, models.DEFAULT)
        wait_until(lambda: answers(address))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert background.user_token() == (token, token_file)
