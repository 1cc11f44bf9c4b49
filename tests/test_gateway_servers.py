"""A gateway that runs its model servers itself: one command for all of them."""

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway import servers
from gateway.config import Backend
from gateway.servers import Servers, command
from tests import tiny_models
from tests.gateways import Running, backend, gateway
from tests.wire import free_port, wait_until


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "tiny"
    folder.mkdir()
    tiny_models.make(folder, "llama tied")
    return folder


@pytest.fixture
def running(tiny: Path, tmp_path: Path) -> Iterator[Running]:
    """Before an engine that it runs, and one that cannot start."""
    ours = backend("ours", f"http://127.0.0.1:{free_port()}/v1", models=["tiny"])
    # Named as someone in the settings' folder would name it.
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "its-folder").symlink_to(tiny)
    ours["serve"] = ["--model", "its-folder"]
    lost = backend("lost", f"http://127.0.0.1:{free_port()}/v1", models=["none"])
    lost["serve"] = ["--model", "/no/such/model"]
    with gateway(tmp_path / "home", [ours, lost]) as found:
        yield found


def says(running: Running, words: str) -> str:
    """The next line of the gateway that holds them."""
    assert running.process.stdout
    return next(line for line in running.process.stdout if words in line)


def engine_of(running: Running) -> psutil.Process:
    children = psutil.Process(running.process.pid).children()
    return next(child for child in children if "its-folder" in " ".join(child.cmdline()))


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def answered(running: Running) -> bool:
    body = {"model": "tiny", "prompt": "def add(a, b):", "max_tokens": 4}
    with running.client() as client:
        response = client.post("completions", json=body)
    return response.status_code == 200 and response.json()["usage"]["completion_tokens"] > 0


def test_it_starts_them_again_after_a_crash_and_ends_them_with_itself(running: Running) -> None:
    assert "/no/such/model" in says(running, "lost does not start: ")
    says(running, "ours serves.")
    assert answered(running)
    first = engine_of(running)
    first.kill()
    assert "It starts again in 1 s." in says(running, "ours ended (")
    says(running, "ours serves.")
    wait_until(lambda: answered(running))
    second = engine_of(running)
    assert second.pid != first.pid
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    assert not second.is_running()


async def test_what_does_not_start_is_tried_until_somebody_mends_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "RETRY_SECONDS", 0.1)
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    port = free_port()
    late = backend("late", f"http://127.0.0.1:{port}/v1", serve=["--model", "./its-folder"])
    logs = tmp_path / "logs"
    told: list[str] = []
    ours = Servers([Backend.model_validate(late)], logs, tmp_path, told.append)

    def looked(condition: Callable[[], bool]) -> bool:
        ours.look()
        return condition()

    try:
        wait_until(lambda: looked((logs / "late.log.1").exists))  # the second try's
        (tmp_path / "its-folder").symlink_to(tiny)
        wait_until(lambda: looked(lambda: listens(port)))
        ours.answers("late")
    finally:
        await ours.end()
    starting, trouble, serves = told
    assert starting.startswith("Starting late;")
    assert trouble.startswith("late does not start: ")
    assert "its-folder" in trouble
    assert trouble.endswith("It is tried every 0.00166667 minutes.")
    assert serves == "late serves."
    assert not listens(port)


def test_they_end_when_it_is_killed(running: Running) -> None:
    says(running, "ours serves.")
    engine = engine_of(running)
    running.process.kill()
    wait_until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


def test_a_server_listens_where_the_gateway_asks_and_paths_may_begin_at_home() -> None:
    row = backend("a", "http://127.0.0.1:8021/v1", serve=["--config", "~/coder.toml"])
    words = command(Backend.model_validate(row))
    assert words[-6:-4] == ["--config", str(Path.home() / "coder.toml")]
    assert words[-4:] == ["--host", "127.0.0.1", "--port", "8021"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "http://gpu-1:8000/v1"}, "127.0.0.1:PORT"),
        ({"url": "http://127.0.0.1/v1"}, "127.0.0.1:PORT"),
        ({"url": "http://127.0.0.1:8021"}, "127.0.0.1:PORT"),
        ({"token": "secret"}, "this user's"),
        ({"token_file": "/etc/token"}, "this user's"),
        ({"serve": ["--port=8030"]}, "--port is not for `serve`"),
        ({"serve": ["--allow-remote"]}, "--allow-remote is not"),
    ],
)
def test_what_contradicts_it_is_refused(wrong: dict[str, Any], said: str) -> None:
    row = backend("a", "http://127.0.0.1:8021/v1", serve=[])
    with pytest.raises(ValueError, match=said):
        Backend.model_validate(row | wrong)
