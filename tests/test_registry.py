"""The registry: an adapter goes in whole or not at all; use, go back, remove."""

import errno
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from completion import activations, adapters, lora
from completion.adapters import Base
from finetune import registry
from tandem import paths
from tandem.errors import ModelError, UsageError
from tests import tiny_adapters, tiny_models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_models.make(folder, "llama tied")
    return folder


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What peft saves: read it, never change it."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("made")
    tiny_adapters.make(folder, AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32))
    return folder


@pytest.fixture
def base(model: Path) -> Base:
    return Base.of("tiny", model)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / ".git").mkdir(parents=True)
    return folder


@pytest.fixture
def register(empty_home: Path, made: Path, base: Base) -> Callable[..., adapters.Adapter]:
    def register(name: str, **fields: Any) -> adapters.Adapter:
        return registry.register(made, tiny_adapters.manifest_of(name, base, **fields), base)

    return register


def everything() -> list[str]:
    """What lies in the store, hidden or not, but for the lock."""
    root = paths.adapters_dir()
    files = root.rglob("*") if root.is_dir() else []
    return sorted(str(file.relative_to(root)) for file in files if file.name != ".lock")


def test_a_registered_adapter_is_peft_s_two_files_and_our_manifest(register, base: Base) -> None:
    adapter = register("one")
    assert everything() == [
        "one",
        *(f"one/{n}" for n in sorted((lora.CONFIG, lora.WEIGHTS, adapters.FILE))),
    ]
    assert adapters.resolve("one", base, thorough=True) == adapter


def test_a_name_that_is_taken_stays_as_it_is(register, base: Base) -> None:
    register("one", note="first")
    with pytest.raises(UsageError, match="There is an adapter one"):
        register("one", note="second")
    assert adapters.read("one").manifest.note == "first"


@pytest.mark.parametrize("name", ["../one", "", "tiny", ".x"])
def test_a_name_that_cannot_be_one_is_refused(register, name: str) -> None:
    with pytest.raises(UsageError):
        register(name)
    assert everything() == []


def test_an_adapter_for_other_weights_is_refused(register, base: Base) -> None:
    with pytest.raises(ModelError, match="base is not tiny as it is here"):
        register("one", base_hash="0" * 64)
    assert everything() == []


