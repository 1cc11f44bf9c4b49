"""From a history to a mended bug: fixes are mined, seen at work in a sandbox, and found again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.probes import check
from tests.docker_support import docker_client, image  # noqa: F401

BUGGY = """\
def affordable(prices, budget):
    return [price for price in prices if price < budget]
"""
FIXED = BUGGY.replace("price < budget", "price <= budget")
TESTS = """\
from shop import affordable


def test_some():
    assert affordable([1, 9, 2], 3) == [1, 2]


def test_with_no_network():
    assert False, "fails with the fix, too"
"""
NEW_TEST = """\


def test_all_of_the_budget():
    assert affordable([5, 3], 3) == [3]
"""


@pytest.fixture
def clones(tmp_path: Path) -> Path:
    folder = tmp_path / "clones" / "shop"
    (folder / "tests").mkdir(parents=True)
    (folder / "conftest.py").write_text("")
    git(folder, "init", "-q")
    commit(folder, "start", BUGGY, TESTS)
    commit(folder, "Fix what costs all of the budget", FIXED, TESTS + NEW_TEST)
    return folder.parent


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, message: str, source: str, tests: str) -> None:
    (folder / "shop.py").write_text(source)
    (folder / "tests" / "test_shop.py").write_text(tests)
    git(folder, "add", ".")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", message)


def run(name: str, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=400, env=os.environ
    )


def test_a_fix_is_mined_seen_at_work_and_found_again(
    clones: Path,
    tmp_path: Path,
    docker_client,  # noqa: F811
    image: str,  # noqa: F811
    empty_home: Path,
) -> None:
    check.remember(docker_client, image)
    cases, shown = tmp_path / "cases", tmp_path / "shown"
    done = run("mine_fixes", clones / "shop", "--out", cases)
    assert done.returncode == 0, done.stderr
    for half in ("first", "second"):  # it is in one of them
        (cases / half).mkdir(exist_ok=True)
    done = run("reproduce", cases, "--clones", clones, "--out", shown)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("headline: fixes_shown 1")
    (file,) = shown.rglob("*.json")
    case = json.loads(file.read_text())
    assert case["mended"] == ["tests/test_shop.py::test_all_of_the_budget"]
    assert case["others"] == ["tests/test_shop.py::test_with_no_network"]
    figures = tmp_path / "figures.json"
    words = ("--no-model", "--seconds", "60", "--json", figures)
    done = run("repair", "--cases", shown, "--clones", clones, *words)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(figures.read_text())["rows"]
    assert row["fixed"], row
    assert row["same"], row


def test_cases_are_not_written_into_this_repository(tmp_path: Path) -> None:
    here = Path(__file__).parents[1] / "cases"
    done = run("reproduce", tmp_path, "--clones", tmp_path, "--out", here)
    assert done.returncode == 1
    assert "stays outside" in done.stderr
    assert not here.exists()


def test_cases_of_which_no_test_is_known_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"repository": "a"}')
    done = run("repair", "--cases", tmp_path, "--clones", tmp_path, "--no-model")
    assert done.returncode == 1
    assert "benchmarks.reproduce" in done.stderr
