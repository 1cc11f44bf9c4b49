"""Two real vLLM replicas behind Ray Serve LLM, on the CPU: as our own client sees them.

float32 there and in the embedded engine, whose greedy tokens are then the same.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from completion.engine import background
from completion.models import InstalledModel
from tandem.config import Config, EngineConfig
from tests.client_contract import asked
from tests.lsp_client import engine_stopped_after, make_home
from tests.ray_server import RayServer, ray_server
from tests.wire import get, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]

MODEL = "tandem-135m"
SETTINGS = """replica = "vllm"
cpus = 1
[scaling]
least = 2
most = 2
[engine]
dtype = "float32"
max_model_len = 1024
block_size = 32
enforce_eager = true
max_num_seqs = 8
enable_prompt_tokens_details = true
[variables]
VLLM_CPU_KVCACHE_SPACE = "1"
"""
PROMPTS = [
    "def add(a, b):\n    return",
    "import os\n\nfor name in os.listdir(",
    "class Point:\n    def __init__(self, x, y):\n        self.x = x\n",
    "SELECT name, age FROM users WHERE ",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel) -> Iterator[Path]:
    home = make_home(tmp_path_factory.mktemp("ray-vllm") / "home", default_model.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(home))
        with engine_stopped_after(home):
            yield home


@pytest.fixture(scope="module")
def wanted(home: Path) -> dict[str, str]:
    """What the embedded engine answers in its exact form, with the difference that we ship; it has
    ended before Ray starts."""
    config = Config(engine=EngineConfig(dtype="float32", context=1024, threads=1))
    address = background.ensure(config)
    try:
        headers = {"Authorization": f"Bearer {address.token}"}
        texts = {}
        for prompt in PROMPTS:
            body = {"model": MODEL, "prompt": prompt, "max_tokens": 16, "temperature": 0}
            url = f"{address.url}/completions"
            answer = httpx.post(url, json=body, headers=headers, timeout=120, trust_env=False)
            assert answer.status_code == 200, answer.text
            texts[prompt] = answer.json()["choices"][0]["text"]
        return texts
    finally:
        background.stop(config)


@pytest.fixture(scope="module")
def server(home: Path, wanted: dict[str, str]) -> Iterator[RayServer]:
    with ray_server(home, SETTINGS, MODEL, "TANDEM_TEST_RAY_VLLM") as running:
        yield running


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_greedy_text_through_our_client_is_the_embedded_engine_s(
    server: RayServer, wanted: dict[str, str], prompt: str
) -> None:
    assert len(server.replicas()) == 2
    assert len(server.called("EngineCore")) == 2
    pieces, answer = await asked(server.address, MODEL, prompt, 16)
    assert "".join(pieces) == wanted[prompt]
    assert answer.model == MODEL


async def test_text_streams_and_the_end_and_usage_come_through_our_client(
    server: RayServer, wanted: dict[str, str]
) -> None:
    pieces, answer = await asked(server.address, MODEL, PROMPTS[0], 48, ignore_eos=True)
    assert "".join(pieces).startswith(wanted[PROMPTS[0]])
    assert len(pieces) > 2
    assert answer.finish == "length"
    assert answer.usage["completion_tokens"] == 48


def test_a_prompt_s_beginning_leads_to_who_has_read_it(server: RayServer) -> None:
    start = [f"# {n}\n" + "value = compute(value)\n" * 12 for n in range(6)]
    for prompt in start:
        assert server.ask(prompt, max_tokens=1).status_code == 200
    for _ in range(4):
        for prompt in start:
            usage = server.ask(prompt, max_tokens=1).json()["usage"]
            assert usage["prompt_tokens_details"]["cached_tokens"] > 0


def test_token_ids_are_a_prompt_too_and_stop_nobody(
    server: RayServer, wanted: dict[str, str]
) -> None:
    """Ray's own router never answers them."""
    assert text(server.ask(list(range(100, 180)), max_tokens=2))
    usage = server.ask(list(range(100, 180)), max_tokens=1).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0
    assert text(server.ask(PROMPTS[0])) == wanted[PROMPTS[0]]


def test_refusals_of_vllm_reach_the_client(server: RayServer) -> None:
    for prompt in ("x " * 3000, ""):
        answer = server.ask(prompt)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
    answer = server.ask("a", "nobody")
    assert answer.status_code == 404
    assert "nobody" in answer.text


def test_no_token_no_answer_and_foreign_hosts_get_nothing(server: RayServer) -> None:
    token = f"Authorization: Bearer {server.token}"
    assert get(server.address, "/v1/models").status == 401
    assert get(server.address, "/v1/models", "Authorization: Bearer wrong").status == 401
    assert get(server.address, "/v1/models", token).status == 200
    for header in ("Host: evil.example", "Origin: http://evil.example"):
        assert get(server.address, "/v1/models", header, token).status == 403
    assert get(server.address, "/-/routes", token).status == 404
    assert not any(server.token in " ".join(one.cmdline()) for one in server.children())


def test_a_killed_replica_is_replaced_and_nobody_gets_a_wrong_text(
    server: RayServer, wanted: dict[str, str]
) -> None:
    before, engines = server.replicas(), server.called("EngineCore")
    before[0].kill()
    for _ in range(3):
        for prompt in PROMPTS:
            answer = server.ask(prompt)
            if answer.status_code == 200:
                assert text(answer) == wanted[prompt]
            else:
                assert answer.json()["error"]["message"], answer.text
    wait_until(lambda: len({*server.called("EngineCore")} - {*engines}) == 1, 300)
    wait_until(lambda: len([one for one in engines if one.is_running()]) == 1, 60)
    for prompt in PROMPTS:
        assert text(server.ask(prompt)) == wanted[prompt]


def test_at_a_signal_what_runs_may_end(server: RayServer) -> None:
    """The last test of this server."""
    server.ends_what_runs(PROMPTS[0], 96)
