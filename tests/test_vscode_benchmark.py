"""The benchmark of what a real VS Code adds: it runs, and says what it promises to say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.editor import cut_lines, difference
from tests.lsp_client import REPOSITORY

KEYS = 45


@pytest.mark.editors
def test_it_prints_its_headline_and_all_that_was_typed_is_saved(
    tandem_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.editor", "--quick", "--json", str(file)]
    done = subprocess.run(
        [*command, "--keys", str(KEYS)], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert (figures["keys"], figures["wrong"]) == (KEYS, "")
    added = [a - b for a, b in zip(figures["seen_ms"], figures["server_ms"], strict=True)]
    assert added, "no place had a suggestion"
    parts = [sum(parts.values()) for parts in figures["parts_ms"]]
    assert parts == pytest.approx(figures["seen_ms"], abs=0.01)
    name, _, value = done.stdout.splitlines()[-1].removeprefix("headline: ").partition(" ")
    assert name == "vscode_adds_ms"
    assert min(added) - 1 <= float(value) <= max(added) + 1
    assert min(figures["host_mb"]) > 0
    assert min(figures["server_mb"]) > 0


def test_a_difference_is_told_with_its_place() -> None:
    assert difference("abc", "abc") == ""
    assert difference("abcd", "abxd") == "at 2: 'xd' for 'cd'"
    assert difference("abc", "ab") == "at 2: '' for 'c'"


def test_lines_are_cut_where_their_next_character_is_typed() -> None:
    text = "def a(x):\n    first_name = second_name + x\n    return first_name * 22222\n"
    cut, places = cut_lines(text, 2)
    assert [line for line, _, _ in places] == [2, 3]
    for line, column, key in places:
        before, whole = cut.split("\n")[line - 1], text.split("\n")[line - 1]
        assert whole.startswith(before + key)
        assert len(before) == column - 1
