"""`tandem tune` from a repository's history to an adapter in the store, on a tiny model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from completion import activations, adapters
from tandem import config, paths
from tests import tiny_models
from tests.repositories import MadeRepository, function
from tests.test_adapters_cli import run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = MadeRepository(tmp_path / "work")
    for number in range(16):
        files = {f"module_{n}.py": _module(number, n) for n in (number % 4, 4 + number)}
        made.commit(files)
    return made.folder


def _module(number: int, which: int) -> str:
    return "\n\n".join(function(40 * which + n) for n in range(number // 4 + 2))


@pytest.fixture
def tiny(empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TANDEM_ENGINE__THREADS", "1")  # so small a model only waits for a second
    folder = tmp_path / "tiny"
    tiny_models.make(folder, "llama tied")
    config.save_user({"model": str(folder)})
    return folder


@pytest.mark.usefixtures("tiny")
def test_a_repository_becomes_an_adapter_with_figures_evidence_and_a_verdict(
    repository: Path,
) -> None:
    done = run("tune", str(repository), "--minutes", "0.4", "--rank", "4", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    adapter = adapters.read(told["adapter"])
    assert adapter.manifest.recipe["rank"] == 4
    assert adapter.manifest.recipe["tokens"] == told["tokens"] > 0
    assert told["figures"]["holes"] > 0
    assert {"log.jsonl", "loss.svg", "report.json", "data.json"} <= {
        file.name for file in adapter.folder.iterdir()
    }
    # A model of noise fills nothing exactly, before or after: the gate must say so.
    assert told["refusals"]
    assert not told["in_use"]
    assert activations.active_for(repository, adapter.manifest.base) is None
    assert not list((paths.cache_dir() / "tune").iterdir())
    listed = run("adapters", "list")
    assert told["adapter"] in listed.stdout


@pytest.mark.usefixtures("tiny")
def test_a_killed_run_goes_on_and_leaves_nothing_half_registered(repository: Path) -> None:
    command = [sys.executable, "-m", "tandem", "tune", str(repository), "--minutes", "0.5"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stderr is not None
    for line in process.stderr:
        if "Training, loss" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert adapters.names() == []
    (work,) = (paths.cache_dir() / "tune").iterdir()
    data = (work / "data" / "manifest.json").stat().st_mtime_ns
    _wait_for_the_trainer(work)
    done = run("tune", str(repository), "--minutes", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    assert "Training samples" not in done.stderr, f"the data of {data} was made anew"
    assert adapters.names() == [json.loads(done.stdout)["adapter"]]


def _wait_for_the_trainer(work: Path) -> None:
    """It saves and ends by itself when its parent is gone."""
    import filelock

    deadline = time.monotonic() + 60
    for file in (work / "run").glob("*.lock"):
        filelock.FileLock(file).acquire(
            timeout=max(1.0, deadline - time.monotonic())
        ).lock.release()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("commits", "words"), [(0, "has no commits"), (1, "has only one commit")])
def test_a_repository_without_a_history_is_refused(
    tmp_path: Path, commits: int, words: str
) -> None:
    made = MadeRepository(tmp_path / "new")
    for number in range(commits):
        made.commit({"a.py": function(number)})
    done = run("tune", str(made.folder))
    assert done.returncode != 0
    assert words in done.stderr
    assert adapters.names() == []


@pytest.mark.usefixtures("tiny")
def test_a_name_that_is_taken_is_refused_before_any_work(repository: Path) -> None:
    paths.adapters_dir().mkdir(parents=True)
    (paths.adapters_dir() / "mine").mkdir()
    done = run("tune", str(repository), "--name", "mine")
    assert done.returncode != 0
    assert "There is an adapter mine" in done.stderr


@pytest.mark.usefixtures("tiny")
def test_too_few_minutes_are_refused(repository: Path) -> None:
    done = run("tune", str(repository), "--minutes", "0.01")
    assert done.returncode != 0
    assert "too few" in done.stderr


def test_a_remote_model_cannot_be_tuned(empty_home: Path, repository: Path) -> None:
    config.save_user({"endpoint": "http://127.0.0.1:9/v1"})
    done = run("tune", str(repository))
    assert done.returncode != 0
    assert "tandem models use" in done.stderr
