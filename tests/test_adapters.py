"""The adapter store and its LoRA folders: what is taken, and each way to be refused."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from completion import adapters, lora, manifest
from completion.adapters import Base, Manifest, StaleAdapter
from finetune import registry
from tandem import paths
from tandem.errors import ModelError, TandemError, UsageError
from tests import tiny_adapters, tiny_models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model's folder: read it, never change it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_models.make(folder, "llama tied")
    return folder


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that peft saves for a LoRA of the tiny model."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("made")
    tiny_adapters.make(folder, AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32))
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.fixture
def folder(made: dict[str, bytes], tmp_path: Path) -> Path:
    """A LoRA folder of the test's own."""
    folder = tmp_path / "made"
    folder.mkdir()
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def base(model: Path) -> Base:
    return Base.of("tiny", model)


@pytest.fixture
def stored(folder: Path, base: Base, empty_home: Path) -> Path:
    """The folder of the adapter `one` in the store."""
    return registry.register(folder, tiny_adapters.manifest_of("one", base), base).folder


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / lora.CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = folder / lora.WEIGHTS
    tensors = load_file(file)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


def test_peft_s_own_folder_is_taken(folder: Path, model: Path) -> None:
    found = lora.examine(folder, model)
    assert (found.rank, found.scale, found.layers) == (4, 2.0, 3)
    assert found.modules == tiny_adapters.ALL
    assert len(list(found.pairs())) == 3 * 7


A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(A), f"lacks the tensor {A}"),
        (lambda t: t.update({A: t[A][:, :-1]}), r"has shape \[4, 47\]; the base needs \[4, 48\]"),
        (lambda t: t.update({A: t[A][:2]}), r"has shape \[2, 48\]"),
        (lambda t: t.update({A: t[A].to(torch.int32)}), "is of type I32"),
        (
            lambda t: t.update({"base_model.model.model.embed_tokens.weight": torch.ones(4, 4)}),
            "trained embeddings.*embed_tokens",
        ),
        (
            lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 4)}),
            "trained embeddings",
        ),
        (lambda t: t.update(extra=torch.ones(1)), "a tensor of no known use.*extra"),
        (
            lambda t: t.update({A.replace("layers.0", "layers.7"): torch.ones(4, 48)}),
            "no known use.*layers.7",
        ),
        (lambda t: t.clear(), "lacks the tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    folder: Path, model: Path, change: Callable[..., object], message: str
) -> None:
    edit_tensors(folder, change)
    with pytest.raises(ModelError, match=message):
        lora.examine(folder, model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "LOHA"}, "'LOHA', not LORA"),
        ({"use_dora": True}, "DoRA is not supported"),
        ({"modules_to_save": ["embed_tokens"]}, "trained embeddings or whole modules"),
        ({"trainable_token_indices": [1]}, "trained embeddings"),
        ({"bias": "all"}, "trained biases"),
        ({"lora_bias": True}, "'lora_bias' is not supported"),
        ({"fan_in_fan_out": True}, "'fan_in_fan_out' is not supported"),
        ({"rank_pattern": {"q_proj": 8}}, "'rank_pattern' is not supported"),
        ({"alpha_pattern": {"q_proj": 8}}, "'alpha_pattern'"),
        ({"layers_to_transform": [0]}, "'layers_to_transform'"),
        ({"something_new": 1}, "'something_new' is not supported"),
        ({"init_lora_weights": "pissa"}, "changes the base's weights"),
        ({"init_lora_weights": ["x"]}, "changes the base's weights"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "'embed_tokens' is not one of"),
        ({"target_modules": [["q_proj"]]}, "is not one of"),
        ({"target_modules": ".*_proj"}, "no list of names"),
        ({"target_modules": []}, "no list of names"),
        ({"r": 0}, "r is 0"),
        ({"r": True}, "r is True"),
        ({"r": 10**6}, "r is 1000000"),
        ({"r": "4"}, "r is '4'"),
        ({"r": 8}, r"has shape \[4, 48\]; the base needs \[8, 48\]"),
        ({"lora_alpha": 0}, "lora_alpha is 0"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"lora_alpha": 1e300}, "lora_alpha"),
        ({"target_modules": ["q_proj"]}, "a tensor of no known use"),
    ],
)
def test_configs_that_we_do_not_merge_are_refused(
    folder: Path, model: Path, changes: dict[str, Any], message: str
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(ModelError, match=message):
        lora.examine(folder, model)


@pytest.mark.parametrize(
    "options",
    [
        {"modules_to_save": ["embed_tokens"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"use_dora": True},
        {"trainable_token_indices": [1, 2]},
        {"init_lora_weights": "pissa"},
        {"layers_to_transform": [0, 1]},
        {"bias": "lora_only"},
    ],
    ids=str,
)
def test_what_peft_really_saves_in_other_forms_is_refused(
    tmp_path: Path, model: Path, options: dict[str, Any]
) -> None:
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    settings = {"r": 4, "target_modules": ["q_proj"], **options}
    get_peft_model(plain, LoraConfig(**settings)).save_pretrained(str(tmp_path / "other"))
    with pytest.raises(ModelError):
        lora.examine(tmp_path / "other", model)


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "sub/state.PKL", "x.ckpt"])
def test_a_pickle_in_the_folder_is_refused_and_never_opened(
    folder: Path, model: Path, name: str, tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="is a pickle, which can run code"):
        lora.examine(folder, model)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", [lora.CONFIG, lora.WEIGHTS])
