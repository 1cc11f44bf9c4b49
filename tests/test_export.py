"""`tandem models export`: a folder that other servers load, or nothing."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from completion import models
from completion.engine import shipped
from completion.engine.export import export
from completion.engine.generate import Decoder
from completion.engine.request import Request
from completion.models import InstalledModel
from finetune.compress import Compressed
from tandem import cli
from tandem.errors import ModelError, UsageError
from tests import tiny_models, tiny_shipped

PROMPT = list(range(3, 60))


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
    file = tiny_shipped.save(made, model, tmp_path / "made.safetensors")
    monkeypatch.setattr(shipped, "FILE", file)
    return file


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "out" / "tandem"


def leftovers(destination: Path) -> list[str]:
    folder = destination.parent
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def json_of(file: Path) -> dict:
    return json.loads(file.read_text("utf-8"))


# What others load


def test_transformers_gives_the_engines_greedy_tokens(
    model: InstalledModel, file: Path, destination: Path
) -> None:
    assert cli.run(["models", "export", "tandem-135m", str(destination), "--dtype", "float32"]) == 0
    reference = AutoModelForCausalLM.from_pretrained(destination).eval()
    assert reference.dtype == torch.float32
    output = reference.generate(
        torch.tensor([PROMPT]), max_new_tokens=30, do_sample=False, eos_token_id=None
    )
    ours = Decoder.load(model.folder, "float32", 1, 128, shipped.of(model))
    cache = ours.model.new_cache()
    got, hidden = [], ours.model.forward(PROMPT, cache)[-1:]
    for _ in range(30):
        got.append(int(ours.model.logits(hidden)[0].argmax()))
        hidden = ours.model.forward(got[-1:], cache)
    assert got == output[0][len(PROMPT) :].tolist()


def test_the_exported_tokenizer_is_the_models(
    model: InstalledModel, file: Path, destination: Path
) -> None:
    export(model, destination, shipped.of(model))
    text = "def f(x):\n    return x<|endoftext|>"
    theirs = AutoTokenizer.from_pretrained(destination)
    assert theirs(text)["input_ids"] == Decoder.load(model.folder).tokenizer.encode(text)


def test_merged_weights_are_bfloat16_unless_told(
    model: InstalledModel, made: Compressed, file: Path, destination: Path
) -> None:
    export(model, destination, shipped.of(model))
    written = load_file(destination / "model.safetensors")
    wanted = made.apply(tiny_shipped.weights(model))
    assert written.keys() == wanted.keys()
    assert all(torch.equal(written[n], t.to(torch.bfloat16)) for n, t in wanted.items())
    assert AutoModelForCausalLM.from_pretrained(destination).dtype == torch.bfloat16


def test_both_ends_end_an_answer(model: InstalledModel, file: Path, destination: Path) -> None:
    """The end of a chat turn, which the base knows, and the end of the middle."""
    generation = model.folder / "generation_config.json"
    generation.write_text(json.dumps({"eos_token_id": 2, "bos_token_id": 1}))
    export(model, destination, shipped.of(model))
    assert json_of(destination / "generation_config.json") == {
        "eos_token_id": [2, 0],
        "bos_token_id": 1,
    }


def test_the_export_serves_here_too_with_its_template(
    model: InstalledModel, file: Path, destination: Path
) -> None:
    export(model, destination, shipped.of(model), "float32")
    found = models.resolve(str(destination))
    assert (found.name, shipped.template_of(found)) == ("tandem", "tandem")
    assert found.manifest.licence == "unknown"
    here = Decoder.load(model.folder, "float32", 1, 128, shipped.of(model))
    there = Decoder.load(found.folder, "float32", 1, 128)
    request = Request(tuple(PROMPT), 12)
    texts = ["".join(c.text for c in d.generate(request)) for d in (here, there)]
    assert texts[0] == texts[1]


def test_the_command_says_how_to_serve_it(
    model: InstalledModel, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = tmp_path / "a folder"
    assert cli.run(["models", "export", "tandem-135m", str(destination)]) == 0
    assert f"vllm serve '{destination}' --served-model-name tandem-135m" in capsys.readouterr().out


# Other models


@pytest.fixture
def sharded(empty_home: Path, tmp_path: Path) -> Path:
    tiny_models.make(tmp_path / "qwen", "qwen2", shard_size="50KB")
    (tmp_path / "qwen" / "pytorch_model.bin").write_bytes(b"a pickle")
    return tmp_path / "qwen"


def test_another_model_is_copied_as_it_is(sharded: Path, destination: Path) -> None:
    assert cli.run(["models", "export", str(sharded), str(destination)]) == 0
    copied = {file.name for file in destination.iterdir()}
    assert copied == {f.name for f in sharded.iterdir()} - {"pytorch_model.bin"} | {"tandem.json"}
    for name in copied - {"tandem.json"}:
        assert (destination / name).read_bytes() == (sharded / name).read_bytes()


def test_another_model_in_another_width_keeps_its_files_and_index(
    sharded: Path, destination: Path
) -> None:
    assert cli.run(["models", "export", str(sharded), str(destination), "--dtype", "bfloat16"]) == 0
    wanted = AutoModelForCausalLM.from_pretrained(sharded, dtype=torch.bfloat16).state_dict()
    got = AutoModelForCausalLM.from_pretrained(destination)
    assert got.dtype == torch.bfloat16
    assert all(torch.equal(t, wanted[name]) for name, t in got.state_dict().items())
    index = json_of(destination / "model.safetensors.index.json")
    shards = [load_file(destination / name) for name in set(index["weight_map"].values())]
    size = sum(t.nbytes for shard in shards for t in shard.values())
    assert index["metadata"]["total_size"] == size


def test_the_default_model_without_the_difference_is_copied_as_plain(
    model: InstalledModel, tmp_path: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "FILE", tmp_path / "not there")
    assert cli.run(["models", "export", "tandem-135m", str(destination)]) == 0
    assert shipped.template_of(models.resolve(str(destination))) == "plain"


# Bad input


@pytest.mark.parametrize("taken", ["folder", "file", "dangling link"])
def test_a_destination_that_is_taken_is_refused(
    model: InstalledModel, destination: Path, taken: str
) -> None:
    destination.parent.mkdir()
    if taken == "folder":
        destination.mkdir()
        (destination / "mine.txt").write_text("keep")
    elif taken == "file":
        destination.write_text("keep")
    else:
        destination.symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists already"):
        export(model, destination)
    assert leftovers(destination) == ["tandem"]


def test_an_empty_folder_is_a_destination(model: InstalledModel, destination: Path) -> None:
    destination.mkdir(parents=True)
    export(model, destination)
    assert (destination / "model.safetensors").is_file()
    assert leftovers(destination) == ["tandem"]


def test_an_unknown_model_is_one_line(empty_home: Path, destination: Path) -> None:
    with pytest.raises(ModelError, match="no model or model folder nobody"):
        models.resolve("nobody")
    assert cli.run(["models", "export", "nobody", str(destination)]) == 1
    assert leftovers(destination) == []


@pytest.mark.parametrize("stage", ["merge", "copy", "check"])
def test_a_cancelled_export_leaves_nothing(
    model: InstalledModel, file: Path, destination: Path, stage: str
) -> None:
    def cancel(now: str, done: int, total: int) -> None:
        if now == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(model, destination, shipped.of(model), progress=cancel)
    assert leftovers(destination) == []


@pytest.mark.parametrize("options", [[], ["--dtype", "bfloat16"]])
def test_a_full_disk_is_a_clear_line_and_leaves_nothing(
    model: InstalledModel, destination: Path, options: list[str]
) -> None:
    """The largest file a process may write stands in for the disk: the error comes at a write."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    result = subprocess.run(
        [sys.executable, "-m", "tandem", "models", "export", "tandem-135m", destination, *options],
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"tandem: Could not write {destination}: ")
    assert last.endswith("Free some space or choose another folder.")
    assert leftovers(destination) == []


def test_a_read_only_place_is_a_clear_line(model: InstalledModel) -> None:
    with pytest.raises(ModelError, match="Could not write /proc/tandem/out"):
        export(model, Path("/proc/tandem/out"))
