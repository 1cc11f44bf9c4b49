"""Training runs on a tiny model: what they learn, and that nothing stops them from ending the same."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from finetune import learner, train
from finetune.packing import Packer
from finetune.recipe import Recipe
from finetune.store import SampleSet
from tandem.errors import ModelError, TandemError, UsageError
from tests import tiny_models, tiny_samples

REPOSITORY = Path(__file__).parent.parent
QUICK = Recipe(
    steps=12,
    rank=4,
    alpha=8,
    learning_rate=3e-3,
    warmup_steps=2,
    tokens_per_step=256,
    row_tokens=128,
    precision="float32",
    validations=4,
)
FULL = QUICK.but(method="full", rows=(30, 3))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    tiny_models.make(folder, "llama tied")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `samples` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    tiny_samples.make(folder / "samples", 40, 0)
    tiny_samples.make(folder / "validation", 10, 1)
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads gain nothing on a tiny model, and wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def log_of(out: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (out / train.LOG).read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    (file,) = [*out.glob("adapter/*.safetensors"), *out.glob("model/*.safetensors")]
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def arguments(recipe: Recipe, base: Path, data: Path, out: Path) -> Path:
    file = out.with_suffix(".json")
    values = {
        "recipe": recipe.as_json(),
        "base": str(base),
        "samples": str(data / "samples"),
        "validation": str(data / "validation"),
        "out": str(out),
    }
    file.write_text(json.dumps(values))
    return file


def start(recipe: Recipe, base: Path, data: Path, out: Path) -> subprocess.Popen[str]:
    """The trainer as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "finetune.train", str(arguments(recipe, base, data, out))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
    )


def stopped_at(step: int, recipe: Recipe, base: Path, data: Path, out: Path) -> None:
    """Leave a run that was stopped after `step`."""
    seen: list[train.Progress] = []
    result = train.run(
        recipe,
        base,
        data / "samples",
        out,
        data / "validation",
        seen.append,
        lambda: len(seen) == step,
    )
    assert result.ended == "cancelled"


def until_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("progress", {}).get("step") == step:
            return
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the trainer says last."""
    output, errors = process.communicate(timeout=120)
    assert output, errors
    return json.loads(output.splitlines()[-1])


@pytest.mark.parametrize("recipe", [FULL, QUICK], ids=["full", "lora"])
def test_a_run_killed_at_any_step_ends_as_one_that_was_not(
    recipe: Recipe, base: Path, data: Path, tmp_path: Path
) -> None:
    train.run(recipe, base, data / "samples", tmp_path / "whole", data / "validation")
    step = random.SystemRandom().randint(1, 11)
    every = 0.0 if step % 2 else 0.003  # the last save is this step's, or lies some steps back
    killed = start(recipe.but(save_minutes=every), base, data, tmp_path / "killed")
    until_step(killed, step)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "killed" / train.RESULT).exists()
    seen = []
    train.run(recipe, base, data / "samples", tmp_path / "killed", data / "validation", seen.append)
    assert seen[0].step <= step + 1, f"killed at step {step}"
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")), step
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "killed"), step


def test_a_run_learns_and_tells_its_progress(base: Path, data: Path, tmp_path: Path) -> None:
    seen: list[train.Progress] = []
    recipe = FULL.but(steps=60, rows=())
    result = train.run(recipe, base, data / "samples", tmp_path, data / "validation", seen.append)
    assert result.ended == "done"
    assert result.before is not None
    assert result.validation is not None
    assert result.validation < result.before - 1
    assert [progress.step for progress in seen] == list(range(1, 61))
    assert seen[-1].done == 1.0
    assert seen[-1].left == 0.0
    assert all(a.done < b.done and a.tokens < b.tokens for a, b in itertools.pairwise(seen))


def test_the_loss_is_the_weighted_mean_over_samples_that_see_only_themselves(
    base: Path, data: Path, tmp_path: Path
) -> None:
    train.run(FULL.but(steps=1, tokens_per_step=3_000), base, data / "samples", tmp_path)
    samples = SampleSet.load(data / "samples")
    starts = samples.starts()
    reference: Any = AutoModelForCausalLM.from_pretrained(base)
    # A step of more tokens than there are goes round: every sample comes equally often or once more.
    (first,) = log_of(tmp_path)
    picked, _ = Packer(samples, FULL.seed, 3_000).step(0)
    total = weight = 0.0
    losses: dict[int, tuple[float, float]] = {}
    for index in picked:
        if index not in losses:
            span = slice(starts[index], starts[index + 1])
            ids = torch.tensor(samples.ids[span].astype("int64"))
            weights = torch.tensor(samples.weights[span].astype("float32"))[1:]
            with torch.no_grad():
                logits = reference(ids[None]).logits[0, :-1]
            each = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
            losses[index] = float((each * weights).sum()), float(weights.sum())
        total += losses[index][0]
        weight += losses[index][1]
    assert first["loss"] == pytest.approx(total / weight, rel=1e-5)


def test_rows_that_hold_less_change_nothing_but_rounding(
    base: Path, data: Path, tmp_path: Path
) -> None:
    for name, tokens in (("wide", 256), ("narrow", 64)):
        train.run(FULL.but(row_tokens=tokens), base, data / "samples", tmp_path / name)
    wide, narrow = (log_of(tmp_path / name) for name in ("wide", "narrow"))
    assert [r["loss"] for r in wide] == pytest.approx([r["loss"] for r in narrow], rel=1e-3)


def replaying(folder: Path, replayed: bool) -> Path:
    """Samples to learn, and others, half of all, that are to stay as the base finds them."""
    new, old = (tiny_samples.make(folder / str(seed), 20, seed) for seed in (0, 7))
    # The old ones count down, so that what is learned from the new ones is wrong for them.
    old = replace(old, ids=(300 - old.ids.astype(np.int32)).astype(np.uint16))
    old = replace(old, replayed=np.full(len(old), replayed))
    SampleSet.joined([new, old] if replayed else [new]).save(folder)
    old.save(folder / "7")
    return folder


def divergence(base: Path, tuned: Path, samples: SampleSet) -> float:
    """Mean divergence in nats from the base over the samples' targets, by transformers alone."""
    models = [AutoModelForCausalLM.from_pretrained(folder).eval() for folder in (base, tuned)]
    found = []
    for begin, end in itertools.pairwise(samples.starts()):
        ids = torch.from_numpy(samples.ids[begin:end].astype(np.int64))[None]
        at = torch.from_numpy(samples.weights[begin + 1 : end].astype(np.float32) > 0)
        with torch.no_grad():
            was, now = (model(ids).logits[0, :-1][at].log_softmax(-1) for model in models)
        found.append(F.kl_div(now, was, reduction="none", log_target=True).sum(-1))
    return float(torch.cat(found).mean())


