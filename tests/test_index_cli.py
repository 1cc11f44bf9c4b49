"""`tandem index`: what it prints, how it fails, and that it follows a tree that changes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from completion.index import Index
from tandem import cli
from tests.index_trees import TREE, make

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    return make(tmp_path / "work")


def test_it_says_what_it_indexed_and_what_not(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(root, {"notes.txt": "x\n", ".gitignore": "use.py\n"})
    assert cli.run(["index", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{len(TREE) - 1} files, ")
    assert lines[1].startswith(f"{len(TREE) - 1} read, 0 removed in ")
    assert lines[2] == "Left out: 1 ignored, 2 no source"


def test_json_has_all_figures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["index", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["v"], found["files"], found["changed"]) == (1, len(TREE), len(TREE))
    assert found["source"] == sum((root / path).stat().st_size for path in TREE)
    assert found["size"] > 0
    assert found["symbols"] >= 8
    assert found["skipped"] == {}
    assert cli.run(["index", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == len(TREE)


def test_without_a_path_it_is_the_folder_one_stands_in(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert cli.run(["index", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == len(TREE)


def test_a_path_that_is_no_folder_is_told_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["index", str(root / "none")]) == 2
    error = capsys.readouterr().err
    assert error == f"tandem: {root / 'none'} is no folder. Name a folder of source files.\n"


def test_a_cache_that_cannot_be_written_is_told_and_no_failure(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "file" / "home"))
    assert cli.run(["index", str(root)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{len(TREE)} files")
    assert printed.err.splitlines()[-1].endswith("lives in memory and ends with this process.")


class Watcher:
    """`tandem index --watch` in a process, and a reader beside it."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tandem", "index", str(root), "--watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self.index = Index(root)
        assert self.process.stderr
        while "Watching" not in (line := self.process.stderr.readline()):
            assert line, "it ended before it watched"
        self._root = root
        self._until_it_sees()

    def _until_it_sees(self) -> None:
        """It says that it watches a moment before it does."""
        number = 0
        while not self.index.definitions(f"probe{number}"):
            number += 1
            (self._root / "probe.py").write_text(f"def probe{number}(): pass\n")
            time.sleep(0.3)

    def wait(self, condition: Callable[[], object]) -> None:
        """The test's own limit ends a wait that never does."""
        while not condition():
            assert self.process.poll() is None
            time.sleep(0.02)

    def end(self, sign: int) -> int:
        self.process.send_signal(sign)
        self.process.communicate()
        self.index.close()
        return self.process.returncode


@pytest.mark.timeout(60)
def test_watch_follows_files_folders_and_rules_until_interrupted(root: Path) -> None:
    watcher = Watcher(root)
    index = watcher.index
    make(root, {"new.py": "class Appeared:\n    pass\n"})
    watcher.wait(lambda: index.definitions("Appeared"))
    make(root, {"new.py": "class Changed:\n    pass\n"})
    watcher.wait(lambda: index.definitions("Changed"))
    assert index.definitions("Appeared") == []
    (root / "new.py").unlink()
    watcher.wait(lambda: not index.definitions("Changed"))
    (root / "pkg").rename(root / "renamed")
    watcher.wait(lambda: index.file("renamed/shapes.py"))
    watcher.wait(lambda: index.file("pkg/shapes.py") is None)
    make(root, {".gitignore": "renamed/\n"})
    watcher.wait(lambda: index.file("renamed/shapes.py") is None)
    assert watcher.end(signal.SIGINT) in (0, cli.INTERRUPTED)


@pytest.mark.timeout(60)
def test_a_watcher_that_is_killed_leaves_a_good_index(root: Path) -> None:
    watcher = Watcher(root)
    make(root, {"new.py": "class Appeared:\n    pass\n"})
    watcher.wait(lambda: watcher.index.definitions("Appeared"))
    watcher.end(signal.SIGKILL)
    index = Index(root)
    assert index.ready
    assert len(index.definitions("Appeared")) == 1
    index.close()
