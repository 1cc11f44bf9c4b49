"""The demo runs for real, without a terminal."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from completion.models import InstalledModel
from tandem.demo import choose
from tandem.errors import UsageError
from tests.lsp_client import engine_stopped_after, environment, make_home

DEMO = (sys.executable, "-m", "tandem", "demo")
SOURCE = '''def absolute(x):
    """The distance of x from zero."""
    result = abs(x)
    return result


def total(numbers):
    """The sum of the numbers."""
    return sum(numbers)
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, default_model: InstalledModel) -> Iterator[Path]:
    home = make_home(tmp_path_factory.mktemp("demo") / "home", default_model.folder)
    with engine_stopped_after(home):
        yield home


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *arguments], capture_output=True, text=True, env=environment(home)
    )


def test_the_demo_shows_ghost_text_stage_times_and_what_to_do_next(
    home: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "demo.svg"
    done = run(home, "--svg", str(picture))
    assert done.returncode == 0, done.stderr
    assert re.search(r"ghost text: \S+", done.stdout)
    for stage in ("context", "prompt", "first_token", "generate", "total"):
        assert re.search(rf"{stage} +\d+\.\d", done.stdout), stage
    assert "tandem doctor" in done.stdout
    assert "<svg" in picture.read_text()
    assert "ghost&#160;text" in picture.read_text()


def test_the_demo_takes_a_file_of_ones_own_and_leaves_it_alone(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    done = run(home, str(file))
    assert done.returncode == 0, done.stderr
    assert "mine.py, line 9" in done.stdout
    assert file.read_text() == SOURCE


def test_without_ghost_text_the_demo_fails_and_says_what_to_do(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / ".tandem.toml").write_text("[completion]\ndisabled_languages = ['python']\n")
    done = run(home, str(tmp_path / "mine.py"))
    assert done.returncode == 1
    assert "disabled for this language" in done.stdout
    assert "tandem doctor" in done.stderr


def test_a_file_that_does_not_exist_is_one_line_and_exit_code_2(home: Path) -> None:
    done = run(home, "/nowhere/file.py")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_it_pauses_after_return_and_after_an_assignment() -> None:
    lines = SOURCE.split("\n")
    typed = [lines[spot.line][: spot.pause] for spot in choose(lines)]
    assert typed == ["    result = ", "    return ", "    return "]


def test_a_file_without_statements_is_refused() -> None:
    with pytest.raises(UsageError):
        choose(["", "# nothing here"])