def test_a_folder_that_is_no_lora_leaves_nothing(
    empty_home: Path, tmp_path: Path, made: Path, base: Base
) -> None:
    shutil.copytree(made, tmp_path / "bad")
    (tmp_path / "bad" / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickle"):
        registry.register(tmp_path / "bad", tiny_adapters.manifest_of("one", base), base)
    assert everything() == []


def full(*_: object, **__: object) -> None:
    """In the place of anything that writes to the disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("at", ["shutil.copyfileobj", "os.fsync", "tandem.paths.atomic_write"])
def test_a_full_disk_leaves_nothing_half_registered(register, at: str) -> None:
    register("before")
    known = everything()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(at, full)
        with pytest.raises(ModelError, match=r"No space left on device.*Free some space"):
            register("one")
    assert everything() == known


def test_what_a_killed_process_left_is_cleaned_up(register) -> None:
    leftover = paths.adapters_dir() / ".one.partial-abc" / "new"
    leftover.mkdir(parents=True)
    (leftover / lora.WEIGHTS).write_bytes(b"half")
    register("one")
    assert not any("partial" in name for name in everything())


def test_new_names_count_up(register, tmp_path: Path) -> None:
    repository = tmp_path / "my repo!"
    assert registry.new_name(repository) == "my-repo--1"
    register("my-repo--1")
    assert registry.new_name(repository) == "my-repo--2"
    assert registry.new_name(Path("/")) == "adapter-1"


def test_use_and_two_steps_back(register, base: Base, repository: Path) -> None:
    register("one")
    register("two")
    assert registry.activate("one", repository, base).passed
    registry.activate("two", repository, base)
    assert activations.active_for(repository, "tiny") == "two"
    assert activations.active_for(repository.parent, "tiny") is None
    assert activations.active_for(repository, "other") is None
    assert registry.roll_back(repository, base) == "one"
    assert activations.active_for(repository, "tiny") == "one"
    assert registry.roll_back(repository, base) is None
    assert activations.active_for(repository, "tiny") is None
    with pytest.raises(UsageError, match="uses no adapter over tiny"):
        registry.roll_back(repository, base)
    actions = [(entry.action, entry.name) for entry in activations.history()]
    assert actions == [("use", "one"), ("use", "two"), ("rollback", "one"), ("rollback", "")]


def test_going_back_passes_over_what_cannot_be_loaded(
    register, base: Base, repository: Path
) -> None:
    for name in ("one", "two", "three"):
        register(name)
        registry.activate(name, repository, base)
    (adapters.folder_of("two") / lora.WEIGHTS).unlink()
    assert registry.roll_back(repository, base) == "one"


NO_GAIN = {"gain_low": -0.01, "gain_mean": 0.01, "gain_high": 0.03, "holes": 300}


def refused(base: Base) -> dict[str, Any]:
    return tiny_adapters.manifest_of("x", base).figures | NO_GAIN


def test_the_gate_refuses_and_force_is_recorded(register, base: Base, repository: Path) -> None:
    register("weak", figures=refused(base))
    with pytest.raises(ModelError, match=r"gate refuses weak: its gain.*--force"):
        registry.activate("weak", repository, base)
    assert activations.active_for(repository, "tiny") is None
    assert activations.history() == ()
    verdict = registry.activate("weak", repository, base, force=True)
    assert not verdict.passed
    assert activations.active_for(repository, "tiny") == "weak"
    assert activations.history()[-1].overridden == list(verdict.refusals)


def test_without_figures_the_gate_refuses(register, base: Base, repository: Path) -> None:
    register("blind", figures={})
    with pytest.raises(ModelError, match="no figures"):
        registry.activate("blind", repository, base)


def test_force_overrides_the_gate_and_nothing_else(register, base: Base, repository: Path) -> None:
    register("one")
    with pytest.raises(adapters.StaleAdapter):
        registry.activate("one", repository, replace(base, hash="0" * 64), force=True)
    (adapters.folder_of("one") / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickle"):
        registry.activate("one", repository, base, force=True)
    assert activations.active_for(repository, "tiny") is None


def test_removing_an_adapter_in_use_brings_the_base_back(
    register, base: Base, repository: Path
) -> None:
    for name in ("one", "two"):
        register(name)
        registry.activate(name, repository, base)
    assert registry.users("two") == [str(repository)]
    assert registry.remove("two") == [str(repository)]
    assert activations.active_for(repository, "tiny") is None
    assert adapters.names() == ["one"]
    assert not any("partial" in name for name in everything())
    register("two")  # the name is free, and not in use again by itself
    assert activations.active_for(repository, "tiny") is None


def test_removing_what_is_not_there_is_told(register) -> None:
    with pytest.raises(UsageError, match="There is no adapter one"):
        registry.remove("one")
    assert everything() == []


def test_a_damaged_adapter_can_be_removed(register) -> None:
    (register("one").folder / adapters.FILE).write_text("{")
    assert registry.remove("one") == []
    assert adapters.names() == []


def test_a_full_disk_leaves_the_choice_as_it_was(
    register, base: Base, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("one")
    register("two")
    registry.activate("one", repository, base)

    monkeypatch.setattr("os.fsync", full)
    for change in (
        lambda: registry.activate("two", repository, base),
        lambda: registry.roll_back(repository, base),
        lambda: registry.remove("one"),
    ):
        with pytest.raises(ModelError, match="No space left"):
            change()
    assert activations.active_for(repository, "tiny") == "one"
    assert adapters.names() == ["one", "two"]


def test_a_damaged_history_is_not_written_over(register, base: Base, repository: Path) -> None:
    register("one")
    activations.file().write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        registry.activate("one", repository, base)
    assert activations.file().read_text() == "{"


def _use(name: str, repository: Path, base: Base) -> None:
    registry.activate(name, repository, base)


def test_two_processes_at_once_lose_nothing(register, base: Base, tmp_path: Path) -> None:
    register("one")
    folders = [tmp_path / str(number) for number in range(4)]
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=_use, args=("one", folder, base)) for folder in folders]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert registry.users("one") == sorted(map(str, folders))


def test_the_history_is_json_with_a_version(register, base: Base, repository: Path) -> None:
    register("one")
    registry.activate("one", repository, base)
    data = json.loads(activations.file().read_text())
    assert data["v"] == 1
    assert data["entries"][0]["repository"] == str(repository)
    assert activations.file().stat().st_mode & 0o777 == 0o600
