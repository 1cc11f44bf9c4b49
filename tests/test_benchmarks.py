"""Each benchmark runs, and says what it promises to say."""

import asyncio
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.infill import read
from completion.engine import background
from completion.engine.background import Address
from finetune.report import Report
from tandem import config
from tandem.errors import UsageError
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


@pytest.fixture
def tiny(empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny random model is the one in use."""
    tiny_models.make(tmp_path / "tiny", "llama tied")
    monkeypatch.setenv("TANDEM_MODEL", str(tmp_path / "tiny"))
    monkeypatch.setenv("TANDEM_ENGINE__THREADS", "1")


def infill(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.infill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=REPOSITORY)


def record(**changes: object) -> str:
    row = {"task_id": "T/0", "prompt": "a = ", "canonical_solution": "1", "suffix": "\nb = 2\n"}
    return json.dumps({**row, "test": "assert a", "entry_point": "a", **changes}) + "\n"


def test_infill_scores_a_file_of_records_and_runs_none_of_their_tests(
    tiny: None, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    test = f"open({str(ran)!r}, 'w')"
    file, figures = tmp_path / "data.jsonl.gz", tmp_path / "figures.json"
    with gzip.open(file, "wt") as stream:
        stream.writelines(record(entry_point=f"f{n}", test=test) for n in range(5))
    result = infill("--data", file, "--n", 4, "--json", figures)
    assert result.returncode == 0, result.stderr
    found = json.loads(figures.read_text())
    assert result.stdout.splitlines()[-1] == (
        f"headline: infill_exact_match {found['exact match']['mean']:.3f}"
    )
    assert found["edit similarity"]["n"] == 4
    assert "4 holes of data.jsonl.gz" in found["title"]
    assert "not measured, no sandbox" in result.stdout
    assert found["pass@1"] is None
    assert not ran.exists()
    assert background.find(config.load()) is None


def test_infill_asks_a_server(engine: Address, empty_home: Path, tmp_path: Path) -> None:
    """The real model, behind an address: what anybody can tell is an exact match."""
    line = "registry.register(handler_for_events, priority=10)\n"
    (tmp_path / "data.jsonl").write_text(
        record(prompt=line * 5 + line[:30], canonical_solution=line[30:-1], suffix="\n" + line)
    )
    os.environ["TANDEM_TOKEN"] = engine.token
    try:
        result = infill("--data", tmp_path / "data.jsonl", "--endpoint", engine.url)
    finally:
        del os.environ["TANDEM_TOKEN"]
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "headline: infill_exact_match 1.000"


def test_infill_without_data_says_where_its_holes_are_from(tiny: None) -> None:
    result = infill("--quick", "--n", 4)
    assert result.returncode == 0, result.stderr
    assert "4 holes of the standard library" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read"),
        ("", "has no records"),
        ("{}", "line 1 is no FIM record"),
        (record() + "not json\n", "line 2 is no FIM record"),
        (record(suffix=None), "line 1 is no FIM record"),
        ("[1, 2]\n", "line 1 is no FIM record"),
    ],
)
def test_infill_refuses_what_is_no_data(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "data.jsonl"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=message):
        read(file)


def test_infill_tells_an_error_in_one_line(empty_home: Path) -> None:
    result = infill()
    assert result.returncode == 1
    assert "only --quick" in result.stderr
    assert result.stderr.count("\n") == 1


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


def test_candidates_prints_its_headline_and_writes_its_figures(tmp_path: Path) -> None:
    """A tiny random model: nothing is right, and every way has been tried."""
    tiny_models.make(tmp_path / "tiny", "llama tied")
    (tmp_path / "code").mkdir()
    text = "".join(f"def f{n}(a, b):\n    return a.get({n}, b)\n\n\n" for n in range(12))
    (tmp_path / "code" / "a.py").write_text(text)
    (tmp_path / "code" / "b.py").write_text(text.replace("get", "put"))
    file, rows = tmp_path / "figures.json", tmp_path / "rows.jsonl"
    command = [sys.executable, "-m", "benchmarks.candidates", "--quick", "--n", "3"]
    command += ["--files", str(tmp_path / "code"), "--model", str(tmp_path / "tiny")]
    command += ["--save", str(rows), "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("headline: closest_call_exact_gain_points")
    figures = json.loads(file.read_text())
    assert figures["holes"] == len(rows.read_text().splitlines()) > 0
    assert {"beam 4", "beam 8", "sampled 0.4"} < set(figures["ways"])
    for way in figures["ways"].values():
        assert max(way["exact"].values()) <= way["oracle"]
        assert {"likelihood", "rank"} <= set(way["exact"])


def test_memory_measures_a_repository_it_is_given(tiny: None, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(Path(asyncio.__file__).parent, repository)
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.memory", str(repository), "--holes", "2"]
    command += ["--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("headline: loss ")
    report = Report.from_json(json.loads(file.read_text()))
    assert report.variants == ("model", "model, with memory x1")
    assert report.holes + report.skipped == 2
