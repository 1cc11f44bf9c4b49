"""The benchmarks of suspects and of candidates, as people run them, on programs of ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.localize import faulty
from tests.docker_support import docker_client, image  # noqa: F401
from tests.local_tests import write

BUGGY = '''\
def smaller(a, b):
    """The smaller one."""
    if a > b:
        return a
    return b
'''
CORRECT = BUGGY.replace("a > b", "a < b").replace("The smaller", "Of two the smaller")


def test_the_faulty_lines_are_where_statements_differ() -> None:
    assert faulty(BUGGY, CORRECT) == {3}
    assert faulty(BUGGY, BUGGY) == set()
    assert faulty(BUGGY, BUGGY.replace("return a", "return  a  # so")) == set()


def test_something_missing_is_between_its_neighbours() -> None:
    assert faulty("x = 1\ny = 2\nz = 3\n", "x = 1\ny = 2\nw = 5\nz = 3\n") == {2, 3}
    assert faulty("x = 1\n", "w = 0\nx = 1\n") == {1}


@pytest.mark.usefixtures("image")
def test_the_benchmark_ranks_the_faulty_line(tmp_path: Path) -> None:
    test = (
        "import pytest\nfrom python_programs.smaller import smaller\n\n\n"
        "@pytest.mark.parametrize('a,b', [(1, 2), (2, 1), (3, 3)])\n"
        "def test_smaller(a, b):\n    assert smaller(a, b) == min(a, b)\n"
    )
    files = {
        "python_programs/smaller.py": BUGGY,
        "correct_python_programs/smaller.py": CORRECT,
        "python_testcases/test_smaller.py": test,
        "json_testcases/none": "",
        "conftest.py": "",
    }
    root, figures = write(tmp_path / "bugs", files), tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.localize",
        str(root),
        "--json",
        str(figures),
        "--show",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "headline: quixbugs_faulty_line_in_top_5 1/1"
    assert "if a > b:" in done.stdout
    assert json.loads(figures.read_text())["programs"]["smaller"]["rank"] in (1, 2, 3)


@pytest.mark.usefixtures("image")
def test_candidates_are_counted_beside_whole_runs(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.tester",
        "--candidates",
        "20",
        "--json",
        str(figures),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("headline: candidates_per_second ")
    told = json.loads(figures.read_text())
    assert told["test_server"]["per_second"] > 0
    assert told["whole_pytest"]["cpu_ms"] > 0
