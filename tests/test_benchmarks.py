"""Each benchmark runs, and says what it promises to say."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.infill import read
from completion.engine import background
from completion.engine.background import Address
from tandem import config
from tests import tiny_models, tiny_samples

REPOSITORY = Path(__file__).parent.parent


def test_latency_prints_its_headline_and_writes_its_figures(
    tandem_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.latency", "--quick", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    name, _, value = result.stdout.splitlines()[-1].removeprefix("headline: ").partition(" ")
    assert name == "engine_over_transformers_float32"
    figures = json.loads(file.read_text())
    speeds = figures["tokens_per_second"]
    ratio = speeds["engine float32"] / speeds["transformers float32"]
    assert float(value) == round(ratio, 2) > 0
    assert figures["warm_total_ms"]["p50"] <= figures["warm_total_ms"]["p95"]
    assert background.find(config.load()) is None


def test_training_compares_three_trainers_on_the_same_steps(
    empty_home: Path, tmp_path: Path
) -> None:
    tiny_models.make(tmp_path / "tiny", "llama tied")
    tiny_samples.make(tmp_path / "samples", 200)
    file = tmp_path / "figures.json"
    result = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.training", "--quick", "--json", str(file)),
            *("--model", str(tmp_path / "tiny"), "--samples", str(tmp_path / "samples")),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=REPOSITORY,
    )
    assert result.returncode == 0, result.stderr
    name, _, value = result.stdout.splitlines()[-1].removeprefix("headline: ").partition(" ")
    assert name == "lora_over_plain_peft"
    speeds = json.loads(file.read_text())["tokens_per_second"]
    assert set(speeds) == {"plain transformers + peft", "ours, LoRA", "ours, full"}
    ratio = speeds["ours, LoRA"] / speeds["plain transformers + peft"]
    assert float(value) == round(ratio, 2) > 0
