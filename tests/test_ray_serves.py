"""Two real replicas of the embedded engine behind a real Ray Serve: over HTTP, as clients see them."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.frames import FRAMES, smuggle
from tests.lsp_client import use_folders
from tests.ray_server import TWO, RayServer, ray_server
from tests.replicas import Replica, replicas
from tests.tiny_adapters import Store
from tests.wire import get, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

ENGINE = {"threads": "1", "context": "256", "dtype": "float32"}
PROMPTS = [f"def load_{n}(path, name, size):\n    total = {n}\n    return " for n in range(6)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tiny model, and two adapters for it."""
    home = tmp_path_factory.mktemp("ray") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        use_folders(patch, home)
        store = Store()
        store.add("first", 1)
        store.add("second", 2)
        yield home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RayServer]:
    with ray_server(home, TWO) as running:
        yield running


@pytest.fixture(scope="module")
def engine(home: Path) -> Iterator[Replica]:
    with replicas(home, "tiny", 1, **ENGINE) as (one,):
        yield one


def alone(engine: Replica, prompt: str, model: str = "tiny") -> str:
    """What the plain engine answers."""
    headers = {"Authorization": f"Bearer {engine.token_file.read_text().strip()}"}
    body = {"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0}
    url = f"{engine.url}/completions"
    answer = httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


def test_there_are_two_and_they_answer_as_the_plain_engine(
    server: RayServer, engine: Replica
) -> None:
    assert len(server.replicas()) == 2
    for prompt in PROMPTS:
        assert text(server.ask(prompt)) == alone(engine, prompt)


def test_answers_stream_event_by_event(server: RayServer, engine: Replica) -> None:
    body = {"model": "tiny", "prompt": PROMPTS[0], "max_tokens": 160, "stream": True}
    body["ignore_eos"] = True
    pieces, moments = [], []
    with (
        server.client() as client,
        client.stream("POST", "completions", json=body | {"temperature": 0}) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("data: {"):
                pieces.append(json.loads(line[6:])["choices"][0]["text"])
                moments.append(time.monotonic())
    assert "".join(pieces).startswith(alone(engine, PROMPTS[0]))
    assert len(pieces) > 2
    assert len({*moments}) > 1


def test_a_prompt_s_beginning_leads_to_who_has_read_it(server: RayServer) -> None:
    """Of random choices among two some 18 of 36 would find nothing cached."""
    start = [f"# {n}\n" + "value = compute(value)\n" * 8 for n in range(6)]
    for prompt in start:
        assert server.ask(prompt, max_tokens=1).status_code == 200
    for _ in range(6):
        for prompt in start:
            usage = server.ask(prompt, max_tokens=1).json()["usage"]
            assert usage["prompt_tokens_details"]["cached_tokens"] > 0


def test_adapters_by_name_are_the_plain_engine_s(server: RayServer, engine: Replica) -> None:
    found = {name: text(server.ask(PROMPTS[1], name)) for name in ("tiny", "first", "second")}
    assert found == {name: alone(engine, PROMPTS[1], name) for name in found}
    assert len({*found.values()}) == 3
    with server.client() as client:
        names = {row["id"] for row in client.get("models").json()["data"]}
    assert names == {"tiny", "first", "second"}
    assert server.ask("x", "nobody").status_code == 404


def test_a_refusal_of_the_engine_reaches_the_client(server: RayServer) -> None:
    assert server.ask("x " * 2000).status_code == 400
    with server.client() as client:
        answer = client.post("completions", content=b"{", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415


# Who may enter


def test_no_token_no_answer_and_foreign_hosts_get_nothing(server: RayServer) -> None:
    assert get(server.address, "/v1/models").status == 401
    assert get(server.address, "/v1/models", "Authorization: Bearer wrong").status == 401
    token = f"Authorization: Bearer {server.token}"
    assert get(server.address, "/v1/models", token).status == 200
    assert get(server.address, "/health").status == 200
    for header in ("Host: evil.example", "Origin: http://evil.example"):
        assert get(server.address, "/health", header).status == 403
    for path in ("/-/routes", "/-/healthz"):
        assert get(server.address, path, token).status == 404


@pytest.mark.parametrize("frame", FRAMES)
def test_request_smuggling(server: RayServer, frame: str) -> None:
    """Ray's proxy parses, and our door asks: one answer, and not to what was smuggled."""
    answers = smuggle(server.address, frame)
    assert len(answers) == 1
    assert 400 <= answers[0] <= 501


def test_no_secret_is_in_a_command_line(server: RayServer) -> None:
    for one in server.children():
        line = " ".join(one.cmdline())
        assert server.token not in line
        assert one.environ().get("RAY_AUTH_TOKEN", "none") not in line


def test_what_ray_opens_is_on_the_loopback(server: RayServer) -> None:
    """But for the replicas' own ports: Ray Serve 2.60 has no setting; they want Ray's token."""
    open_to_all = {
        (" ".join(one.cmdline())[:60], socket.laddr)
        for one in server.children()
        for socket in one.net_connections("tcp")
        if socket.status == psutil.CONN_LISTEN
        and socket.laddr.ip.removeprefix("::ffff:") not in ("127.0.0.1", "::1")
    }
    assert [one for one in open_to_all if not one[0].startswith("ray::ServeReplica")] == []


# What goes wrong


def test_a_killed_replica_is_replaced_and_nobody_gets_a_wrong_text(
    server: RayServer, engine: Replica
) -> None:
    wanted = {prompt: alone(engine, prompt) for prompt in PROMPTS}
    before = server.replicas()
    answers: list[tuple[str, httpx.Response]] = []
    ended = threading.Event()

    def ask() -> None:
        number = 0
        while not ended.is_set():
            prompt = PROMPTS[number % len(PROMPTS)]
            answers.append((prompt, server.ask(prompt)))
            number += 1

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        wait_until(lambda: len(answers) > 3)
        before[0].kill()
        wait_until(lambda: len({*server.replicas()} - {*before}) == 1, 120)
        done = len(answers)
        wait_until(lambda: len(answers) > done + 2 * len(PROMPTS), 120)
    finally:
        ended.set()
        asking.join()
    for prompt, answer in answers:
        if answer.status_code == 200:
            assert text(answer) == wanted[prompt]
        else:
            assert answer.json()["error"]["message"], answer.text
    assert all(answer.status_code == 200 for _, answer in answers[-len(PROMPTS) :])


def test_at_a_signal_what_runs_may_end(server: RayServer) -> None:
    """The last test of this server."""
    server.ends_what_runs(PROMPTS[0], 180)
