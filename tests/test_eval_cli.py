"""`tandem eval`, as a person runs it: a process, its output, its exit code."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finetune import registry
from finetune.report import Report
from tandem import cli, eval_cli
from tests import tiny_models
from tests.test_held_out import MODULE
from tests.tiny_adapters import Store


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_models.make(folder, "llama tied")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    for number in range(6):
        (root / f"m{number}.py").write_text(MODULE.replace("total", f"total_{number}"))
    return root


@pytest.fixture
def tiny_home(empty_home: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User folders that make the tiny model the one in use."""
    monkeypatch.setenv("TANDEM_MODEL", str(model))
    monkeypatch.setenv("TANDEM_ENGINE__THREADS", "1")
    return empty_home


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tandem", "eval", *map(str, arguments)]


def interrupted_at(progress: str, *arguments: object) -> tuple[str, str]:
    """What it prints on stdout and, from then on, on stderr if Ctrl-C comes at a line of progress."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command(*arguments), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(progress):
                process.send_signal(signal.SIGINT)
                break
        out, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    return out, errors


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=200, env=environment
    )


def test_it_prints_figures_with_intervals_and_coverage(tiny_home: Path, repository: Path) -> None:
    file = repository.parent / "figures.json"
    done = run("completion", repository, "--n", 6, "--json", file)
    assert done.returncode == 0, done.stderr
    report = Report.from_json(json.loads(file.read_text()))
    assert report.complete
    assert report.holes + report.skipped == 6
    assert report.holes > 3
    assert "filling holes 100%" in done.stderr
    shown = report.rate("base, left to right", "all", "shown")
    for text in (f"{report.holes} holes", "exact match", "shown", f"{100 * shown.mean:.1f}", "["):
        assert text in done.stdout


def test_a_trained_template_is_compared_with_left_to_right(
    tiny_home: Path, repository: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_TEMPLATE", "tandem")
    monkeypatch.setenv("TANDEM_COMPLETION__PROMPT_TOKENS", "48")
    file = repository.parent / "figures.json"
    done = run("completion", repository, "--n", 4, "--json", file)
    assert done.returncode == 0, done.stderr
    report = Report.from_json(json.loads(file.read_text()))
    assert report.variants == ("base, left to right", model.name)
    assert report.difference(model.name, "base, left to right", "all", "exact").n == report.holes


def test_fewer_places_than_asked_for_are_told(tiny_home: Path, repository: Path) -> None:
    for number in range(1, 6):
        (repository / f"m{number}.py").unlink()
    (repository / "m0.py").write_text("def only():\n" + "    return 1\n" + "\n" * 200)
    done = run("completion", repository, "--n", 50)
    assert done.returncode == 0, done.stderr
    assert "has room for" in done.stderr


def test_an_interrupt_prints_what_was_measured(tiny_home: Path, repository: Path) -> None:
    out, errors = interrupted_at("tandem: filling holes 10%", "completion", repository, "--n", 60)
    assert "holes, interrupted" in out
    assert "Traceback" not in errors
    assert "Interrupted" in errors


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere",), 2, "nowhere is no folder"),
        (("repo/m0.py",), 2, "is no folder"),
        (("empty",), 2, "no source to measure on"),
        (("repo", "--n", "0"), 2, "greater than or equal to 1"),
        (("repo", "--n", "-3"), 2, "greater than or equal to 1"),
        (("repo", "--n", "many"), 2, "integer"),
        (("repo", "--adapter", "none"), 2, "no adapter none"),
        (("repo", "--json", "no/such/figures.json"), 2, "no folder"),
    ],
)
def test_errors_are_one_line(
    tiny_home: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(repository.parent)
    Path("empty").mkdir()
    assert cli.run(["eval", "completion", *arguments]) == code
    out, errors = capsys.readouterr()
    assert message in errors
    assert errors.count("\n") == 1
    assert out == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(tiny_home: Path, repository: Path) -> None:
    repository.chmod(0)
    try:
        done = run("completion", repository)
    finally:
        repository.chmod(0o755)
    assert done.returncode == 2
    assert "cannot be read" in done.stderr


def test_a_missing_model_says_how_to_get_it(empty_home: Path, repository: Path) -> None:
    done = run("completion", repository)
    assert done.returncode == 1
    assert "tandem models pull" in done.stderr


def test_a_model_behind_a_server_is_not_measured(
    tiny_home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_ENDPOINT", "http://127.0.0.1:9/v1")
    done = run("completion", repository)
    assert done.returncode == 2
    assert "only models here are measured" in done.stderr


@pytest.fixture
def store(empty_home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The tiny model in the store, with an adapter that the repository may use."""
    monkeypatch.setenv("TANDEM_MODEL", "tiny")
    monkeypatch.setenv("TANDEM_ENGINE__THREADS", "1")
    (repository / ".git").mkdir()
    store = Store()
    store.add("ours", seed=1, repository=repository)
    return store


def test_an_adapter_is_measured_over_the_model(store: Store, repository: Path) -> None:
    file = repository.parent / "figures.json"
    done = run("completion", repository, "--n", 4, "--adapter", "ours", "--json", file)
    assert done.returncode == 0, done.stderr
    report = Report.from_json(json.loads(file.read_text()))
    assert report.variants == ("base, left to right", "ours")
    # A random adapter on a random model: other answers, and other losses.
    assert report.difference("ours", "base, left to right", "all", "loss").mean != 0


def test_the_adapter_that_a_repository_uses_is_measured_unasked(
    store: Store, repository: Path
) -> None:
    registry.activate("ours", repository, store.base)
    done = run("completion", repository, "--n", 2)
    assert done.returncode == 0, done.stderr
    assert "ours" in done.stdout


def test_a_stale_adapter_in_use_is_told_and_left_out(store: Store, repository: Path) -> None:
    registry.activate("ours", repository, store.base)
    store.change_base()
    done = run("completion", repository, "--n", 2)
    assert done.returncode == 0, done.stderr
    assert "Adapter ours is stale" in done.stderr
    assert "ours" not in done.stdout
    named = run("completion", repository, "--n", 2, "--adapter", "ours")
    assert named.returncode == 1
    assert "tandem tune" in named.stderr


def test_the_shipped_difference_is_measured_beside_the_base(
    tandem_home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether there is one is up to this version; what is served is what is measured."""
    from completion import models
    from completion.engine import shipped

    monkeypatch.setenv("TANDEM_ENGINE__THREADS", "1")
    found = models.resolve(models.DEFAULT)
    names = [one.name for one in eval_cli._variants(repository, "")]
    merged = [models.DEFAULT] if shipped.of(found) else []
    assert names == ["base, left to right", *merged]
