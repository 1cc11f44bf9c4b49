"""The demo's second half: a bug fixed in front of the user, or one line that says why not."""

import os
import subprocess
import sys

import pytest

from sandbox.probes import check
from tests.docker_support import docker_client, image  # noqa: F401


def demo(**more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tandem.fix_demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, **more},
    )


@pytest.mark.usefixtures("empty_home")
def test_the_examples_bug_is_fixed(docker_client, image: str) -> None:  # noqa: F811
    check.remember(docker_client, image)
    done = demo()
    assert done.returncode == 0, done.stderr
    assert "range(first, last + 1)" in done.stdout


@pytest.mark.usefixtures("empty_home")
def test_without_docker_one_line_says_so() -> None:
    done = demo(DOCKER_HOST="tcp://127.0.0.1:1")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("Fixing a bug: skipped, ")
    assert done.stderr == ""
