"""The folder of a fix run: written as it goes, read when it goes on."""

import json
import subprocess
from pathlib import Path

import pytest

from sandbox import fixrun
from sandbox.fixrun import Order, RunFolder
from sandbox.repair.change import Candidate
from sandbox.validate import Tried
from tandem.errors import UsageError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


@pytest.fixture
def run(repository: Path, empty_home: Path) -> RunFolder:
    return RunFolder.new(Order(str(repository), test="pytest -q", seconds=7, workers=1))


def tried(number: int) -> Tried:
    return Tried(number, Candidate("a.py", 4, 5, f"{number}é", "t", 0.5), "failing", 0.1, "t_a")


def test_an_order_comes_back(run: RunFolder, repository: Path) -> None:
    assert RunFolder.known(run.id).order() == run.order()
    assert run.order() == Order(str(repository), "pytest -q", 7, workers=1)


def test_the_copy_is_of_when_the_run_began(run: RunFolder, repository: Path) -> None:
    first = run.copy()
    (repository / "a.py").write_text("x = 2\n")
    (repository / "b.py").write_text("")
    again = RunFolder.known(run.id).copy()
    assert again == first
    assert again.text("a.py") == "x = 1\n"


def test_a_copy_that_was_cut_short_is_made_again(run: RunFolder) -> None:
    (run.root / "copy").mkdir()
    (run.root / "copy" / "half").write_text("")
    assert run.copy().files == ("a.py",)


def test_what_was_tried_comes_back_in_order(run: RunFolder) -> None:
    for number in (2, 1, 3):
        run.add(tried(number))
    assert RunFolder.known(run.id).tried() == [tried(2), tried(1), tried(3)]


def test_a_line_that_was_cut_short_is_left_out(run: RunFolder) -> None:
    run.add(tried(1))
    with (run.root / "tried.jsonl").open("a") as stream:
        stream.write('{"number": 2, "candi')
    assert run.tried() == [tried(1)]


def test_a_new_run_has_tried_nothing(run: RunFolder) -> None:
    assert run.tried() == []


@pytest.mark.parametrize("id", ["", "..", "20260101-000000-abcd", "../../etc", "x"])
def test_a_run_that_is_not_there_is_told_with_those_that_are(run: RunFolder, id: str) -> None:
    with pytest.raises(UsageError) as caught:
        RunFolder.known(id)
    assert run.id in caught.value.hint


def test_a_run_of_another_version_is_refused(run: RunFolder) -> None:
    told = json.loads((run.root / "order.json").read_text())
    (run.root / "order.json").write_text(json.dumps({**told, "v": 99}))
    with pytest.raises(UsageError, match="another version"):
        run.order()


def test_only_the_newest_runs_are_kept(run: RunFolder, repository: Path) -> None:
    for number in range(fixrun.KEPT + 3):
        (run.root.parent / f"20250101-0000{number:02}-aaaa").mkdir()
    newest = RunFolder.new(Order(str(repository)))
    assert len(fixrun.ids()) == fixrun.KEPT + 1
    assert {run.id, newest.id} <= set(fixrun.ids())


def test_a_runs_folder_is_ones_own(run: RunFolder) -> None:
    assert run.root.stat().st_mode & 0o077 == 0