def test_what_is_replayed_stays_as_the_base_finds_it(base: Path, tmp_path: Path) -> None:
    moved = {}
    for replayed in (True, False):
        samples = replaying(tmp_path / f"data {replayed}", replayed)
        out = tmp_path / f"out {replayed}"
        recipe = FULL.but(steps=0, tokens=3000 * (1 + replayed), decay_share=0)
        train.run(recipe, base, samples, out)
        moved[replayed] = divergence(base, out / "model", SampleSet.load(samples / "7"))
    assert moved[True] < moved[False] / 2


def test_the_loss_of_a_replayed_row_is_the_divergence_from_the_base(
    base: Path, tmp_path: Path
) -> None:
    samples = tiny_samples.make(tmp_path, 8)
    again = replace(samples, replayed=np.full(8, True))
    tuned = learner.load(FULL, base, torch.device("cpu"), torch.float32, replays=True)
    (row,) = Packer(again, 0, 4096).rows(range(8), 4096)
    assert row.replayed
    loss, _ = tuned.losses(row, 1.0)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        for master in tuned.masters.values():
            master.mul_(1.1)
    tuned.publish()
    tuned.export(tmp_path / "made")
    loss, each = tuned.losses(row, 1.0)
    wanted = divergence(base, tmp_path / "made", again)
    assert float(each.mean()) == pytest.approx(wanted, rel=1e-3)
    assert float(loss.detach()) == pytest.approx(float((each * row.weights).sum()), rel=1e-5)


@pytest.mark.parametrize("recipe", [FULL, QUICK], ids=["full", "lora"])
def test_gradient_checkpointing_changes_nothing(
    recipe: Recipe, base: Path, data: Path, tmp_path: Path
) -> None:
    for on in (False, True):
        again = recipe.but(gradient_checkpointing=on, steps=4)
        train.run(again, base, data / "samples", tmp_path / str(on))
    one, other = weights_of(tmp_path / "False"), weights_of(tmp_path / "True")
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-4)


def test_a_full_run_trains_of_the_embeddings_only_the_rows_it_is_given(
    base: Path, data: Path, tmp_path: Path
) -> None:
    train.run(FULL, base, data / "samples", tmp_path)
    before, after = load_file(base / "model.safetensors"), weights_of(tmp_path)
    table = "model.embed_tokens.weight"
    changed = (before[table] != after[table]).any(1).nonzero()[:, 0].tolist()
    # Token 3 occurs in no sample: only the one that does has learned.
    assert changed == [30]
    assert all(not torch.equal(before[n], after[n]) for n in before if n != table)
    assert all(tensor.dtype == torch.float32 for tensor in after.values())


