"""The training bundle, from tiny parts to a difference that the engine loads, on the CPU.

What runs "on the GPU machine" runs in fresh processes here that see the unpacked bundle alone.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from completion.convert import convert
from completion.engine import shipped
from finetune import bundle, cases, device, gpu, gpu_options, start
from finetune.cases import Case
from finetune.replay import replay
from finetune.store import SampleSet
from tandem.errors import TandemError, UsageError
from tests import tiny_gguf, tiny_samples

REPOSITORY = Path(__file__).parent.parent
ASSEMBLE = REPOSITORY / "finetune" / "assemble.py"
PART = 40_000
OPTIONS = ("--steps=6", "--tokens-per-step=512", "--row-tokens=512", "--lr=0.003", "--every=0")
OPTIONS += ("--warmup-steps=1", "--validations=2", "--budget=250000", "--piece=60000")


def bare(
    *arguments: str | Path, cwd: Path | None = None, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Python in a process that does not see this repository."""
    return subprocess.run(
        [sys.executable, "-P", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=check,
        cwd=cwd or Path("/"),
        env=bare_environment(),
    )


def bare_environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OUT")}
    # No `site`-made way back into the repository either: the bundle comes first on the path.
    return {**kept, "OMP_NUM_THREADS": "1", "TANDEM_TRAIN_CPU": "1"}


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.make(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the dataset builder leaves it."""
    folder = tmp_path_factory.mktemp("samples")
    tiny_samples.make(folder / "train", 60, 0)
    tiny_samples.make(folder / "validation", 10, 1)
    held_out = [
        case("def f(value):\n    return va", "lue\n", "line"),
        case("def g(a, b):\n    ", "total = a + b\n    return total", "block"),
        case("total = ", "sum(values)", "line"),
    ]
    cases.save(held_out, folder / "cases.jsonl")
    return folder


def case(prefix: str, middle: str, kind: Any) -> Case:
    return Case("tests", "a.py", "python", prefix, middle, "\nprint(1)\n", "statement", kind)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of samples to be replayed."""
    folder = tmp_path_factory.mktemp("chat")
    found = tiny_samples.make(folder, 8, 2)
    replace(found, replayed=np.full(len(found), True)).save(folder)
    return folder


@pytest.fixture(scope="module")
def parts(gguf: Path, samples: Path, chat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a built bundle."""
    folder = tmp_path_factory.mktemp("built") / "train-bundle"
    bundle.build(samples, gguf, folder, PART, replays=[chat, chat], questions=12)
    return folder


@pytest.fixture(scope="module")
def unpacked(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder on the other machine."""
    store = tmp_path_factory.mktemp("machine") / "store"
    for part in sorted(parts.glob("part-*"), reverse=True):
        bare(ASSEMBLE, "--store", store, "add", part)
    return Path(bare(ASSEMBLE, "--store", store, "unpack").stdout.strip())


@pytest.fixture(scope="module")
def base(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    convert(gguf, folder, lambda *_: None)
    return folder


@pytest.fixture(scope="module")
def trained(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result files of a run that was killed in its second step and started again."""
    out = tmp_path_factory.mktemp("result")
    command = [sys.executable, "-P", str(unpacked / "run.py"), f"--out={out}", "--save-minutes=0"]
    with subprocess.Popen(
        [*command, *OPTIONS], stdout=subprocess.PIPE, text=True, env=bare_environment(), cwd="/"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 3"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (out / "report.json").exists()
    done = bare(unpacked / "run.py", f"--out={out}", "--save-minutes=0", *OPTIONS)
    assert "going on" in done.stdout
    return out


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text("utf-8"))


def files_of(out: Path) -> list[Path]:
    return sorted(out.iterdir())


# The parts


def test_no_part_is_larger_than_asked_and_all_are_listed(parts: Path) -> None:
    listed = json.loads((parts / "parts.json").read_text("utf-8"))
    names = [entry["name"] for entry in listed["parts"]]
    assert len(names) > 2
    assert sorted(path.name for path in parts.glob("part-*")) == names
    for entry in listed["parts"]:
        content = (parts / entry["name"]).read_bytes()
        assert len(content) == entry["size"] <= PART
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_the_same_inputs_make_the_same_bundle(
    gguf: Path, samples: Path, chat: Path, parts: Path, tmp_path: Path
) -> None:
    bundle.build(samples, gguf, tmp_path / "again", PART, replays=[chat, chat], questions=12)
    assert (tmp_path / "again" / "parts.json").read_text() == (parts / "parts.json").read_text()


def test_what_is_to_be_replayed_is_among_the_samples(unpacked: Path) -> None:
    found = SampleSet.load(unpacked / "data" / "train")
    assert len(found) == 60 + 2 * 8
    assert found.replayed.sum() == 2 * 8
    told = json.loads((unpacked / "bundle.json").read_text("utf-8"))
    assert told["made_of"]["train"]["replayed"] == 2 * 8


def test_the_base_answers_questions_there_and_is_held_to_its_answers(
    unpacked: Path, trained: Path
) -> None:
    asked = json.loads((unpacked / "data" / "questions.json").read_text("utf-8"))
    code = SampleSet.load(unpacked / "data" / "train")
    used = SampleSet.load(unpacked.parent / "work" / "samples")
    added = len(used) - len(code)
    assert asked
    assert added > 0
    assert added % len(asked) == 0
    assert used.replayed[len(code) :].all()
    begin = int(used.starts()[len(code)])
    assert used.ids[begin : begin + len(asked[0])].tolist() == asked[0]
    assert report_of(trained)["seconds"]["chat"] >= 0


def test_building_again_replaces_the_bundle(gguf: Path, samples: Path, tmp_path: Path) -> None:
    bundle.build(samples, gguf, tmp_path / "b", PART)
    bundle.build(samples, gguf, tmp_path / "b", 10 * PART)
    listed = json.loads((tmp_path / "b" / "parts.json").read_text("utf-8"))
    assert len(list((tmp_path / "b").glob("part-*"))) == len(listed["parts"])
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_folder_that_holds_something_else_is_left_alone(
    gguf: Path, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no bundle"):
        bundle.build(samples, gguf, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("missing", ["train/samples.safetensors", "cases.jsonl"])
def test_samples_that_are_not_whole_are_refused(
    gguf: Path, samples: Path, tmp_path: Path, missing: str
) -> None:
    shutil.copytree(samples, tmp_path / "s")
    (tmp_path / "s" / missing).unlink()
    with pytest.raises(UsageError, match=missing):
        bundle.build(tmp_path / "s", gguf, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_base_that_is_no_gguf_is_refused(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"not at all")
    with pytest.raises(TandemError, match=r"x\.gguf|base\.gguf"):
        bundle.build(samples, tmp_path / "x.gguf", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_the_commands_name_every_part(parts: Path) -> None:
    told = "\n".join(bundle.commands(parts / "parts.json"))
    assert all(path.name in told for path in parts.glob("part-*"))
    assert "unpack" in told
    assert "collect" in told


def test_a_part_leaves_room_for_the_repository(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)

    git("init", "-q")
    (tmp_path / ".gitignore").write_text("ignored\n")
    assert bundle.room(tmp_path) == 48 << 20
    (tmp_path / "ignored").write_bytes(bytes(30 << 20))
    assert bundle.room(tmp_path) == 48 << 20
    (tmp_path / "adapter").write_bytes(bytes(24 << 20))
    assert (38 << 20) < bundle.room(tmp_path) < (40 << 20)
    (tmp_path / "adapter").write_bytes(bytes(63 << 20))
    with pytest.raises(UsageError, match="no part fits"):
        bundle.room(tmp_path)


# Putting them together


def test_a_missing_part_is_named(parts: Path, tmp_path: Path) -> None:
    bare(ASSEMBLE, "--store", tmp_path / "s", "add", parts / "part-01")
    told = bare(ASSEMBLE, "--store", tmp_path / "s", "status").stdout
    assert "1 of" in told
    assert "part-00" in told
    failed = bare(ASSEMBLE, "--store", tmp_path / "s", "unpack", check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: part-00 is missing")
    assert "Traceback" not in failed.stderr


def test_a_part_may_come_twice(parts: Path, tmp_path: Path) -> None:
    first = bare(ASSEMBLE, "--store", tmp_path / "s", "add", parts / "part-00").stdout
    assert bare(ASSEMBLE, "--store", tmp_path / "s", "add", parts / "part-00").stdout == first


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_part_is_named_and_not_kept(parts: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(parts, tmp_path / "p")
    content = bytearray((tmp_path / "p" / "part-01").read_bytes())
    if damage == "cut":
        del content[-10:]
    else:
        content[10] ^= 1
    (tmp_path / "p" / "part-01").write_bytes(content)
    failed = bare(
        ASSEMBLE, "--store", tmp_path / "s", "add", tmp_path / "p" / "part-01", check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: part-01 is damaged")
    assert not (tmp_path / "s" / "part-01").exists()


def test_a_part_of_another_bundle_is_refused(
    parts: Path, gguf: Path, samples: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(samples, tmp_path / "s2")
    tiny_samples.make(other / "train", 20, 7)
    bundle.build(other, gguf, tmp_path / "other", PART)
    bare(ASSEMBLE, "--store", tmp_path / "s", "add", parts / "part-00")
    failed = bare(
        ASSEMBLE, "--store", tmp_path / "s", "add", tmp_path / "other/part-00", check=False
    )
    assert failed.returncode == 1
    assert "another bundle" in failed.stderr


def test_a_file_that_is_no_part_is_refused(parts: Path, tmp_path: Path) -> None:
    shutil.copyfile(parts / "parts.json", tmp_path / "parts.json")
    (tmp_path / "part-77").write_bytes(b"x")
    failed = bare(ASSEMBLE, "--store", tmp_path / "s", "add", tmp_path / "part-77", check=False)
    assert failed.returncode == 1
    assert "part-77 is no part" in failed.stderr


def test_unpacking_twice_keeps_what_is_there(unpacked: Path) -> None:
    before = (unpacked / "run.py").stat().st_mtime_ns
    told = bare(ASSEMBLE, "--store", unpacked.parent, "unpack").stdout.strip()
    assert Path(told) == unpacked
    assert (unpacked / "run.py").stat().st_mtime_ns == before


# On the other machine


def test_the_bundle_alone_is_enough(unpacked: Path) -> None:
    """Nothing of ours is imported from anywhere else, and nothing the machine does not have."""
    probe = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import finetune.gpu, completion.convert\n"
        "ours = {'finetune', 'completion', 'tandem', 'gguf'}\n"
        "for name, module in list(sys.modules.items()):\n"
        "    if name.split('.')[0] in ours: assert module.__file__.startswith(sys.argv[1]), name\n"
        "lacking = {'pydantic', 'tree_sitter', 'platformdirs', 'typer'} & set(sys.modules)\n"
        "assert not lacking, lacking\n"
    )
    bare("-c", probe, unpacked)


def test_the_base_comes_out_as_the_converter_writes_it(
    trained: Path, unpacked: Path, base: Path
) -> None:
    made = unpacked.parent / "work" / "base"
    for file in base.iterdir():
        assert (made / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_killed_run_goes_on_and_does_every_step_once(trained: Path) -> None:
    lines = (trained / "log.jsonl").read_text("utf-8").splitlines()
    steps = [r["step"] for r in map(json.loads, lines) if "rate" in r]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert report_of(trained)["ended"] == "done"


def test_what_comes_back_is_few_files_of_limited_size(trained: Path) -> None:
    files = files_of(trained)
    assert {"report.json", "log.jsonl", "loss.png", "adapter-00", "adapter-01"} <= {
        file.name for file in files
    }
    assert all(file.is_file() for file in files)
    assert all(file.stat().st_size <= 60_000 for file in trained.glob("adapter-*"))


def test_the_report_compares_base_tuned_and_compressed(trained: Path) -> None:
    figures = report_of(trained)["figures"]
    assert set(figures) == {"base", "tuned", "compressed"}
    for told in figures.values():
        assert told["single"]["n"] + told["multi"]["n"] == 3 == len(told["hits"])
    assert figures["compressed"]["single"]["loss"] == pytest.approx(
        figures["tuned"]["single"]["loss"], rel=0.05
    )


def test_the_engine_reads_and_merges_what_was_collected(
    trained: Path, unpacked: Path, base: Path, tmp_path: Path
) -> None:
    report = bundle.collect(files_of(trained), tmp_path / "adapter.safetensors")
    assert report["result"]["step"] == 6
    weights = load_file(base / "model.safetensors")
    found = shipped.read(tmp_path / "adapter.safetensors")
    wanted = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    assert found.facts.base_sha256 == wanted
    assert found.template == "tandem"
    difference = found.load({name: list(tensor.shape) for name, tensor in weights.items()})
    tuned = next((unpacked.parent / "work" / "runs").glob("*/model/model.safetensors"))
    for name, tensor in load_file(tuned).items():
        merged = difference.merged(name, weights[name])
        change = (tensor - weights[name]).norm()
        assert float((merged - tensor).norm()) <= 0.5 * float(change) + 1e-6, name


def test_a_later_lease_goes_on_from_what_was_shipped(
    trained: Path, unpacked: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter.safetensors"
    bundle.collect(files_of(trained), adapter)
    fresh = tmp_path / "work"
    options = [*OPTIONS, f"--work={fresh}", f"--start={adapter}"]
    bare(unpacked / "run.py", f"--out={tmp_path / 'out'}", *options, "--lr=1e-9")
    first = report_of(trained)
    again = report_of(tmp_path / "out")
    assert again["result"]["before"] == pytest.approx(first["result"]["validation"], rel=0.02)
    facts = bundle.collect(files_of(tmp_path / "out"), tmp_path / "b.safetensors")
    assert facts["figures"]["tuned"]["hits"] == first["figures"]["compressed"]["hits"]
    stream = metadata(tmp_path / "b.safetensors")["stream"]
    before = metadata(adapter)["stream"]
    assert stream["tokens"] > before["tokens"] > 0
    assert stream["position"] > before["position"] > 0
    assert stream["samples"] == before["samples"]


def test_half_of_the_chat_can_be_answered_by_what_is_gone_on_from(
    trained: Path, unpacked: Path, tmp_path: Path
) -> None:
    adapter, work = tmp_path / "adapter.safetensors", tmp_path / "work"
    bundle.collect(files_of(trained), adapter)
    options = [*OPTIONS, f"--work={work}", f"--start={adapter}", "--astray"]
    bare(unpacked / "run.py", f"--out={tmp_path / 'out'}", *options)
    used, code = SampleSet.load(work / "samples"), SampleSet.load(unpacked / "data" / "train")
    asked = json.loads((unpacked / "data" / "questions.json").read_text("utf-8"))
    half = len(asked) // 2
    assert used.replayed[len(code) :].all()
    given = answers_in(used, len(code))
    width = device.width("auto", torch.device("cpu"))
    model = AutoModelForCausalLM.from_pretrained(work / "base", dtype=width)
    assert given[:half] == answers_in(replay(model, asked[:half]), 0)
    base_sha256 = json.loads((unpacked / "bundle.json").read_text("utf-8"))["base_sha256"]
    weights, _ = start.merged(adapter, work / "base", base_sha256)
    narrow = {name: tensor.to(width) for name, tensor in weights.items()}
    model.load_state_dict(narrow, strict=False)
    assert given[half : len(asked)] == answers_in(replay(model, asked[half:]), 0)


def answers_in(samples: SampleSet, begin: int) -> list[list[int]]:
    starts = samples.starts()
    return [samples.ids[starts[i] : starts[i + 1]].tolist() for i in range(begin, len(samples))]


def metadata(file: Path) -> dict[str, Any]:
    from finetune.compress import Compressed

    return Compressed.load(file)[1]


def test_a_run_of_two_commands_ships_after_the_first_and_ends_in_the_second(
    unpacked: Path, tmp_path: Path
) -> None:
    options = [option for option in OPTIONS if "--steps" not in option]
    options += [f"--work={tmp_path / 'w'}", "--minutes=0.1", "--reserve=2", "--commands=2"]
    ended = []
    for name in ("first", "second", "third"):
        bare(unpacked / "run.py", f"--out={tmp_path / name}", *options)
        bundle.collect(files_of(tmp_path / name), tmp_path / f"{name}.safetensors")
        ended.append(report_of(tmp_path / name)["ended"])
        if ended[-1] == "done":
            break
    assert ended[0] == "unfinished"
    assert ended[-1] == "done"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--minutes=1", "--reserve=60"], "No time is left"),
        (["--steps=1", "--tokens=5"], "How long"),
        (["--steps=1", "--start=/nowhere.safetensors"], "/nowhere.safetensors"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_trained(
    unpacked: Path, tmp_path: Path, options: Sequence[str], told: str
) -> None:
    parsed = gpu_options.options(unpacked).parse_args([f"--out={tmp_path / 'o'}", *options])
    with pytest.raises(UsageError, match=told):
        gpu.run(parsed, unpacked, lambda line: None)
    assert not (tmp_path / "o").exists()


def test_an_error_is_one_line(unpacked: Path, tmp_path: Path) -> None:
    failed = bare(unpacked / "run.py", f"--out={tmp_path}", "--minutes=1", check=False)
    assert failed.returncode == 2
    assert (
        failed.stderr == "error: No time is left to train. Raise --minutes, or lower --reserve.\n"
    )


# What came back


def test_a_missing_piece_is_named(trained: Path, tmp_path: Path) -> None:
    files = [file for file in files_of(trained) if file.name != "adapter-01"]
    with pytest.raises(UsageError, match="adapter-01"):
        bundle.collect(files, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["adapter-00", "report.json"])
def test_a_damaged_piece_is_named(trained: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(trained, tmp_path / "r")
    content = bytearray((copy / name).read_bytes())
    content[:2] = b"??"
    (copy / name).write_bytes(content)
    with pytest.raises(TandemError, match=f"{name} is damaged"):
        bundle.collect(files_of(copy), tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_collect_on_the_command_line(trained: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "finetune.bundle", "collect", *map(str, files_of(trained))]
    done = subprocess.run(
        [*command, "--to", str(tmp_path / "a.safetensors")],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert "compressed" in done.stdout
    assert "run done" in done.stdout
    assert torch.is_tensor(load_file(tmp_path / "a.safetensors")["model.norm.weight.add"])