def test_a_missing_or_truncated_file_is_named(folder: Path, model: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-20])
    with pytest.raises(ModelError, match=name):
        lora.examine(folder, model)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        lora.examine(folder, model)


def test_an_adapter_of_another_shape_of_model_is_refused(folder: Path, tmp_path: Path) -> None:
    tiny_models.make(tmp_path / "wide", "llama wide heads")
    with pytest.raises(ModelError, match="the base needs"):
        lora.examine(folder, tmp_path / "wide")


# The store.


def test_an_adapter_is_found_by_name(stored: Path, base: Base) -> None:
    assert adapters.names() == ["one"]
    [found] = adapters.installed()
    assert found == adapters.resolve("one", base, thorough=True) == adapters.read("one")
    assert found.folder == stored
    assert found.size > 1000
    assert sorted(found.manifest.files) == [lora.CONFIG, lora.WEIGHTS]


def test_an_unknown_adapter_says_where_to_look(empty_home: Path, base: Base) -> None:
    with pytest.raises(UsageError, match=r"no adapter one.*tandem adapters list"):
        adapters.resolve("one", base)
    assert adapters.installed() == []


def test_an_adapter_for_another_base_says_which_model_to_use(stored: Path, base: Base) -> None:
    with pytest.raises(ModelError, match=r"tuned on tiny, not on other.*tandem models use tiny"):
        adapters.resolve("one", replace(base, name="other"))


def test_a_changed_base_makes_an_adapter_stale(stored: Path, base: Base) -> None:
    with pytest.raises(StaleAdapter, match=r"stale: tiny has changed.*Run: tandem tune /repo"):
        adapters.resolve("one", replace(base, hash="0" * 64))


def test_a_repository_with_a_space_is_quoted_in_the_command(base: Base) -> None:
    known = tiny_adapters.manifest_of("one", base, repository="/my code/x")
    assert adapters.retune(known) == "tandem tune '/my code/x'"


def test_a_swapped_file_is_noticed_when_all_is_hashed(stored: Path, base: Base) -> None:
    edit_tensors(stored, lambda tensors: tensors[A].add_(1))
    adapters.resolve("one", base)
    with pytest.raises(ModelError, match=r"has changed since it was registered.*tandem tune"):
        adapters.resolve("one", base, thorough=True)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"v": 1}',
        '{"v": 99, "name": "one"}',
        None,
        "x" * (1 << 21),
    ],
)
def test_a_damaged_manifest_is_told_and_left_out_of_the_list(
    stored: Path, base: Base, content: str | None
) -> None:
    if content is None:
        (stored / adapters.FILE).unlink()
    else:
        (stored / adapters.FILE).write_text(content)
    assert adapters.installed() == []
    assert adapters.names() == ["one"]
    with pytest.raises(ModelError, match=r"damaged: no valid tandem.json.*adapters remove one"):
        adapters.resolve("one", base)


