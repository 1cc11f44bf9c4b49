"""The index's benchmark runs beside the real ctags, and says what it promises to say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import index
from tandem.errors import TandemError
from tests.index_trees import make

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def root(tmp_path: Path, empty_home: Path) -> Path:
    body = "".join(f"def f{n}(a):\n    return MINE + {n}\n\n\n" for n in range(40))
    words = [f"{a}{b}" for a in "abcdefgh" for b in ("lpha", "eta", "amma", "elta", "ota")]
    tree = {f"m{n}.py": body.replace("MINE", f"{words[n % 40]}_{n}") for n in range(60)}
    return make(tmp_path / "tree", tree)


@pytest.mark.skipif(shutil.which("ctags") is None, reason="needs universal-ctags")
def test_it_measures_a_given_tree_and_leaves_it_as_it_was(root: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.index", "--quick"]
    command += ["--tree", str(root), "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    name, _, value = result.stdout.splitlines()[-1].removeprefix("headline: ").partition(" ")
    assert name == "index_over_ctags_build"
    figures = json.loads(file.read_text())
    (tree,) = figures["trees"]
    assert tree["files"] == 60
    assert float(value) == round(tree["ours"]["seconds"] / tree["ctags"]["seconds"], 2) > 0
    assert tree["ours"]["peak"] > tree["ctags"]["peak"] >= 0
    assert tree["size"] > 0
    assert set(figures["lookups_ms"]) >= {"definitions", "neighbours", "symbols_of", "text_of"}
    assert figures["saved_ms"]["ours_p50"] > 0
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_without_ctags_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TandemError, match="apt install universal-ctags"):
        index.find_ctags()


def test_trees_of_so_many_lines_are_copied(tmp_path: Path) -> None:
    tree = index.copy(tmp_path / "tree", index.is_python, 2_000_000_000, 5000)
    files = [path for path in tree.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".py"}
    lines = [path.read_bytes().count(b"\n") for path in files]
    assert sum(lines) > 5000
    assert len(lines) < 1000
