"""The shipped difference: read, checked, merged when the model is loaded, and told to clients."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file
from starlette.types import Scope
from transformers import AutoModelForCausalLM

from completion import client, connection, families, models
from completion.engine import app, background, server, shipped
from completion.engine.generate import Decoder
from completion.engine.model import Model
from completion.engine.request import Request
from completion.engine.served import ServedModel
from completion.engine.tensors import Tensors
from completion.models import InstalledModel
from completion.sources import WHEELS
from finetune.compress import Compressed
from tandem import cli
from tandem.config import Config, EngineConfig
from tandem.errors import ModelError
from tests import tiny_shipped

CONFIG = Config(engine=EngineConfig(dtype="float32", threads=1, context=128))


@pytest.fixture
def model(empty_home: Path) -> InstalledModel:
    """A tiny model under the default model's name."""
    return tiny_shipped.install()


@pytest.fixture
def made(model: InstalledModel) -> Compressed:
    return tiny_shipped.difference(tiny_shipped.weights(model))


@pytest.fixture
def file(
    model: InstalledModel, made: Compressed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The difference, in the place of the one that Tandem brings."""
    file = tiny_shipped.save(made, model, tmp_path / "tandem-135m.safetensors", recipe={"lr": 1})
    monkeypatch.setattr(shipped, "FILE", file)
    return file


def greedy(decoder: Decoder, prompt: list[int]) -> str:
    return "".join(chunk.text for chunk in decoder.generate(Request(tuple(prompt), 12)))


# Merging


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_tensor_is_the_bases_plus_the_difference_rounded_once(
    model: InstalledModel, made: Compressed, file: Path, dtype: torch.dtype
) -> None:
    base = tiny_shipped.weights(model)
    merged = Tensors(model.folder, dtype, shipped.read(file))
    for name, wanted in made.apply(base).items():
        assert merged[name].dtype == dtype
        assert torch.equal(merged[name], wanted.to(dtype)), name
        assert not torch.equal(wanted, base[name])


def test_the_merged_model_computes_what_transformers_does(
    model: InstalledModel, made: Compressed, file: Path
) -> None:
    reference = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32).eval()
    reference.load_state_dict(made.apply(tiny_shipped.weights(model)), strict=False)
    reference.tie_weights()
    tokens = list(range(3, 60))
    with torch.inference_mode():
        wanted = reference(torch.tensor([tokens])).logits[0]
    ours = Model.load(model.folder, torch.float32, 64, shipped.read(file))
    got = ours.logits(ours.forward(tokens, ours.new_cache()))
    torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-4)


def test_a_decoder_is_the_bare_base_unless_told(model: InstalledModel, file: Path) -> None:
    prompt = list(range(3, 40))
    bare = Decoder.load(model.folder, "float32", 1, 64)
    merged = Decoder.load(model.folder, "float32", 1, 64, shipped.of(model))
    again = Decoder.load(model.folder, "float32", 1, 64, None)
    assert greedy(bare, prompt) == greedy(again, prompt) != greedy(merged, prompt)


def test_a_difference_for_some_tensors_leaves_the_others(
    model: InstalledModel, made: Compressed, tmp_path: Path
) -> None:
    name = next(iter(made.factors))
    few = Compressed({name: made.factors[name]}, {}, made.ids, made.rows, {})
    file = tiny_shipped.save(few, model, tmp_path / "few.safetensors")
    merged = Tensors(model.folder, torch.float32, shipped.read(file))
    base = tiny_shipped.weights(model)
    changed = {n for n in base if not torch.equal(merged[n], base[n])}
    assert changed == {name, "model.embed_tokens.weight"}


# Which model gets it


def test_the_default_model_gets_it(model: InstalledModel, file: Path) -> None:
    found = shipped.of(models.resolve("tandem-135m"))
    assert found is not None
    assert (found.template, found.facts.licence, found.facts.recipe) == (
        "tandem",
        "Apache-2.0",
        {"lr": 1},
    )
    assert shipped.template_of(model) == "tandem"


def test_a_store_that_recorded_plain_or_tandem_does_not_decide(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tiny_shipped.install(template="plain")
    made = tiny_shipped.difference(tiny_shipped.weights(old))
    file = tiny_shipped.save(made, old, tmp_path / "d.safetensors")
    monkeypatch.setattr(shipped, "FILE", tmp_path / "not there")
    assert shipped.template_of(old) == "plain"
    monkeypatch.setattr(shipped, "FILE", file)
    assert shipped.template_of(old) == "tandem"


def test_another_model_does_not_get_it(file: Path) -> None:
    other = tiny_shipped.install("other", template="starcoder2")
    assert shipped.of(other) is None
    assert shipped.template_of(other) == "starcoder2"


def test_other_weights_under_the_default_name_do_not_get_it(
    model: InstalledModel, made: Compressed, file: Path
) -> None:
    tiny_shipped.save(made, model, file, base_sha256="f" * 64)
    assert shipped.of(model) is None
    assert shipped.template_of(model) == "plain"


def test_the_default_models_folder_given_by_its_path_is_the_bare_base(
    model: InstalledModel, file: Path
) -> None:
    by_path = models.resolve(str(model.folder))
    assert shipped.of(by_path) is None
    assert shipped.template_of(by_path) == "plain"


def test_the_real_default_model_gets_what_the_package_brings_or_is_plain(
    default_model: InstalledModel,
) -> None:
    found = shipped.of(default_model)
    assert (found is not None) == shipped.FILE.exists()
    assert shipped.template_of(default_model) == ("tandem" if found else "plain")
    if found is not None:
        tensors = Tensors(default_model.folder, torch.bfloat16, found)
        assert shipped.FILE.stat().st_size <= 24_000_000
        assert tensors["model.norm.weight"].isfinite().all()


def test_the_bare_default_is_recorded_as_what_it_is() -> None:
    from completion.templates import for_model

    assert for_model(WHEELS[models.DEFAULT].member).name == "plain"


# What clients are told


def inside(served: ServedModel) -> httpx.AsyncClient:
    application = app.build(served)

    async def trusted(scope: Scope, receive: Any, send: Any) -> None:
        scope["state"] = {"trusted": True}
        await application(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(trusted), base_url="http://engine")


async def card_of(served: ServedModel) -> dict[str, Any]:
    served.load()
    assert served.status == "ok", served.error
    async with inside(served) as http:
        card = (await http.get("/v1/models")).json()["data"][0]
    served.stop()
    return card


async def test_the_engine_merges_it_and_reports_its_template(
    model: InstalledModel, file: Path
) -> None:
    card = await card_of(server.served_model(CONFIG))
    assert (card["id"], card["fim_template"]) == ("tandem-135m", "tandem")


async def test_without_the_file_the_engine_reports_plain(
    model: InstalledModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shipped, "FILE", tmp_path / "not there")
    card = await card_of(server.served_model(CONFIG))
    assert (card["id"], card["fim_template"]) == ("tandem-135m", "plain")


@pytest.mark.parametrize(
    ("name", "told", "setting", "template"),
    [
        ("tandem-135m", "tandem", "", "tandem"),
        ("tandem-135m", "plain", "", "plain"),
        ("tandem-135m", "", "", "tandem"),
        ("my-tuned-adapter", "tandem", "", "tandem"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "", "", "plain"),
        ("tandem-135m", "of a later version", "", "tandem"),
        ("tandem-135m", "tandem", "plain", "plain"),
    ],
)
def test_the_session_takes_the_template_that_the_server_names(
    name: str, told: str, setting: str, template: str
) -> None:
    served = client.ServedModel(name, template=told)
    assert connection.template_of(served, Config(template=setting)).name == template


def test_models_list_and_show_tell_the_template_in_use(
    model: InstalledModel, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["template"] == "tandem"
    assert cli.run(["models", "show", "tandem-135m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["template"] == "tandem"
    file.unlink()
    assert cli.run(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["template"] == "plain"


def test_an_engine_with_another_difference_is_another_engine(
    model: InstalledModel, made: Compressed, file: Path
) -> None:
    with_it = background.files_for(CONFIG)
    assert background.files_for(CONFIG) == with_it
    file.unlink()
    assert background.files_for(CONFIG) != with_it


# Damage


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def no_safetensors(file: Path) -> None:
    file.write_bytes(b"\x10\0\0\0\0\0\0\0" + b"{not json}      ")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def changed(**facts: Any) -> Callable[[Path], None]:
    """The same tensors with other metadata."""

    def change(file: Path) -> None:
        known = json.loads(families.safetensors_header(file)["__metadata__"]["tandem"])
        known = {key: value for key, value in (known | facts).items() if value is not None}
        save_file(load_file(file), file, {"tandem": json.dumps(known)})

    return change


def without_metadata(file: Path) -> None:
    save_file(load_file(file), file)


def other_tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    """Other tensors, with a hash that is right for them."""

    def spoil(file: Path) -> None:
        metadata = families.safetensors_header(file)["__metadata__"]
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file, metadata)
        changed(data_sha256=shipped.sha256_of_data(file.read_bytes()))(file)

    return spoil


LEFT = "model.layers.0.mlp.up_proj.weight.left"


def shorter(tensors: dict[str, torch.Tensor]) -> None:
    tensors[LEFT] = tensors[LEFT][:, :-1].contiguous()


def fewer(tensors: dict[str, torch.Tensor]) -> None:
    tensors[LEFT] = tensors[LEFT][:-1].contiguous()


def unpaired(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[LEFT]


def of_no_layer(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.layers.9.input_layernorm.weight.add"] = torch.zeros(48)


@pytest.mark.parametrize(
    "damage",
    [
        *(truncated, one_bit, no_safetensors, empty, a_folder, without_metadata),
        *(changed(v=2), changed(v=None), changed(template="of a later version")),
        *(changed(data_sha256=None), changed(base_sha256=5)),
        *map(other_tensors, (shorter, fewer, unpaired, of_no_layer)),
    ],
)
def test_a_damaged_difference_is_one_clear_line(
    model: InstalledModel, file: Path, damage: Callable[[Path], None]
) -> None:
    damage(file)
    with pytest.raises(ModelError) as caught:
        Model.load(model.folder, torch.float32, 64, shipped.of(model))
    assert str(file) in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_damaged_difference_fails_the_engine_with_that_line(
    model: InstalledModel, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_bit(file)
    served = server.served_model(CONFIG)
    served.load()
    assert served.status == "failed"
    assert "its bytes have changed. Install Tandem again." in served.error
    truncated(file)
    assert cli.run(["models", "list"]) == 1
    assert str(file) in capsys.readouterr().err
