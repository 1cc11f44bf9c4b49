"""Two real vLLM replicas behind Ray Serve LLM, on the CPU: as our own client sees them.

float32 there and in the embedded engine, whose greedy tokens are then the same.
"""

import json
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from completion import adapters, lora
from completion.adapters import Base
from completion.client import Client
from completion.engine import background
from completion.models import InstalledModel
from tandem.config import Config, EngineConfig
from tests import tiny_adapters
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
[adapters]
each = 5
most_rank = 16
adapter_folder = "{lent}"
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
ADAPTERS = ("first", "second")
Texts = dict[tuple[str, str], str]  # by model and prompt


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel) -> Iterator[Path]:
    """The shipped model, two adapters, one that is damaged, one of a rank that is not served."""
    home = make_home(tmp_path_factory.mktemp("ray-vllm") / "home", default_model.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(home))
        base = Base.of(MODEL, default_model.folder)
        for seed, name in enumerate([*ADAPTERS, "damaged"]):
            tiny_adapters.tune(name, seed, base, home / "work")
        tiny_adapters.tune("wide", 0, base, home / "work", rank=32)
        weights = adapters.folder_of("damaged") / lora.WEIGHTS
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        with engine_stopped_after(home):
            yield home


@pytest.fixture(scope="module")
def wanted(home: Path) -> Texts:
    """What the embedded engine answers in its exact form, with the difference that we ship; it has
    ended before Ray starts."""
    config = Config(engine=EngineConfig(dtype="float32", context=1024, threads=1))
    address = background.ensure(config)
    try:
        headers = {"Authorization": f"Bearer {address.token}"}
        texts = {}
        for model in (MODEL, *ADAPTERS):
            for prompt in PROMPTS:
                body = {"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0}
                url = f"{address.url}/completions"
                answer = httpx.post(url, json=body, headers=headers, timeout=120, trust_env=False)
                texts[model, prompt] = text(answer)
        return texts
    finally:
        background.stop(config)


@pytest.fixture(scope="module")
def lent(home: Path) -> Path:
    """A folder of a gateway's: an adapter that is the first under another name."""
    folder = home.parent / "shelves"
    shutil.copytree(adapters.folder_of("first"), folder / "lent")
    file = folder / "lent" / adapters.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "name": "lent"}))
    return folder


@pytest.fixture(scope="module")
def server(home: Path, wanted: Texts, lent: Path) -> Iterator[RayServer]:
    settings = SETTINGS.format(lent=lent)
    with ray_server(home, settings, MODEL, "TANDEM_TEST_RAY_VLLM") as running:
        yield running


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_greedy_text_through_our_client_is_the_embedded_engine_s(
    server: RayServer, wanted: Texts, prompt: str
) -> None:
    assert len(server.replicas()) == 2
    assert len(server.called("EngineCore")) == 2
    pieces, answer = await asked(server.address, MODEL, prompt, 16)
    assert "".join(pieces) == wanted[MODEL, prompt]
    assert answer.model == MODEL


async def test_text_streams_and_the_end_and_usage_come_through_our_client(
    server: RayServer, wanted: Texts
) -> None:
    pieces, answer = await asked(server.address, MODEL, PROMPTS[0], 48, ignore_eos=True)
    assert "".join(pieces).startswith(wanted[MODEL, PROMPTS[0]])
    assert len(pieces) > 2
    assert answer.finish == "length"
    assert answer.usage["completion_tokens"] == 48


@pytest.mark.parametrize("name", ADAPTERS)
async def test_an_adapter_by_its_name_is_the_embedded_engine_s(
    server: RayServer, wanted: Texts, name: str
) -> None:
    """In the answer it has the name that was asked for."""
    for prompt in PROMPTS:
        pieces, answer = await asked(server.address, name, prompt, 16)
        assert "".join(pieces) == wanted[name, prompt]
        assert answer.model == name
        told = server.ask(prompt, name).json()
        assert (told["choices"][0]["text"], told["model"]) == (wanted[name, prompt], name)
    assert any(wanted[name, prompt] != wanted[MODEL, prompt] for prompt in PROMPTS)


def test_base_and_adapters_at_the_same_time_give_what_each_gives_alone(
    server: RayServer, wanted: Texts
) -> None:
    jobs = [*wanted] * 2
    with ThreadPoolExecutor(len(jobs)) as pool:
        got = [*pool.map(lambda job: text(server.ask(job[1], job[0])), jobs)]
    assert got == [wanted[job] for job in jobs]


async def test_models_are_the_base_and_the_adapters_that_can_be_served(server: RayServer) -> None:
    async with Client(server.url, server.token) as client:
        rows = {row.id: row for row in await client.models()}
    assert {name: row.parent for name, row in rows.items()} == {
        MODEL: "",
        "first": MODEL,
        "second": MODEL,
    }
    assert {row.context for row in rows.values()} == {1024}
    said = server.said()
    assert said.count("The adapter damaged is left out: ") == 1
    assert "The adapter wide is left out: its rank 32 is above adapters.most_rank, 16." in said


