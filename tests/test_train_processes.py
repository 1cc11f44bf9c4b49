"""Several processes train as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune import train
from finetune.recipe import Recipe
from tests import tiny_models, tiny_samples
from tests.test_train import log_of, weights_of

REPOSITORY = Path(__file__).parent.parent
LORA = Recipe(
    steps=8,
    rank=4,
    alpha=8,
    learning_rate=3e-3,
    warmup_steps=2,
    tokens_per_step=256,
    row_tokens=64,
    precision="float32",
    validations=2,
)
FULL = LORA.but(method="full", rows=(30,))
# With --cpu, accelerate starts one process, however many are asked for, unless there is MPI; with
# --multi_gpu it starts what torchrun starts, and a machine without a GPU then trains on CPUs.
LAUNCHERS = {
    "accelerate": [
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
        *("--main_process_port", "0"),
    ],
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
}


@pytest.mark.parametrize(
    ("launcher", "recipe"), [("accelerate", FULL), ("torchrun", LORA)], ids=["full", "lora"]
)
def test_two_processes_learn_what_one_does(launcher: str, recipe: Recipe, tmp_path: Path) -> None:
    tiny_models.make(tmp_path / "base", "llama tied")
    tiny_samples.make(tmp_path / "samples", 40)
    tiny_samples.make(tmp_path / "validation", 7, 1)
    arguments: dict[str, Any] = {
        "recipe": recipe.as_json(),
        "base": str(tmp_path / "base"),
        "samples": str(tmp_path / "samples"),
        "validation": str(tmp_path / "validation"),
        "out": str(tmp_path / "two"),
    }
    (tmp_path / "arguments.json").write_text(json.dumps(arguments))
    two = subprocess.run(
        [
            sys.executable,
            *("-m", *LAUNCHERS[launcher], "-m", "finetune.train"),
            str(tmp_path / "arguments.json"),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(REPOSITORY),
            "TANDEM_TRAIN_CPU": "1",
        },
    )
    assert two.returncode == 0, two.stderr
    told = [json.loads(line) for line in two.stdout.splitlines() if line.startswith("{")]
    assert [next(iter(line)) for line in told] == ["progress"] * 8 + ["result"]
    assert told[-1]["result"]["processes"] == 2
    torch.set_num_threads(1)
    train.run(
        recipe,
        tmp_path / "base",
        tmp_path / "samples",
        tmp_path / "one",
        tmp_path / "validation",
    )
    one_log, two_log = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert len(one_log) == len(two_log) == 8 + 3
    for ours, theirs in zip(one_log, two_log, strict=True):
        assert theirs == {k: pytest.approx(v, rel=1e-4) for k, v in ours.items()}
    one, other = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=2e-4, rtol=1e-3)
