"""vLLM serves the shipped model as the embedded engine does: same tokens, same client, same editor.

float32 in both, where greedy tokens are the same whatever is cached, guessed or adapted.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from completion import adapters, lora
from completion.adapters import Base
from completion.client import Answer, Client
from completion.engine import background
from completion.engine.background import Address
from completion.models import InstalledModel
from tandem.config import Config, EngineConfig
from tests import tiny_adapters, tiny_models
from tests.client_contract import ClientContract, Served, asked
from tests.frames import FRAMES, smuggle
from tests.lsp_client import ADD, AFTER_ADD, editors, engine_stopped_after, events, make_home
from tests.vllm_server import VLLM, vllm
from tests.wire import get

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3600)]

MODEL = "tandem-135m"
PROMPTS = [
    "def add(a, b):\n    return",
    "import os\n\nfor name in os.listdir(",
    "class Point:\n    def __init__(self, x, y):\n        self.x = x\n",
    'with open("data.json") as file:\n    data = ',
    "if __name__ == ",
    "for (let i = 0; i < items.length; i++) {\n  ",
    "SELECT name, age FROM users WHERE ",
    "# The capital of France is",
    "<issue_start>\n    return total\n<issue_closed>def mean(values):\n    total = sum(values)",
    "numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,",
]
LONG = "\n".join(f"def function_{n}(value):\n    return value + {n}\n" for n in range(40))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel) -> Iterator[Path]:
    """The shipped model, two adapters, one that is damaged, and one of another model's shape."""
    home = make_home(tmp_path_factory.mktemp("vllm") / "home", default_model.folder)
    work = home / "work"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(home))
        base = Base.of(MODEL, default_model.folder)
        for seed, name in enumerate(["first", "second", "damaged"]):
            tiny_adapters.tune(name, seed, base, work)
        weights = adapters.folder_of("damaged") / lora.WEIGHTS
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        tiny = work / "tiny"
        tiny.mkdir()
        tiny_adapters.make(work / "foreign", tiny_models.make(tiny, "llama tied"), r=8)
        with engine_stopped_after(home):
            yield home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[VLLM]:
    settings = "context = 1024\nsequences = 8\n[speculation]\nleast_accepted = 0\n"
    settings += f'[adapters]\nspare = 0\nfolders = {{ foreign = "{home / "work" / "foreign"}" }}\n'
    with vllm(home, MODEL, settings) as running:
        yield running


@pytest.fixture(scope="module")
def embedded(home: Path) -> Iterator[Address]:
    """Our engine in its exact form."""
    config = Config(engine=EngineConfig(dtype="float32", context=1024, threads=1))
    yield background.ensure(config)
    background.stop(config)


async def greedy(address: Address, prompt: str, model: str = MODEL, tokens: int = 24) -> Answer:
    """By our own client, with the text of each token."""
    _, answer = await asked(address, model, prompt, tokens, logprobs=0)
    return answer


def texts(answer: Answer) -> str:
    return "".join(token.text for token in answer.tokens)


# The same tokens


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_greedy_tokens_are_the_embedded_engines(
    server: VLLM, embedded: Address, prompt: str
) -> None:
    there, here = await greedy(server.address, prompt), await greedy(embedded, prompt)
    assert texts(there).removesuffix("<|endoftext|>") == texts(here)
    assert there.finish == here.finish


@pytest.mark.parametrize("name", ["first", "second"])
async def test_an_adapter_by_its_name_gives_the_embedded_engines_tokens(
    server: VLLM, embedded: Address, name: str
) -> None:
    there, here = [await greedy(one, PROMPTS[2], name, 12) for one in (server.address, embedded)]
    assert texts(there).removesuffix("<|endoftext|>") == texts(here)
    base = await greedy(server.address, PROMPTS[2], MODEL, 12)
    assert texts(base) != texts(there)


def test_base_and_adapters_in_one_pass_give_what_each_gives_alone(server: VLLM) -> None:
    """On a CPU vLLM would apply the adapter of the last slot to the base's requests."""
    jobs = [(model, prompt) for prompt in PROMPTS[:4] for model in (MODEL, "first", "second")]
    mixed: dict[tuple[str, str], str] = {}
    short = {"max_tokens": 12}
    most = 0
    with ThreadPoolExecutor(len(jobs)) as pool:
        asked = {job: pool.submit(server.text, job[1], model=job[0], **short) for job in jobs}
        while not all(future.done() for future in asked.values()):
            most = max(most, int(server.counts().running))
            time.sleep(0.1)
        mixed = {job: future.result() for job, future in asked.items()}
    assert most > 1, "they were never in one pass"
    for (model, prompt), text in mixed.items():
        # A salt of its own: what a mixed pass left in the prefix cache must not answer here.
        assert server.text(prompt, model=model, cache_salt="alone", **short) == text
        assert server.text(prompt, model=model, **short) == text