def test_a_whole_model_has_all_that_is_needed_to_train_on_it_again(
    base: Path, data: Path, tmp_path: Path
) -> None:
    result = train.run(FULL.but(steps=1), base, data / "samples", tmp_path / "one")
    again = train.run(FULL.but(steps=1), result.folder, data / "samples", tmp_path / "two")
    assert (again.folder / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_adapter_is_a_plain_peft_folder_that_does_what_was_trained(
    precision: Any, base: Path, data: Path, tmp_path: Path
) -> None:
    recipe = QUICK.but(precision=precision, steps=30)
    result = train.run(recipe, base, data / "samples", tmp_path, data / "validation")
    names = {file.name for file in result.folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors"}
    tensors = weights_of(tmp_path)
    assert len(tensors) == 3 * 7 * 2
    assert all("lora_" in name and t.dtype == torch.float32 for name, t in tensors.items())
    plain: Any = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), result.folder
    )
    samples = SampleSet.load(data / "validation")
    losses = []
    for begin, end, middle in zip(
        samples.starts()[:-1], samples.starts()[1:], samples.middles, strict=True
    ):
        ids = torch.tensor(samples.ids[begin:end].astype("int64"))
        with torch.no_grad():
            logits = plain(ids[None]).logits[0, middle - 1 : -1]
        losses += torch.nn.functional.cross_entropy(logits, ids[middle:], reduction="none").tolist()
    wanted = sum(losses) / len(losses)
    assert result.validation == pytest.approx(wanted, rel=1e-4 if precision == "float32" else 0.02)
    assert result.before is not None
    assert wanted < result.before - 0.3


def test_a_run_stops_early_and_keeps_the_best(base: Path, data: Path, tmp_path: Path) -> None:
    # A rate far too high: it learns a little, then the held-out loss rises.
    recipe = FULL.but(
        steps=400, validations=200, learning_rate=0.01, decay_share=0.0, patience=3, warmup_steps=30
    )
    result = train.run(recipe, base, data / "samples", tmp_path, data / "validation")
    assert result.ended == "early"
    assert result.step < 400
    validations = [r for r in log_of(tmp_path) if "validation" in r]
    best = min(validations, key=lambda record: record["validation"])
    assert result.best_step == best["step"] < result.step
    assert result.validation == best["validation"]
    assert [r["validation"] > best["validation"] for r in validations[-3:]] == [True] * 3
    again = train.run(
        FULL.but(steps=1, validations=1), result.folder, data / "samples", tmp_path / "again",
        data / "validation",
    )  # fmt: skip
    assert again.before == pytest.approx(best["validation"], rel=1e-5)


def test_an_interrupt_saves_and_the_same_arguments_go_on(
    base: Path, data: Path, tmp_path: Path
) -> None:
    train.run(QUICK, base, data / "samples", tmp_path / "whole", data / "validation")
    for number, step in ((signal.SIGINT, 3), (signal.SIGTERM, 7)):
        process = start(QUICK, base, data, tmp_path / "stopped")
        until_step(process, step)
        process.send_signal(number)
        result = told(process)["result"]
        assert process.returncode == 0
        assert result["ended"] == "cancelled"
        assert not (tmp_path / "stopped" / "adapter").exists()
    train.run(QUICK, base, data / "samples", tmp_path / "stopped", data / "validation")
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "stopped"))


def test_a_finished_run_is_not_done_again(base: Path, data: Path, tmp_path: Path) -> None:
    first = train.run(QUICK, base, data / "samples", tmp_path)
    log = (tmp_path / train.LOG).read_text()
    seen: list[object] = []
    assert train.run(QUICK, base, data / "samples", tmp_path, on_progress=seen.append) == first
    assert seen == []
    assert (tmp_path / train.LOG).read_text() == log


def test_other_arguments_in_the_same_folder_are_refused(
    base: Path, data: Path, tmp_path: Path
) -> None:
    train.run(QUICK, base, data / "samples", tmp_path)
    with pytest.raises(UsageError, match="a run with other learning_rate, samples"):
        train.run(QUICK.but(learning_rate=1e-4), base, data / "validation", tmp_path)


def test_two_runs_in_one_folder_at_once_are_refused(base: Path, data: Path, tmp_path: Path) -> None:
    def meanwhile(_: train.Progress) -> None:
        with pytest.raises(TandemError, match="Another run is training"):
            train.run(QUICK, base, data / "samples", tmp_path)

    train.run(QUICK.but(steps=1), base, data / "samples", tmp_path, on_progress=meanwhile)


