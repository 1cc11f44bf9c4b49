"""Attacks on what the engine loads and reads, each by its name; byte by byte in
test_server_attacks.py, and who may come in in test_engine_guard.py."""

import base64
import hmac
import json
import os
import pickle
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from completion import adapters, lora, manifest
from completion.engine import app, guard
from completion.engine.api import ApiError
from completion.engine.background import Address
from completion.engine.served import ServedModel
from completion.engine.tokenizer import Tokenizer
from gateway import tokens
from tandem.config import EngineConfig
from tests.crafted import WAYS, crafted
from tests.doors import CHATS, COMPLETIONS, SHORT, Doors, doors
from tests.wire import bearer, get, post

LOAD = "/v1/load_lora_adapter"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with doors(tmp_path_factory.mktemp("loaded")) as made:
        yield made


@pytest.fixture
def engine(both: Doors) -> Iterator[Address]:
    """After each attack the same process answers as before, and has no adapter."""
    address = both.at("engine")
    before = text(address)
    yield address
    assert text(address) == before
    cards = json.loads(get(address, "/v1/models", bearer(address)).body)["data"]
    assert [card["id"] for card in cards] == ["tiny"]
    for folder in both.lent.iterdir():
        folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)


def text(engine: Address, path: str = COMPLETIONS, **fields: Any) -> str:
    body = {**SHORT, "temperature": 0, "max_tokens": 8, **fields}
    reply = post(engine, path, json.dumps(body).encode())
    assert reply.status == 200, reply.body
    return reply.body.decode().split('"choices":')[1].split('"usage"')[0]


def adapter(both: Doors, name: str) -> Path:
    """One that the engine would load: what is done to it is what it is refused for."""
    made = both.store.add(name, 1).folder
    folder = both.lent / name
    shutil.move(made, folder)
    shutil.rmtree(both.store.work)
    return folder


def load(engine: Address, name: str, path: str) -> tuple[int, str]:
    body = json.dumps({"lora_name": name, "lora_path": path}).encode()
    reply = post(engine, LOAD, body)
    return reply.status, "" if reply.status == 200 else str(reply.error["message"])


def signed_off(folder: Path) -> None:
    """As whoever makes an adapter can: the digests are those of its files."""
    told = json.loads((folder / adapters.FILE).read_text())
    told["files"] = {name: manifest.sha256(folder / name) for name in told["files"]}
    (folder / adapters.FILE).write_text(json.dumps(told))


def test_what_is_attacked_is_loaded_as_it_is(both: Doors, engine: Address) -> None:
    folder = adapter(both, "good")
    signed_off(folder)
    assert load(engine, "good", str(folder)) == (200, "")
    assert post(engine, "/v1/unload_lora_adapter", b'{"lora_name": "good"}').status == 200


