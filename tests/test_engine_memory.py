"""Memories over real HTTP, of an engine with a tiny model: filled, asked for, limited, gone."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from completion.engine.api import MAX_FILES
from completion.engine.background import Address
from completion.engine.guard import MAX_BODY
from completion.engine.memories import Memories, MemoryFull
from completion.engine.tokenizer import Tokenizer
from tests import tiny_adapters, tiny_models
from tests.tiny_adapters import Served
from tests.wire import bearer, exchange, host_of

PROMPT = "def tiny(model):\n    return model.settings\n\n\nclass Config:\n    name ="
SEEN = PROMPT + ' "fixture of the engine"  # settings\n'
BODY: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 6, "temperature": 0}
SECRET = "AKIA" + "Q7RZ2LXW4NPC8MVT"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with tiny_adapters.served(tmp_path_factory.mktemp("memory")) as served:
        yield served


@pytest.fixture
def engine(served: Served) -> Address:
    return served.address


@pytest.fixture
def http(engine: Address) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {engine.token}"}
    with httpx.Client(
        base_url=engine.url + "/", headers=headers, timeout=120, trust_env=False
    ) as http:
        yield http
        for name in ("repo", "other"):
            http.delete(f"tandem/memory/{name}")


def put(http: httpx.Client, files: dict[str, str], name: str = "repo", **more: Any) -> Any:
    rows = [{"path": path, "text": text} for path, text in files.items()]
    response = http.put(f"tandem/memory/{name}", json={"files": rows, **more})
    assert response.status_code == 200, response.text
    return response.json()


def ask(http: httpx.Client, name: str = "", weight: float = 4.0, **more: Any) -> tuple[str, Any]:
    """The text, and what usage tells of the memory."""
    memory = {"tandem": {"memory": {"name": name, "weight": weight}}} if name else {}
    response = http.post("completions", json={**BODY, **memory, **more})
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["choices"][0]["text"], answer["usage"]["tandem"].get("memory")


def test_an_answer_is_what_the_memory_has_seen(http: httpx.Client) -> None:
    plain, told = ask(http)
    assert told is None
    put(http, {"seen.py": SEEN})
    text, told = ask(http, "repo")
    assert told == "used"
    assert text != plain
    assert SEEN.startswith(PROMPT + text)
    assert ask(http, "repo") == (text, told)
    assert ask(http) == (plain, None)


def test_a_file_that_changed_or_went_counts_as_it_is_now(http: httpx.Client) -> None:
    plain, _ = ask(http)
    put(http, {"seen.py": SEEN})
    before, _ = ask(http, "repo")
    put(http, {"seen.py": PROMPT + " torch.manual_seed(0) and more\n"})
    after, _ = ask(http, "repo")
    assert after not in (plain, before)
    assert "torch" in after
    held = put(http, {}, drop=["seen.py", "never seen.py"])
    assert held == {"name": "repo", "files": 0, "tokens": 0, "bytes": 0}
    assert ask(http, "repo") == (plain, "used")


def test_a_weight_of_zero_leaves_it_out(http: httpx.Client) -> None:
    put(http, {"seen.py": SEEN})
    assert ask(http, "repo", weight=0)[0] == ask(http)[0]


def test_memories_do_not_know_of_each_other(http: httpx.Client) -> None:
    put(http, {"seen.py": SEEN}, "other")
    put(http, {"a.py": "x"})
    assert ask(http, "repo")[0] == ask(http)[0]


def test_who_has_a_salt_has_no_memory(http: httpx.Client) -> None:
    put(http, {"seen.py": SEEN})
    assert ask(http, "repo", cache_salt="ann") == (ask(http)[0], "unknown")


def test_an_unknown_memory_is_done_without_and_that_is_told(http: httpx.Client) -> None:
    assert ask(http, "repo") == (ask(http)[0], "unknown")
    put(http, {"seen.py": SEEN})
    assert http.delete("tandem/memory/repo").status_code == 200
    gone = http.delete("tandem/memory/repo")
    assert gone.status_code == 404
    assert gone.json()["error"]["code"] == "memory_not_found"
    assert ask(http, "repo")[1] == "unknown"


def test_each_event_of_a_stream_tells_it_too(http: httpx.Client) -> None:
    put(http, {"seen.py": SEEN})
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {**BODY, "tandem": {"memory": {"name": "repo"}}, "stream": True}
    with http.stream("POST", "completions", json={**body, "stream_options": options}) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    events = [json.loads(line) for line in lines[:-1]]
    assert events
    assert {event["usage"]["tandem"]["memory"] for event in events} == {"used"}


def test_several_answers_and_chats_may_have_one(http: httpx.Client) -> None:
    put(http, {"seen.py": SEEN})
    memory = {"memory": {"name": "repo", "weight": 4}}
    response = http.post("completions", json={**BODY, "n": 3, "tandem": memory})
    texts = {choice["text"] for choice in response.json()["choices"]}
    assert texts == {ask(http, "repo")[0]}


def test_it_is_a_capability(http: httpx.Client) -> None:
    assert "memory" in http.get("models").json()["data"][0]["capabilities"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"files": [{"path": "", "text": "x"}]}, "files.0.path"),
        ({"files": [{"path": "a.py"}]}, "files.0.text"),
        ({"files": [{"path": "a.py", "text": 3}]}, "files.0.text"),
        ({"files": "a.py"}, "files"),
        ({"drop": [1]}, "drop.0"),
        ({"drop": ["a"] * (MAX_FILES + 1)}, "drop"),
    ],
)
def test_a_body_that_is_wrong_is_refused_by_its_field(
    http: httpx.Client, body: Any, param: str
) -> None:
    response = http.put("tandem/memory/repo", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize("name", [".hidden", "a b", "x" * 97, "%00", "a%0A"])
def test_a_name_that_is_none_is_refused(http: httpx.Client, name: str) -> None:
    assert http.put(f"tandem/memory/{name}", json={}).status_code == 400
    assert http.delete(f"tandem/memory/{name}").status_code == 400
    body = {**BODY, "tandem": {"memory": {"name": name}}}
    assert http.post("completions", json=body).status_code == 400


@pytest.mark.parametrize("weight", [-0.1, 4.1, "1"])
def test_a_weight_that_is_none_is_refused(http: httpx.Client, weight: Any) -> None:
    body = {**BODY, "tandem": {"memory": {"name": "repo", "weight": weight}}}
    response = http.post("completions", json=body)
    assert response.json()["error"]["param"] == "tandem.memory.weight"


def test_only_who_has_the_token_may_fill_one_and_not_without_end(engine: Address) -> None:
    line, host = "PUT /v1/tandem/memory/repo HTTP/1.1", f"Host: {host_of(engine)}"
    json_type, empty = "Content-Type: application/json", "Content-Length: 2"
    assert exchange(engine, line, host, json_type, empty, body=b"{}").status == 401
    token = bearer(engine)
    form = "Content-Type: text/plain"
    assert exchange(engine, line, host, token, form, empty, body=b"{}").status == 415
    long = f"Content-Length: {MAX_BODY + 1}"
    assert exchange(engine, line, host, token, json_type, long).status == 413
    assert exchange(engine, line, host, token, json_type, empty, body=b"{}").status == 200


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    tiny_models.make(folder, "llama tied")
    return Tokenizer.load(folder)


def test_secrets_are_not_remembered_whoever_sends_them(tokenizer: Tokenizer) -> None:
    memories = Memories(tokenizer, 512)
    assert memories.put("repo", {".env": "KEY=value", "keys/id_rsa": "text"}, ()).files == 0
    memories.put("repo", {"a.py": f'key = "{SECRET}"\n'}, ())
    view = memories.view("repo")
    assert view is not None
    [kept] = [tokens for table in view.tables for tokens in table.documents.values()]
    text = tokenizer.decode(kept.tolist())
    assert text.startswith("key = ")
    assert SECRET not in text


def test_the_memory_asked_for_longest_ago_makes_room(tokenizer: Tokenizer) -> None:
    one = {"a.py": "def f(model):\n" * 100}
    size = Memories(tokenizer, 512).put("x", one, ()).bytes
    memories = Memories(tokenizer, 512, limit=3 * size)
    for name in "abc":
        memories.put(name, one, ())
    assert memories.view("a") is not None
    memories.put("d", one, ())
    assert [name for name in "abcd" if memories.view(name)] == ["a", "c", "d"]
    assert memories.nbytes <= 3 * size


def test_a_memory_that_is_too_large_alone_is_gone(tokenizer: Tokenizer) -> None:
    memories = Memories(tokenizer, 512, limit=1000)
    memories.put("small", {"a.py": "x = 1\n"}, ())
    with pytest.raises(MemoryFull):
        memories.put("large", {"a.py": os.urandom(2000).hex()}, ())
    assert memories.view("large") is None
