"""The benchmark of syntax runs in a minute and says what it promises."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.syntax import LINES, texts
from completion.languages import ROWS

REPOSITORY = Path(__file__).parent.parent


def test_it_prints_its_headline_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.syntax", "--quick", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    name, _, value = result.stdout.splitlines()[-1].removeprefix("headline: ").partition(" ")
    figures = json.loads(file.read_text())
    assert set(figures["cpu_ms_p50"]) == set(ROWS)
    assert name == "scope_key_ms_p50"
    assert float(value) == round(figures["cpu_ms_p50"]["python"]["key"], 2)


def test_its_texts_are_as_long_as_it_says() -> None:
    assert all(LINES * 0.9 < text.count("\n") <= LINES * 1.05 for text in texts().values())