def test_ssrf_by_an_adapters_path(both: Doors, engine: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        place = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        for scheme in ("http://", "https://", "ftp://", "s3://", "file://", "//", "\\\\"):
            status, said = load(engine, "far", f"{scheme}{place}/adapter")
            assert status == 404
            assert place not in said
        assert load(engine, "far", "user/an-adapter-of-a-hub")[0] == 404
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc", "", ".hidden", "a\0b", "x" * 200, "a b"])
def test_path_traversal_in_an_adapters_name(both: Doors, engine: Address, name: str) -> None:
    folder = adapter(both, "good")
    assert load(engine, name, str(folder))[0] == 400
    reply = post(engine, "/v1/unload_lora_adapter", json.dumps({"lora_name": name}).encode())
    assert reply.status == 400


def test_path_traversal_out_of_the_adapters_folder(both: Doors, engine: Address) -> None:
    adapter(both, "good")
    shutil.move(both.lent / "good", both.lent.parent / "outside")
    try:
        for path in ("../outside", f"{both.lent}/../outside", f"{both.lent.parent}/outside", "/"):
            status, said = load(engine, "good", path)
            assert status == 404
            assert str(both.lent.parent) not in said
        assert load(engine, "tiny", str(both.lent))[0] != 200
    finally:
        shutil.rmtree(both.lent.parent / "outside")


@pytest.mark.parametrize("what", ["folder", lora.WEIGHTS, lora.CONFIG, "more"])
def test_a_symlinked_adapter(both: Doors, engine: Address, what: str) -> None:
    folder = adapter(both, "good")
    outside = both.lent.parent / "outside"
    shutil.copytree(folder, outside)
    try:
        if what == "folder":
            shutil.rmtree(folder)
            folder.symlink_to(outside)
        else:
            (folder / what).unlink(missing_ok=True)
            (folder / what).symlink_to(outside / (what if what != "more" else lora.CONFIG))
        assert load(engine, "good", str(folder))[0] == 404
    finally:
        shutil.rmtree(outside)


class Evil:
    """Runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", [lora.WEIGHTS, "adapter_model.bin", "optimizer.pt", "x.PKL"])
def test_a_pickle_is_never_loaded(both: Doors, engine: Address, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    folder = adapter(both, "good")
    (folder / name).write_bytes(pickle.dumps(Evil(mark)))
    signed_off(folder)
    assert load(engine, "good", str(folder))[0] == 409
    assert not mark.exists()
    pickle.loads((folder / name).read_bytes())
    assert mark.exists()  # it was one


@pytest.mark.parametrize("how", WAYS)
def test_tensors_that_tell_of_memory_that_is_not_theirs(
    both: Doors, engine: Address, how: str
) -> None:
    folder = adapter(both, "good")
    file = folder / lora.WEIGHTS
    file.write_bytes(crafted(file.read_bytes(), how))
    signed_off(folder)
    status, said = load(engine, "good", str(folder))
    assert status == 409
    assert str(both.lent.parent) not in said


# What a request may hold.


def test_tensors_in_a_request_are_never_loaded(engine: Address, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    embeds = base64.b64encode(pickle.dumps(Evil(mark))).decode()
    for fields in ({"prompt_embeds": embeds}, {"prompt": {"embeds": embeds}}):
        body = {"model": "tiny", "max_tokens": 1, **fields}
        assert post(engine, COMPLETIONS, json.dumps(body).encode()).status == 400
    assert text(engine, prompt_embeds=embeds) == text(engine)
    assert not mark.exists()


def test_a_template_in_a_request_is_not_used(engine: Address) -> None:
    talk: dict[str, Any] = {"messages": [{"role": "user", "content": "{{ 7 * 7 }} {% raw %}"}]}
    plain = text(engine, CHATS, **talk)
    for template in ("{{ 1 / 0 }}", "{% for i in range(10**9) %}x{% endfor %}", "other"):
        fields = {"chat_template": template, "chat_template_kwargs": {"chat_template": template}}
        assert text(engine, CHATS, **talk, **fields) == plain
    other = {"messages": [{"role": "user", "content": "49"}]}
    assert text(engine, CHATS, **other) != plain


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": 7}}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"pattern": "(a+)+$"}}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user", "content": "x"}] * 5000},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_schemas_patterns_and_addresses_are_refused(
    engine: Address, fields: dict[str, Any]
) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], **fields}
    assert post(engine, CHATS, json.dumps(body).encode()).status == 400


def test_a_text_too_long_to_fit_is_not_read(both: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read four megabytes into tokens takes seconds of a core, only to refuse them."""
    served = ServedModel("tiny", both.store.folder, "plain", EngineConfig(threads=1, context=256))
    served.load()
    loaded, read = served.ready(), list[int]()
    encode = Tokenizer.encode

    def counted(self: Tokenizer, text: str, begin: bool = False) -> list[int]:
        read.append(len(text))
        return encode(self, text, begin)

    monkeypatch.setattr(Tokenizer, "encode", counted)
    try:
        for text in ("a" * 4_000_000, "é🎉" * 500_000, " " * 100_000):
            with pytest.raises(ApiError) as caught:
                app._tokens(loaded, text)
            assert caught.value.code == "context_length_exceeded"
        assert read == []
        # No text that fits is refused: the longest tokens have a known length.
        longest = max(loaded.decoder.tokenizer.bytes_of, key=len).decode()
        assert len(app._tokens(loaded, longest * 200)) <= 256
        assert read == [len(longest) * 200]
    finally:
        served.stop()


# What it tells.


def test_what_is_counted_holds_nothing_of_what_was_said(engine: Address) -> None:
    text(engine, prompt="okapi_of_the_prompt = ", tandem={"document": "okapi.py"})
    assert get(engine, "/metrics", bearer(engine)).status == 404
    health = get(engine, "/health", bearer(engine)).body
    assert b"okapi" not in health
    assert all(isinstance(count, int | float) for count in json.loads(health)["stats"].values())


@pytest.mark.parametrize("which", ["engine", "gateway"])
def test_tokens_are_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """How long a refusal takes must not tell how much of a guess was right."""
    file = tmp_path / "tokens.json"
    right = "the-right-token" if which == "engine" else tokens.make("ann", file)
    known = guard.only(right) if which == "engine" else tokens.Tokens(file).user
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(one: Any, other: Any) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    assert known(right)
    for wrong in (right[:-1] + "?", right[:-5] + "xxxxx"):
        assert known(wrong) is None
    assert len(compared) == 3
    assert all(one == other for one, other in compared)
