"""Fixtures that tests of editors and protocols share; `conftest.py` hands them to all.

bare_home   user folders without a model
work        a folder for a test's own files
paging      a repository whose tests fail, and which `tandem fix` can mend
proved      a sandbox on this machine that is known to hold, as `tandem fix` wants it
"""

import shutil
from pathlib import Path

import docker
import pytest

from sandbox.probes import check
from tests.docker_support import docker_client, image
from tests.lsp_client import REPOSITORY, make_home
from tests.repositories import MadeRepository

__all__ = ["FAILED", "bare_home", "docker_client", "image", "paging", "proved", "work"]
FAILED = pytest.StashKey[bool]()  # of a test: whether it failed, for fixtures that end after it


@pytest.fixture
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = make_home(tmp_path / "home", None)
    monkeypatch.setenv("TANDEM_HOME", str(home))
    return home


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def paging(work: Path) -> MadeRepository:
    made = MadeRepository(work / "repository")
    shutil.copytree(REPOSITORY / "examples" / "paging", made.folder, dirs_exist_ok=True)
    made.commit({})
    return made


@pytest.fixture
def proved(
    docker_client: docker.DockerClient,
    image: str,
    bare_home: Path,
) -> None:
    check.remember(docker_client, image)
