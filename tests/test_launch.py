"""The trainer as a child process: results, errors, Ctrl-C, and a parent that dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from finetune import launch, train
from finetune.recipe import Recipe
from tandem.errors import TandemError, UsageError
from tests import tiny_models, tiny_samples
from tests.test_train import same, weights_of

REPOSITORY = Path(__file__).parent.parent
RECIPE = Recipe(steps=6, rank=4, alpha=8, tokens_per_step=128, row_tokens=128, precision="float32")
ENDLESS = RECIPE.but(steps=1_000_000)
SCRIPT = """
import json, sys
from pathlib import Path
from finetune import launch
from finetune.recipe import Recipe
folder = Path(sys.argv[1])
launch.in_child(
    Recipe.of(json.loads(sys.argv[2])), folder / "base", folder / "samples", folder / "out",
    on_progress=lambda progress: print(progress.step, flush=True),
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    tiny_models.make(folder / "base", "llama tied")
    tiny_samples.make(folder / "samples", 20)
    return folder


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same number everywhere: it decides in which order sums are rounded."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_child_gives_what_the_trainer_gives(folder: Path, tmp_path: Path) -> None:
    seen: list[train.Progress] = []
    result = launch.in_child(
        RECIPE, folder / "base", folder / "samples", tmp_path / "child", on_progress=seen.append
    )
    assert [progress.step for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert result.folder == tmp_path / "child" / "adapter"
    here = train.run(RECIPE, folder / "base", folder / "samples", tmp_path / "here")
    assert (result.ended, result.tokens) == (here.ended, here.tokens) == ("done", here.tokens)
    assert same(weights_of(tmp_path / "child"), weights_of(tmp_path / "here"))


def test_a_childs_error_is_raised_as_it_was(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="no readable samples") as caught:
        launch.in_child(RECIPE, folder / "base", folder / "nowhere", tmp_path / "out")
    assert caught.value.exit_code == UsageError.exit_code
    assert "Name a folder" in caught.value.hint


def test_a_child_that_breaks_is_told_with_its_last_words(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text("raise ImportError('no torch')")
    monkeypatch.setattr(launch, "environment", lambda: {"PYTHONPATH": str(tmp_path / "broken")})
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(TandemError, match="ended with code 1: ImportError: no torch"):
        launch.in_child(RECIPE, folder / "base", folder / "samples", tmp_path / "out")


def test_the_users_own_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    monkeypatch.delenv("OMP_NUM_THREADS")
    settings = launch.environment()
    assert settings["MALLOC_TOP_PAD_"] == "1"
    assert settings["MALLOC_TRIM_THRESHOLD_"] == launch.ALLOCATOR["MALLOC_TRIM_THRESHOLD_"]
    assert int(settings["OMP_NUM_THREADS"]) >= 1
    assert str(REPOSITORY) in settings["PYTHONPATH"].split(os.pathsep)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill"])
def test_the_child_saves_when_its_parent_is_stopped(
    number: signal.Signals, folder: Path, tmp_path: Path
) -> None:
    here = tmp_path / "run"
    here.mkdir()
    for name in ("base", "samples"):
        (here / name).symlink_to(folder / name)
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(here), json.dumps(ENDLESS.as_json())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "1\n"
    parent.send_signal(number)
    parent.stdout.read()
    parent.wait()
    steps: list[Path] = []
    while len(steps) < 2:  # a killed parent does not wait for its child
        steps = sorted((here / "out" / "checkpoints").glob("step-*"))
        time.sleep(0.1)
    assert steps[-1].name >= "step-00000001"
    if number == signal.SIGINT:
        assert parent.stderr is not None
        assert "KeyboardInterrupt" in parent.stderr.read()
