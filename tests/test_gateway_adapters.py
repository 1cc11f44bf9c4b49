"""A gateway's adapters, over HTTP, before a real engine: pushed, loaded, rolled back, attacked."""

import base64
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from completion import adapter_package, lora, manifest, signing
from completion.adapter_package import File
from completion.signing import Signed
from tests import team
from tests.crafted import WAYS, crafted
from tests.team import NAME, Team


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team.team(tmp_path_factory.mktemp("team")) as made:
        assert made.push().status_code == 200
        yield made


@pytest.fixture
def ours(shared: Team) -> Iterator[Team]:
    """After each attack everything is as it was, and the base and the adapter answer."""
    before, text = shared.files(), shared.text(NAME)
    yield shared
    assert not [*shared.shelves.glob(".incoming*")]
    assert shared.files() == before
    assert shared.text(NAME) == text != shared.text("tiny")


def refused(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    assert "/tmp" not in error["message"]


def test_what_was_pushed_is_offered_for_its_repository_and_loaded(shared: Team) -> None:
    row = shared.models()[NAME]
    assert (row["parent"], row["repository"]) == ("tiny", shared.identity)
    assert [name for name in shared.models() if name.startswith("app")] == [NAME]
    (told,) = shared.rows()
    assert told["servers"] == {"engine": "loaded"}
    assert (told["in_use"]["signer"], told["in_use"]["user"]) == ("dev", "ann")
    assert shared.text(NAME) != shared.text("tiny")


def test_nothing_on_the_way_tells_where_anything_lies(shared: Team) -> None:
    signed = next(shared.shelves.rglob("signed.json")).read_text()
    assert str(shared.source) not in signed
    assert "/" not in json.loads(json.loads(signed)["text"])["name"]


def test_for_who_may_not_use_it_there_is_none(shared: Team) -> None:
    for user in ("bob", "eve"):
        assert NAME not in shared.models(user)
        asked, none = shared.ask(NAME, user), shared.ask("no-such-adapter", user)
        assert (asked.status_code, asked.json()) == (404, none.json())
    assert shared.rows("eve") == []
    with shared.running.client("eve") as client:
        answers = [client.get(f"tandem/adapters/{one}") for one in (shared.identity, "0" * 32)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()


def test_a_version_by_its_own_name_is_nobodys(shared: Team) -> None:
    served = f"{NAME}.{shared.rows()[0]['in_use']['version']}"
    assert shared.ask(served).status_code == 404


# Attacks, each by its name.


def test_unsigned(ours: Team) -> None:
    folder, statement = ours.state()
    head = {"text": statement.model_dump_json(), "key": signing.own_key(), "signature": ""}
    files = b"".join((folder / name).read_bytes() for name in adapter_package.FILES)
    refused(ours.raw(json.dumps(head).encode() + b"\n" + files), 403, "signature_refused")
    refused(ours.raw(b"{}\n" + files), 400, "bad_adapter")
    refused(ours.raw(b"x" * 1_000_000), 400, "bad_adapter")
    refused(ours.raw(b""), 400, "bad_adapter")


def test_signed_by_somebody_else(
    ours: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, statement = ours.state()
    own = signing.own_key()
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    other = adapter_package.sign(statement)
    monkeypatch.undo()
    refused(ours.send(folder, other), 403, "signature_refused")
    refused(ours.send(folder, other.model_copy(update={"key": own})), 403, "signature_refused")


def test_a_statement_changed_after_signing(ours: Team) -> None:
    folder, statement = ours.state()
    signed = adapter_package.sign(statement)
    changed = statement.model_copy(update={"licence": "mine"}).model_dump_json()
    refused(
        ours.send(folder, signed.model_copy(update={"text": changed})), 403, "signature_refused"
    )


def test_a_signature_for_another_purpose(ours: Team) -> None:
    folder, statement = ours.state()
    signed = signing.sign("rollback", statement.model_dump_json())
    refused(ours.send(folder, signed), 403, "signature_refused")


def test_a_file_changed_after_signing(ours: Team) -> None:
    folder, statement = ours.state()
    data = bytearray(b"".join(adapter_package.pack(folder, adapter_package.sign(statement))))
    data[-1] ^= 1
    refused(ours.raw(bytes(data)), 400, "bad_adapter")
    data[-1] ^= 1
    refused(ours.raw(bytes(data[:-1])), 400, "bad_adapter")
    refused(ours.raw(bytes(data) + b"x"), 400, "bad_adapter")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../etc/cron.d/x"},
        {"name": "app-a/b"},
        {"name": "app-.\n"},
        {"repository": "../" + "a" * 29},
        {"name": "app-x.20260101T000000000Z"},
        {"v": 2},
    ],
)
def test_a_path_in_a_name(ours: Team, change: dict[str, Any]) -> None:
    folder, statement = ours.state()
    text = json.dumps(json.loads(statement.model_dump_json()) | change)
    refused(ours.send(folder, signing.sign("adapter", text)), 400, "bad_adapter")


def test_a_path_for_a_files_name(ours: Team) -> None:
    folder, statement = ours.state()
    told = json.loads(statement.model_dump_json())
    told["files"]["../../evil"] = told["files"].pop(lora.WEIGHTS)
    refused(ours.send(folder, signing.sign("adapter", json.dumps(told))), 400, "bad_adapter")


def test_a_wrong_base(ours: Team) -> None:
    refused(ours.push(base_hash="0" * 64), 409, "wrong_base")
    refused(ours.push(base="other"), 409, "wrong_base")


def test_one_that_lost_at_the_gate(ours: Team) -> None:
    figures = ours.state()[1].figures
    refused(ours.push(figures=figures | {"gain_low": -0.01}), 409, "gate_refused")
    refused(ours.push(figures={}), 409, "gate_refused")


def test_too_large(ours: Team) -> None:
    folder, statement = ours.state()
    files = statement.files | {lora.WEIGHTS: File(size=2 << 20, sha256="0" * 64)}
    huge = adapter_package.sign(statement.model_copy(update={"files": files}))
    refused(ours.send(folder, huge), 413, "too_large")
    refused(ours.raw(b"x" * (3 << 20)), 413, "request_too_large")


def other_weights(ours: Team, tmp_path: Path, data: bytes, config: bytes = b"") -> Any:
    folder, statement = ours.state()
    for name, value in ((lora.CONFIG, config), (lora.WEIGHTS, data)):
        (tmp_path / name).write_bytes(value or (folder / name).read_bytes())
    files = {
        name: File(size=(tmp_path / name).stat().st_size, sha256=manifest.sha256(tmp_path / name))
        for name in adapter_package.FILES
    }
    return ours.send(tmp_path, adapter_package.sign(statement.model_copy(update={"files": files})))


def test_a_pickle_instead_of_safetensors(ours: Team, tmp_path: Path) -> None:
    refused(other_weights(ours, tmp_path, pickle.dumps({"a": [1] * 100})), 400, "bad_adapter")


@pytest.mark.parametrize("how", WAYS)
def test_tensors_that_tell_of_memory_that_is_not_theirs(
    ours: Team, tmp_path: Path, how: str
) -> None:
    folder, _ = ours.state()
    data = crafted((folder / lora.WEIGHTS).read_bytes(), how)
    refused(other_weights(ours, tmp_path, data), 400, "bad_adapter")


def test_a_huge_rank_and_an_unknown_form(ours: Team, tmp_path: Path) -> None:
    folder, _ = ours.state()
    config = json.loads((folder / lora.CONFIG).read_text())
    for change in ({"r": 1000}, {"use_dora": True}, {"peft_type": "IA3"}):
        data = json.dumps(config | change).encode()
        refused(other_weights(ours, tmp_path, b"", data), 400, "bad_adapter")


def test_one_that_no_server_can_load_leaves_what_was(ours: Team, tmp_path: Path) -> None:
    """Not finite: of the right form, and found out by the engine when it reads it."""
    folder, _ = ours.state()
    data = (folder / lora.WEIGHTS).read_bytes()
    answer = other_weights(ours, tmp_path, data[:-4] + b"\x00\x00\xc0\x7f")
    refused(answer, 409, "not_loaded")
    assert "not finite" in answer.json()["error"]["message"]


def test_a_replay_of_an_older_version(ours: Team) -> None:
    newest = ours.rows()[0]["in_use"]["signed_ms"]
    for signed_ms in (newest, newest - 1, 1):
        refused(ours.push(signed_ms=signed_ms), 409, "not_newer")
    with ours.running.client() as client:
        package = client.get(f"tandem/adapters/{ours.identity}").content
    refused(ours.raw(package), 409, "not_newer")
    refused(ours.push(signed_ms=newest + 10**9), 409, "not_newer")


def test_without_the_scope_or_the_name(ours: Team) -> None:
    refused(ours.push("bob"), 403, "no_scope")
    refused(ours.push("eve"), 403, "name_refused")
    refused(ours.push("eve", name="eve-app"), 403, "name_refused")
    refused(ours.push(name="app-other"), 403, "name_refused")
    refused(ours.push(repository="1" * 32), 409, "name_taken")


def test_csrf_and_json_where_a_package_is_wanted(ours: Team) -> None:
    with ours.running.client() as client:
        for kind in ("text/plain", "application/json", "multipart/form-data"):
            answer = client.post("tandem/adapters", content=b"{}", headers={"Content-Type": kind})
            assert answer.status_code == 415
        big = client.post("completions", content=b"x" * (5 << 20), headers={"Content-Type": kind})
        assert big.status_code in (413, 415)


def test_a_rollback_without_a_signature_or_of_what_is_not_in_use(ours: Team) -> None:
    now = ours.rows()[0]["in_use"]["signed_ms"]

    def order(purpose: Any = "rollback", **told: Any) -> Signed:
        text = json.dumps({"v": 1, "repository": ours.identity, "from_ms": now} | told)
        return signing.sign(purpose, text)

    forged = order().model_copy(update={"signature": base64.b64encode(b"0" * 64).decode()})
    for signed, status in ((forged, 403), (order("adapter"), 403), (order(from_ms=now - 1), 409)):
        with ours.running.client() as client:
            answer = client.post(
                "tandem/adapters/rollback", json=json.loads(signed.model_dump_json())
            )
        assert answer.status_code == status, answer.text
    with ours.running.client("eve") as client:
        body = json.loads(order().model_dump_json())
        assert client.post("tandem/adapters/rollback", json=body).status_code == 404


def test_the_engine_loads_from_nowhere_else(ours: Team, tmp_path: Path) -> None:
    from tests.wire import post

    folder, _ = ours.state()
    (ours.shelves / "link").symlink_to(folder)
    for path in (str(folder), "/etc", f"{ours.shelves}/../../..", f"{ours.shelves}/link", "x"):
        body = json.dumps({"lora_name": "stolen", "lora_path": path}).encode()
        reply = post(ours.engine.address, "/v1/load_lora_adapter", body)
        assert (reply.status, reply.error["code"]) == (404, "adapter_not_found")
    (ours.shelves / "link").unlink()
