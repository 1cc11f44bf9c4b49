"""Tests that a model wrote: where they go, and real runs of them in the sandbox."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.probes import check
from tandem import new_tests
from tandem.errors import TandemError
from tests.docker_support import docker_client, image  # noqa: F401
from tests.lsp_client import environment
from tests.scripted_chat import says, scripted

PAGING = Path(__file__).parents[1] / "examples" / "paging"
TESTS = """from paging import count


def test_of_one_page():
    assert count(0, 10) == 1


def test_that_is_wrong():
    assert count(0, 10) == "nothing like it"
"""


@pytest.fixture
def trusted(docker_client, image: str, empty_home: Path) -> Path:  # noqa: F811
    """User folders of which the sandbox is known to hold."""
    check.remember(docker_client, image)
    return empty_home


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "paging"
    shutil.copytree(PAGING, folder)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def test_they_go_where_the_repository_has_its_own(tmp_path: Path) -> None:
    source = tmp_path / "shop.py"
    assert new_tests.file_for(source, tmp_path) == tmp_path / "test_shop.py"
    (tmp_path / "tests").mkdir()
    assert new_tests.file_for(source, tmp_path) == tmp_path / "tests" / "test_shop.py"
    (tmp_path / "tests" / "test_shop.py").touch()
    assert new_tests.file_for(source, tmp_path) == tmp_path / "tests" / "test_shop_2.py"
    assert new_tests.file_for(source, None) == tmp_path / "test_shop.py"


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("a.py", "a"),
        ("src/pack/a.py", "pack.a"),
        ("pack/__init__.py", "pack"),
        ("__init__.py", "__init__"),
    ],
)
def test_a_model_is_told_how_to_import(tmp_path: Path, path: str, module: str) -> None:
    assert new_tests.wish(tmp_path / path, tmp_path).endswith(f"from {module}.")


def test_of_other_languages_nothing_is_said(tmp_path: Path) -> None:
    assert new_tests.wish(tmp_path / "a.js", tmp_path) == ""


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("mine\n")
    with pytest.raises(TandemError, match="Cannot write"):
        new_tests.create(tmp_path / "test_a.py", "x = 1")
    assert (tmp_path / "test_a.py").read_text() == "mine\n"


@pytest.mark.usefixtures("trusted")
def test_they_are_run_on_a_copy(repository: Path) -> None:
    before = sorted(path for path in repository.rglob("*") if ".git" not in path.parts)
    outcome = new_tests.run(repository, repository / "tests" / "test_new.py", TESTS)
    assert outcome.passed == ["tests/test_new.py::test_of_one_page"], outcome.told
    assert [name.split(" ")[0] for name in outcome.failed] == [
        "tests/test_new.py::test_that_is_wrong"
    ]
    assert "nothing like it" in outcome.told
    assert str(outcome) == "1 passed, 1 failed"
    assert before == sorted(path for path in repository.rglob("*") if ".git" not in path.parts)


@pytest.mark.usefixtures("trusted")
def test_code_that_cannot_even_be_read_is_told(repository: Path) -> None:
    outcome = new_tests.run(repository, repository / "tests" / "test_new.py", "def test_(:\n")
    assert outcome.passed == []
    assert "SyntaxError" in outcome.told


def test_a_chat_writes_tries_and_saves_them(repository: Path, trusted: Path) -> None:
    with scripted(says(f"```python\n{TESTS}```")) as server:
        done = subprocess.run(
            [sys.executable, "-m", "tandem", "chat"],
            input="/tests paging.py\ny\n",
            capture_output=True,
            text=True,
            cwd=repository,
            env={**environment(trusted), "TANDEM_CHAT__ENDPOINT": server.url},
            timeout=250,
        )
    assert done.returncode == 0, done.stderr
    assert "In the sandbox: 1 passed, 1 failed." in done.stdout
    saved = [path for path in (repository / "tests").iterdir() if path.read_text() == TESTS]
    assert len(saved) == 1
