"""A real vLLM under our runner: it comes back after a crash, ends what runs, drops bad guesses."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from completion.models import InstalledModel
from tests.lsp_client import make_home
from tests.vllm_server import VLLM, vllm
from tests.wire import wait_until

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3600)]

MODEL = "tandem-135m"
# No share of right guesses is enough, so that the first window ends speculation.
SETTINGS = """context = 512
drain_seconds = 240
[speculation]
least_accepted = 1.0
judge_after = 20
"""


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel
) -> Iterator[VLLM]:
    home = make_home(tmp_path_factory.mktemp("vllm-lives") / "home", default_model.folder)
    with vllm(home, MODEL, SETTINGS) as running:
        yield running


def guesses(server: VLLM) -> bool:
    """Whether the vLLM that runs now was started with speculation."""
    lines = [" ".join(one.cmdline()) for one in server.children()]
    return any("--speculative-config" in line for line in lines)


def test_speculation_that_does_not_pay_is_turned_off_and_stays_off(server: VLLM) -> None:
    assert guesses(server)
    text = "1, 2, 3, 7, 1, 2, 3, 9, 1, 2, 3,"
    while "is turned off" not in server.said():
        server.text(text, max_tokens=32, ignore_eos=True)
    server.ready(starts=2)
    assert not guesses(server)
    assert server.text(text)
    kept = json.loads((server.home / "state" / "vllm" / "speculation.json").read_text())
    [verdict] = kept["off"].values()
    assert verdict["share"] < verdict["needed"] == 1.0


def test_after_a_crash_it_comes_back_without_speculation(server: VLLM) -> None:
    starts = server.said().count("Serving ")
    [engine] = server.engines()
    engine.kill()
    server.ready(starts + 1)
    assert "It starts again in 1 s." in server.said()
    assert "stays off" in server.said()
    assert not guesses(server)
    assert server.text("def add(a, b):\n    return") == " a + b"


def test_at_a_signal_what_runs_may_end(server: VLLM) -> None:
    """The last test of this server."""
    children = server.children()
    got: list[str] = []
    body = {"model": MODEL, "prompt": "x = [1,", "max_tokens": 40, "stream": True}
    body |= {"ignore_eos": True, "temperature": 0}
    headers = {"Authorization": f"Bearer {server.token}"}

    def read() -> None:
        with httpx.Client(headers=headers, timeout=600, trust_env=False) as client:
            url = f"{server.url}/completions"
            with client.stream("POST", url, json=body) as response:
                got.extend(line for line in response.iter_lines() if line)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: server.counts().running == 1)
    server.process.send_signal(signal.SIGTERM)
    reader.join()
    assert got[-1] == "data: [DONE]"
    assert '"finish_reason":"length"' in got[-2]
    assert server.process.wait(300) == 0
    wait_until(lambda: not any(child.is_running() for child in children))


def test_a_model_that_cannot_be_loaded_ends_it_with_one_line(
    tmp_path: Path, default_model: InstalledModel
) -> None:
    home = make_home(tmp_path / "home", default_model.folder)
    server = VLLM(home, MODEL, 'context = 1000000\n[speculation]\nmethod = "off"\n')
    try:
        assert server.process.wait(900) == 1
        last = server.said().strip().splitlines()[-1]
        assert last.startswith("tandem: vLLM does not start: ")
        assert "1000000" in last
    finally:
        server.end()
