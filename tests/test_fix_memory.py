"""A fix that was applied helps the next one: real runs, from the command line, in containers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import audit, episodes
from tests.docker_support import docker_client, image  # noqa: F401
from tests.test_fix import fix, git, told, trusted  # noqa: F401

pytestmark = pytest.mark.usefixtures("trusted")

SHOP = """\
def pages(first, last):
    return list(range(first, last))


def is_yes(answer):
    return answer == "yes"
"""
TESTS = """\
from shop import is_yes, pages


def test_pages():
    assert pages(1, 3) == [1, 2, 3]


def test_no_pages():
    assert pages(3, 2) == []
"""
MORE = SHOP.replace("range(first, last)", "range(first, last + 1)") + (
    "\n\ndef years(born, now):\n    return [str(y) for y in range(born, now)]\n"
)
MORE_TESTS = """\
from shop import years


def test_years():
    assert years(1, 3) == ["1", "2", "3"]


def test_no_years():
    assert years(3, 2) == []
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "tests").mkdir(parents=True)
    (folder / "conftest.py").write_text("")
    (folder / "shop.py").write_text(SHOP)
    (folder / "tests" / "test_shop.py").write_text(TESTS)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "as it is")
    return folder


def test_what_was_applied_is_remembered_and_tried_first(repository: Path) -> None:
    done = fix(repository, "--apply", "--yes")
    assert done.returncode == 0, done.stderr
    (kept,) = episodes.known(repository)
    assert f"Remembered as {kept.id}" in done.stdout
    assert kept.symptoms[0].kind == "AssertionError"
    assert kept.rules

    (repository / "shop.py").write_text(MORE)
    (repository / "tests" / "test_years.py").write_text(MORE_TESTS)
    report = told(fix(repository, "--json"))
    assert report["ended"] == "fixed"
    right = [one for one in report["found"] if "range(born, now + 1)" in one["diff"]]
    assert right[0]["template"] == f"memory.{kept.id}"
    log = audit.file_of(report["id"]).read_text().splitlines()
    recalled = [json.loads(line) for line in log if '"recalled"' in line]
    assert list(recalled[0]["data"]["priors"]) == [f"memory.{kept.id}"]

    command = [sys.executable, "-m", "tandem", "audit", "show", report["id"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for words in ("intact", "range(born, now + 1)", f"memory.{kept.id}"):
        assert words in done.stdout


def test_what_was_not_applied_is_not_remembered(repository: Path) -> None:
    assert fix(repository).returncode == 0
    assert episodes.known(repository) == []
    command = [sys.executable, "-m", "tandem", "memory", "list", "-C", str(repository)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Nothing is remembered" in done.stdout
