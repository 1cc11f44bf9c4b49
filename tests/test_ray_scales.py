"""Replicas of the embedded engine come with the load and go with it: Ray Serve's own autoscaling."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.lsp_client import use_folders
from tests.ray_server import RayServer, ray_server
from tests.tiny_adapters import Store
from tests.wire import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

SETTINGS = """cpus = 0.5
[scaling]
least = 1
most = 2
ongoing = 0.25
look_seconds = 3
up_seconds = 1
down_seconds = 2
[engine]
threads = 1
context = 256
dtype = "float32"
queue = 64
"""
PROMPT = "def load(path, name, size):\n    total = 0\n    return "
ASKING = 6
LONG = {"max_tokens": 160, "ignore_eos": True}  # long enough to be under way beside others


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayServer]:
    home = tmp_path_factory.mktemp("ray-scales") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, home)
        Store()
        with ray_server(home, SETTINGS) as running:
            yield running


def test_a_second_replica_comes_with_the_load_and_goes_without_it_and_no_request_fails(
    server: RayServer,
) -> None:
    answers: list[httpx.Response] = []
    busy, ended = threading.Event(), threading.Event()
    busy.set()

    def ask(alone: bool) -> None:
        """Some ask as long as it is busy, one goes on, but seldom, until the end."""
        while not ended.is_set() and (alone or busy.is_set()):
            answers.append(server.ask(PROMPT, **LONG))
            if not busy.is_set():
                ended.wait(0.5)

    threads = [threading.Thread(target=ask, args=[n == 0]) for n in range(ASKING)]
    with server.counted("Engine") as counts:
        wait_until(lambda: bool(counts), 60)
        assert counts[-1] == 1
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: counts[-1] == 2, 180)
            done = len(answers)
            wait_until(lambda: len(answers) > done + 40, 60)
            assert len(server.replicas()) == 2
            busy.clear()
            wait_until(lambda: counts[-1] == 1, 180)
            wait_until(lambda: len(server.replicas()) == 1, 60)
            done = len(answers)
            wait_until(lambda: len(answers) > done + 2, 60)
        finally:
            busy.clear()
            ended.set()
            for thread in threads:
                thread.join()
    assert {*counts} == {1, 2}
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["choices"][0]["text"] for answer in answers}) == 1
