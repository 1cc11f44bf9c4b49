"""`tandem context`: the pieces, their reasons, tokens and milliseconds, for people and programs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lsp_client import environment

UTIL = 'def format_price(cents: int) -> str:\n    """Cents as people read them."""\n'
APP = "from util import format_price\n\nprint(format_price(\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / ".git").mkdir(parents=True)
    (root / "util.py").write_text(UTIL)
    (root / "app.py").write_text(APP)
    return root


def run(home: Path, *arguments: object, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tandem", "context", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**environment(home), **extra},
        timeout=120,
    )


def at(repository: Path) -> tuple[object, ...]:
    return repository / "app.py", "--line", 3, "--col", len("print(format_price(")


def test_json_has_the_pieces_with_reasons_tokens_and_milliseconds(
    repository: Path, tandem_home: Path
) -> None:
    done = run(tandem_home, *at(repository), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    [piece] = told["pieces"]
    assert piece["path"] == "util.py"
    assert piece["symbol"] == "format_price"
    assert piece["source"] == "callees"
    assert piece["reason"] == "imported from util"
    assert piece["text"].startswith("def format_price(cents: int) -> str:")
    assert 0 < piece["tokens"] == told["tokens"] <= 320
    assert {"scope", "callees", "merge", "total"} <= told["ms"].keys()


def test_people_see_the_same_with_a_sum(repository: Path, tandem_home: Path) -> None:
    done = run(tandem_home, *at(repository))
    assert done.returncode == 0, done.stderr
    assert "util.py:1 format_price  callees: imported from util" in done.stdout
    assert "1 pieces" in done.stdout
    assert "of 320 tokens" in done.stdout


def test_the_index_follows_the_files_from_run_to_run(repository: Path, tandem_home: Path) -> None:
    run(tandem_home, *at(repository))
    (repository / "util.py").write_text(UTIL.replace("cents: int", "euros: float"))
    done = run(tandem_home, *at(repository), "--json")
    assert "euros: float" in json.loads(done.stdout)["pieces"][0]["text"]


def test_a_smaller_budget_is_kept(repository: Path, tandem_home: Path) -> None:
    done = run(tandem_home, *at(repository), "--json", "--tokens", 20)
    assert json.loads(done.stdout)["tokens"] <= 20


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("app.py", "--line", 99, "--col", 0), "Line 99 does not exist"),
        (("app.py", "--line", 3, "--col", 99), "Column 99 does not exist"),
        (("gone.py", "--line", 1, "--col", 0), "Cannot read"),
    ],
)
def test_a_place_that_is_not_there_is_one_line_on_stderr(
    repository: Path, tandem_home: Path, place: tuple[object, ...], message: str
) -> None:
    done = run(tandem_home, repository / str(place[0]), *place[1:])
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_where_context_is_off_it_says_how_to_see_some(repository: Path, tandem_home: Path) -> None:
    done = run(tandem_home, *at(repository), TANDEM_COMPLETION__CONTEXT_TOKENS="0")
    assert done.returncode == 2
    assert "--tokens 320" in done.stderr