def test_a_run_begins_where_the_constant_part_of_another_ended(
    base: Path, data: Path, tmp_path: Path
) -> None:
    short = FULL.but(steps=10, decay_share=0.5, warmup_steps=0)
    train.run(short, base, data / "samples", tmp_path / "short")
    trunk = tmp_path / "short" / "checkpoints" / train.TRUNK
    more = FULL.but(steps=5, decay_share=1.0, warmup_steps=0)
    train.run(more, base, data / "samples", tmp_path / "more", start=trunk)
    # Five more steps that fall to zero: exactly what the short run's decay did.
    assert same(weights_of(tmp_path / "short"), weights_of(tmp_path / "more"))


def test_bfloat16_learns_what_float32_learns(base: Path, data: Path, tmp_path: Path) -> None:
    ends = []
    for precision in ("float32", "bfloat16"):
        recipe = FULL.but(steps=30, precision=precision)
        result = train.run(
            recipe, base, data / "samples", tmp_path / precision, data / "validation"
        )
        ends.append(result.validation)
    assert ends[0] == pytest.approx(ends[1], rel=0.03)


def test_a_family_with_biases_trains_too(data: Path, tmp_path: Path) -> None:
    tiny_models.make(tmp_path / "qwen", "qwen2")
    result = train.run(FULL, tmp_path / "qwen", data / "samples", tmp_path, data / "validation")
    assert result.before is not None
    assert result.validation is not None
    assert result.validation < result.before


def test_a_full_disk_is_told_and_leaves_the_last_save(
    base: Path, data: Path, tmp_path: Path
) -> None:
    script = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000));"
        "sys.argv = ['train', sys.argv[1]]; runpy.run_module('finetune.train', run_name='__main__')"
    )
    out = tmp_path / "out"
    stopped_at(2, FULL, base, data, out)
    kept = sorted(path.name for path in (out / "checkpoints").iterdir())
    full = subprocess.run(
        [sys.executable, "-c", script, str(arguments(FULL, base, data, out))],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        timeout=120,
    )
    assert full.returncode == 1, full.stderr
    error = json.loads(full.stdout.splitlines()[-1])["error"]
    assert "Could not write" in error["message"]
    assert "same command" in error["hint"]
    left = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert left == kept
    assert not (out / "model").exists()
    assert train.run(FULL, base, data / "samples", out, data / "validation").ended == "done"


def test_a_damaged_checkpoint_is_passed_over(base: Path, data: Path, tmp_path: Path) -> None:
    train.run(QUICK, base, data / "samples", tmp_path / "whole")
    stopped_at(6, QUICK, base, data, tmp_path / "out")
    first, newest = sorted((tmp_path / "out" / "checkpoints").glob("step-*"))
    tensors = newest / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:1000])
    seen: list[train.Progress] = []
    train.run(QUICK, base, data / "samples", tmp_path / "out", data / "validation", seen.append)
    assert first.name == "step-00000000"
    assert seen[0].step == 1
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "out"))


def test_a_loss_that_explodes_is_told(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = FULL.but(learning_rate=1e30, clip=1e30, warmup_steps=0)
    with pytest.raises(TandemError, match="not a number any more at step"):
        train.run(recipe, base, data / "samples", tmp_path)
    assert not (tmp_path / "model").exists()


def broken(base: Path, folder: Path, change: str) -> Path:
    folder.mkdir()
    for file in base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    target, _, content = change.partition("=")
    (folder / target).unlink()
    if content:
        (folder / target).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tokenizer.json", "has no tokenizer.json"),
        ("config.json", "has no config.json"),
        ("config.json={", "config.json is damaged"),
        ("model.safetensors", "has no weights in safetensors"),
        ("model.safetensors=x", "cannot be loaded"),
        ('config.json={"final_logit_softcapping": 30.0}', "with final_logit_softcapping"),
    ],
)
def test_a_base_that_cannot_be_trained_is_refused(
    change: str, message: str, base: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        train.run(QUICK, broken(base, tmp_path / "base", change), data / "samples", tmp_path / "o")
    assert not list((tmp_path / "o").glob("checkpoints/*"))


def test_a_base_with_other_layers_is_refused(data: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(vocab_size=512, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    GPT2LMHeadModel(shape).save_pretrained(tmp_path / "gpt2")
    (tmp_path / "gpt2" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="has no q_proj"):
        train.run(QUICK, tmp_path / "gpt2", data / "samples", tmp_path / "out")