def test_a_copied_folder_does_not_pass_under_another_name(stored: Path, base: Base) -> None:
    stored.rename(stored.with_name("two"))
    with pytest.raises(ModelError, match="Adapter two is damaged"):
        adapters.resolve("two", base)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "-x", "a\0", "a\n", "ä", "x" * 97]
)
def test_names_that_lead_elsewhere_are_refused(empty_home: Path, base: Base, name: str) -> None:
    with pytest.raises(UsageError, match="is no adapter name"):
        adapters.resolve(name, base)


@settings(deadline=None)
@given(st.text(max_size=120))
def test_a_name_leads_into_the_store_or_nowhere(name: str) -> None:
    try:
        folder = adapters.folder_of(name)
    except UsageError:
        return
    assert folder.parent == paths.adapters_dir()
    assert folder.name == name


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_as_a_manifest_raise_anything_but_our_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(tmp_path_factory.mktemp("home")))
        folder = adapters.folder_of("one")
        folder.mkdir(parents=True)
        (folder / adapters.FILE).write_bytes(data)
        with pytest.raises(TandemError):
            adapters.read("one")


KEYS = st.sampled_from(
    ["r", "lora_alpha", "target_modules", "peft_type", "bias", "init_lora_weights", "use_rslora"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, JSON, min_size=1))
def test_no_value_in_a_config_raises_anything_but_our_error(
    tmp_path_factory: pytest.TempPathFactory,
    made: dict[str, bytes],
    model: Path,
    changes: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    (folder / lora.WEIGHTS).write_bytes(made[lora.WEIGHTS])
    (folder / lora.CONFIG).write_text(json.dumps(json.loads(made[lora.CONFIG]) | changes))
    try:
        found = lora.examine(folder, model)
    except ModelError:
        return
    assert found.rank == 4
    assert 0 < found.scale < 1e7


def test_stray_files_in_the_store_are_no_adapters(stored: Path) -> None:
    (stored.parent / "note.txt").write_text("x")
    (stored.parent / ".one.partial-x").mkdir()
    assert adapters.names() == ["one"]


# What an adapter belongs to.


def test_the_base_hash_is_over_the_weights_and_what_we_ship_with_them(
    model: Path, tmp_path: Path
) -> None:
    shipped = tmp_path / "difference.safetensors"
    bare = adapters.base_hash(model)
    assert adapters.base_hash(model, shipped) == bare  # there is none
    shipped.write_bytes(b"one")
    first = adapters.base_hash(model, shipped)
    shipped.write_bytes(b"other")
    assert len({bare, first, adapters.base_hash(model, shipped)}) == 3


def test_the_base_hash_follows_the_weights_and_nothing_else(tmp_path: Path) -> None:
    tiny_models.make(tmp_path, "llama tied")
    before = adapters.base_hash(tmp_path)
    (tmp_path / "README.md").write_text("x")
    assert adapters.base_hash(tmp_path) == before
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert adapters.base_hash(tmp_path) != before


def test_an_installed_models_recorded_hash_is_the_hash_of_its_file(tmp_path: Path) -> None:
    """With the manifest the weights are not read, and the answer is the same."""
    tiny_models.make(tmp_path, "llama tied")
    before = adapters.base_hash(tmp_path)
    known = manifest.Manifest(
        name="tiny",
        source="",
        licence="",
        family="llama",
        template="plain",
        context=256,
        created="",
        files=manifest.record(tmp_path, manifest.silent),
    )
    manifest.write(tmp_path, known)
    assert adapters.base_hash(tmp_path) == before
    record = known.files["model.safetensors"].model_copy(update={"sha256": "f" * 64})
    files = {**known.files, "model.safetensors": record}
    manifest.write(tmp_path, known.model_copy(update={"files": files}))
    assert adapters.base_hash(tmp_path) != before


def test_a_manifest_survives_its_file(base: Base) -> None:
    known = tiny_adapters.manifest_of("one", base)
    assert Manifest.model_validate_json(known.model_dump_json()) == known