def test_an_adapter_is_served_once_it_is_there_and_as_it_is_now(
    server: RayServer, wanted: Texts, default_model: InstalledModel, tmp_path: Path
) -> None:
    base = Base.of(MODEL, default_model.folder)
    prompt = next(p for p in PROMPTS if wanted["first", p] != wanted["second", p])
    assert server.ask(prompt, "third").status_code == 404
    for seed, like in enumerate(ADAPTERS):
        tiny_adapters.tune("third", seed, base, tmp_path)
        server.says("The adapter third is served.", seed + 1, 60)
        assert text(server.ask(prompt, "third")) == wanted[like, prompt]
        shutil.rmtree(adapters.folder_of("third"))
    wait_until(lambda: server.ask(prompt, "third").status_code == 404, 60)
    assert "The adapter third is served no more." in server.said()


def test_what_is_lent_is_served_until_it_is_taken_back(
    server: RayServer, wanted: Texts, lent: Path
) -> None:
    """As a gateway does it; its name is in its manifest."""
    body = {"lora_name": "lent", "lora_path": str(lent / "lent")}
    prompt = next(p for p in PROMPTS if wanted["first", p] != wanted[MODEL, p])
    with server.client() as client:
        assert client.get("tandem/base").json()["base"] == MODEL
        for path in ("/etc", str(lent)):
            told = {**body, "lora_path": path}
            assert client.post("load_lora_adapter", json=told).status_code in (404, 409)
        assert server.ask(prompt, "lent").status_code == 404
        assert client.post("load_lora_adapter", json=body).status_code == 200
        assert text(server.ask(prompt, "lent")) == wanted["first", prompt]
        taken = client.post("unload_lora_adapter", json={"lora_name": "lent"})
        assert taken.status_code == 200
        assert server.ask(prompt, "lent").status_code == 404


def test_a_replica_says_so_when_it_has_no_room_and_what_is_not_listed_is_not_loaded(
    server: RayServer, tmp_path: Path
) -> None:
    """In Ray's Python: which replica runs full is Ray's choice."""
    script = textwrap.dedent("""
        import asyncio, json, pathlib, sys, types
        from completion.fleet.vllm_adapters import Loader, Unusable
        file = pathlib.Path(sys.argv[1])
        def listed(*names): file.write_text(
            json.dumps({n: (f"{n}-1", f"/copies/{n}-1") for n in names}))
        listed("a", "b", "c")
        config = types.SimpleNamespace(
            experimental_configs={"tandem_adapters": {"file": str(file), "loads": 2}})
        loader = Loader()
        def load(name):
            try: return asyncio.run(loader.load_model_from_config(name, config)).local_path
            except Unusable as error: return str(error)
        print(json.dumps([load(f"m:{n}-1") for n in ("a", "b", "a", "c", "../a")]))
        listed("a", "b", "c", "d")
        config.experimental_configs["tandem_adapters"]["loads"] = 0
        print(json.dumps([load(f"m:{n}-1") for n in ("c", "d", "e")]))
    """)
    command = [server.python, "-c", script, str(tmp_path / "adapters.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: list[Any] = [json.loads(line) for line in done.stdout.splitlines() if line[0] == "["]
    full, gone = "no room for another adapter", "has just changed"
    assert told[0][:3] == ["/copies/a-1", "/copies/b-1", "/copies/a-1"]
    assert full in told[0][3]
    assert gone in told[0][4]
    assert told[1][:2] == ["/copies/c-1", "/copies/d-1"]
    assert gone in told[1][2]


def test_a_prompt_s_beginning_leads_to_who_has_read_it(server: RayServer) -> None:
    start = [f"# {n}\n" + "value = compute(value)\n" * 12 for n in range(6)]
    for prompt in start:
        assert server.ask(prompt, max_tokens=1).status_code == 200
    for _ in range(4):
        for prompt in start:
            usage = server.ask(prompt, max_tokens=1).json()["usage"]
            assert usage["prompt_tokens_details"]["cached_tokens"] > 0


def test_token_ids_are_a_prompt_too_and_stop_nobody(server: RayServer, wanted: Texts) -> None:
    """Ray's own router never answers them."""
    assert text(server.ask(list(range(100, 180)), max_tokens=2))
    usage = server.ask(list(range(100, 180)), max_tokens=1).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0
    assert text(server.ask(PROMPTS[0])) == wanted[MODEL, PROMPTS[0]]


def test_refusals_of_vllm_reach_the_client(server: RayServer) -> None:
    for prompt in ("x " * 3000, ""):
        answer = server.ask(prompt)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
    assert "Internal exception" not in server.ask("x " * 3000).text
    for name in ("nobody", f"{MODEL}:first", f"{MODEL}:../first", "damaged"):
        answer = server.ask("a", name)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == f"There is no model {name}."


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
    server: RayServer, wanted: Texts
) -> None:
    before, engines = server.replicas(), server.called("EngineCore")
    before[0].kill()
    for _ in range(3):
        for prompt in PROMPTS:
            answer = server.ask(prompt)
            if answer.status_code == 200:
                assert text(answer) == wanted[MODEL, prompt]
            else:
                assert answer.json()["error"]["message"], answer.text
    wait_until(lambda: len({*server.called("EngineCore")} - {*engines}) == 1, 300)
    wait_until(lambda: len([one for one in engines if one.is_running()]) == 1, 60)
    for prompt in PROMPTS:
        assert text(server.ask(prompt)) == wanted[MODEL, prompt]


def test_at_a_signal_what_runs_may_end(server: RayServer) -> None:
    """The last test of this server."""
    server.ends_what_runs(PROMPTS[0], 96)
