"""A small repository with a bug, and what a model says that mends it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.probes import check
from tests.docker_support import docker_client, image  # noqa: F401
from tests.scripted_chat import ScriptedChat, Turn, calls, says

PAGING = Path(__file__).parents[1] / "examples" / "paging"
WRONG = "    return list(range(first, last))"
RIGHT = "    return list(range(first, last + 1))"
PLAN = says("1. read links\n2. mend the end of the range")
MEND = calls(("edit", {"path": "paging.py", "before": WRONG, "after": RIGHT}))
TEST = calls(("run_tests", {}))
REFLECT = says("tried: another end\nwhy: a page is missing\nnext: last + 1")
TARGETS = [
    "tests/test_paging.py::test_links_at_the_end",
    "tests/test_paging.py::test_links_in_the_middle",
]


@pytest.fixture
def trusted(docker_client, image: str, empty_home: Path) -> None:  # noqa: F811
    """User folders of which the sandbox is known to hold: test_sandbox_check.py tries it."""
    check.remember(docker_client, image)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return paging(tmp_path / "paging")


def paging(folder: Path) -> Path:
    shutil.copytree(PAGING, folder)
    return committed(folder)


def committed(folder: Path) -> Path:
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "as it is")
    return folder


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def wrong(path: str = "paging.py", after: str = "    return list(range(first, last - 1))") -> Turn:
    """An edit that mends nothing."""
    return calls(("edit", {"path": path, "before": WRONG, "after": after}))


def fix(
    folder: Path, server: ScriptedChat | None, *words: str | Path, stdin: str = "", **env: str
) -> "subprocess.CompletedProcess[str]":
    """`tandem fix` with this chat model."""
    settings = {"TANDEM_CHAT__ENDPOINT": server.url} if server else {}
    command = [sys.executable, "-m", "tandem", "fix", str(folder), "--no-model", *map(str, words)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        input=stdin,
        env={**os.environ, **settings, **env},
    )


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    return json.loads(done.stdout)