# What is told


async def test_models_tell_the_base_and_its_adapters(server: VLLM) -> None:
    async with Client(server.url, server.token) as client:
        rows = {row.id: row for row in await client.models()}
    assert rows.keys() == {MODEL, "first", "second"}
    assert rows[MODEL].context == 1024
    assert rows["first"].parent == MODEL


def test_bad_adapters_are_left_out_with_a_line_each_and_stop_nobody(server: VLLM) -> None:
    [damaged] = [line for line in server.said().splitlines() if "damaged is left out" in line]
    assert "Run: tandem tune" in damaged
    [foreign] = [line for line in server.said().splitlines() if "foreign is left out" in line]
    assert foreign.startswith("The adapter foreign is left out: ")
    assert server.post("/v1/completions", {"model": "foreign", "prompt": "a"}).status_code == 404
    assert server.text(PROMPTS[0])


def test_cached_tokens_are_told_in_usage_and_counted(server: VLLM) -> None:
    before = server.counts()
    prompt = "# read twice\n" + LONG
    first = server.complete(prompt, max_tokens=4)
    again = server.complete(prompt, max_tokens=4)
    assert first["choices"][0]["text"] == again["choices"][0]["text"]
    cached = again["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= again["usage"]["prompt_tokens"] - 64
    assert server.counts().prefix_hits - before.prefix_hits >= cached


def test_guessed_tokens_are_accepted_and_counted(server: VLLM) -> None:
    before = server.counts()
    server.complete(LONG, max_tokens=48)
    after = server.counts()
    assert after.drafted > before.drafted
    assert 0 < after.accepted - before.accepted <= after.drafted - before.drafted


# Who may enter


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/version"])
def test_no_token_no_answer(server: VLLM, path: str) -> None:
    address = server.address
    assert get(address, path).status == 401
    assert get(address, path, "Authorization: Bearer wrong").status == 401
    assert get(address, path, f"Authorization: Bearer {server.token}").status == 200


def test_health_needs_no_token_and_foreign_hosts_get_nothing(server: VLLM) -> None:
    assert get(server.address, "/health").status == 200
    for header in ("Host: evil.example", "Origin: http://evil.example"):
        assert get(server.address, "/health", header).status == 403


@pytest.mark.parametrize(
    "path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/tokenize", "/adapters"]
)
def test_what_changes_the_server_is_closed_to_users(server: VLLM, path: str) -> None:
    body = {"lora_name": "first", "lora_path": "/tmp", "prompt": "a", "model": MODEL}
    assert server.post(path, body).status_code == 404
    assert "first" in server.get("/v1/models").text


@pytest.mark.parametrize("frame", FRAMES)
def test_request_smuggling(server: VLLM, frame: str) -> None:
    """vLLM's server parses, and our door asks: one answer, and not to what was smuggled."""
    answers = smuggle(server.address, frame)
    assert len(answers) == 1
    assert 400 <= answers[0] <= 501


def test_what_vllm_opens_is_on_the_loopback(server: VLLM) -> None:
    """Its processes talk over files below /tmp, and ports for what they could share with others."""
    opened = [
        (one.name(), socket.laddr.ip)
        for one in server.children()
        for socket in one.net_connections("tcp")
        if socket.status == psutil.CONN_LISTEN
    ]
    assert any(ip == "127.0.0.1" for _, ip in opened)
    assert {ip.removeprefix("::ffff:") for _, ip in opened} <= {"127.0.0.1", "::1"}, opened


def test_the_token_is_in_no_command_line(server: VLLM) -> None:
    lines = [" ".join(one.cmdline()) for one in server.children() if one.is_running()]
    assert any("serve" in line for line in lines)
    assert not any(server.token in line for line in lines)


# The client and the editor


class TestClient(ClientContract):
    """As of the embedded engine: tests/test_client_contract.py."""

    @pytest.fixture
    def served(self, server: VLLM) -> Served:
        return Served(server.address, MODEL, lambda: server.counts().running)


async def test_an_editor_gets_its_ghost_text_through_it(
    server: VLLM, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "work.py"
    async with editors(home) as start:
        editor = await start(options={"endpoint": server.url, "token": server.token})
        editor.open(file.as_uri(), ADD)
        [item] = await editor.inline(file.as_uri(), *AFTER_ADD)
    assert item.insert_text == "a + b"
    assert os.environ["TANDEM_HOME"] == str(home)
    [event] = events(file)
    assert event["shown"] == "a + b"
