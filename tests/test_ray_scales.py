"""Ray Serve starts replicas of the embedded engine where requests pile up, and ends them again."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.ray_server import RayServer, ray_server
from tests.tiny_adapters import Store
from tests.wire import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

SETTINGS = """cpus = 0.5
[scaling]
least = 1
most = 2
ongoing = 1
look_seconds = 3
up_seconds = 1
down_seconds = 2
[engine]
threads = 1
context = 256
dtype = "float32"
"""
PEOPLE = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RayServer]:
    home = tmp_path / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(home))
        Store()
    with ray_server(home, SETTINGS) as running:
        yield running


def test_there_are_two_while_many_ask_and_one_again_after_that(server: RayServer) -> None:
    assert len(server.replicas()) == 1
    answers: list[httpx.Response] = []
    ended = threading.Event()

    def ask(person: int) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            prompt = f"# {person}\ndef load_{number}(path):\n    return "
            answers.append(server.ask(prompt, max_tokens=64, ignore_eos=True))

    people = [threading.Thread(target=ask, args=[person]) for person in range(PEOPLE)]
    for one in people:
        one.start()
    try:
        wait_until(lambda: len(server.replicas()) == 2, 180)
        done = len(answers)
        wait_until(lambda: len(answers) > done + 4 * PEOPLE, 60)
    finally:
        ended.set()
        for one in people:
            one.join()
    assert {answer.status_code for answer in answers} == {200}
    wait_until(lambda: len(server.replicas()) == 1, 180)
    assert server.ask("def after(all):\n    return ").status_code == 200
