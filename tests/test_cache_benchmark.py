"""The benchmark of the suggestion cache runs in a minute and says what it promises."""

import json
import random
import subprocess
import sys
from pathlib import Path

from benchmarks.cache import FILE, LINES, full, long_text
from completion.cache import ENTRIES

REPOSITORY = Path(__file__).parent.parent


def test_it_prints_its_headline_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.cache", "--quick", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    name, _, value = result.stdout.splitlines()[-1].removeprefix("headline: ").partition(" ")
    figures = json.loads(file.read_text())["cpu_us"]
    assert name == "cache_lookup_us_p99"
    assert float(value) == round(figures["nothing known"]["p99"])
    assert all(row["p50"] <= row["p99"] <= row["most"] for row in figures.values())


def test_its_cache_is_full_and_its_file_as_long_as_it_says() -> None:
    text = long_text()
    assert text.count("\n") == LINES
    cache, keys = full(text, random.Random(1))
    assert len(keys) == ENTRIES
    assert all(cache.find(FILE, *key) for key in keys)
