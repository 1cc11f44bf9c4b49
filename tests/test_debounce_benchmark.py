"""The benchmark of waiting: its rules, and what it prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import debounce
from benchmarks.debounce import READ_MS, RESPONSES, RULES, fixed, typed

REPOSITORY = Path(__file__).parent.parent
KEYS = 600


def test_without_a_wait_every_key_is_asked_and_the_faster_the_model_the_more_is_seen() -> None:
    found = [typed(fixed(0), response, KEYS) for response in RESPONSES]
    assert all(one.asked == one.keys == KEYS for one in found)
    assert [one.in_time for one in found] == sorted((one.in_time for one in found), reverse=True)
    assert all(one.seen_ms <= one.in_time * READ_MS for one in found)


def test_a_longer_wait_asks_less_and_shows_less() -> None:
    found = [typed(fixed(ms), 100, KEYS) for ms in (0, 100, 200, 400, 800)]
    for count in ([one.asked for one in found], [one.seen_ms for one in found]):
        assert count == sorted(count, reverse=True)


def test_a_key_is_in_time_only_if_it_was_asked() -> None:
    for rule in RULES.values():
        for response in RESPONSES:
            found = typed(rule, response, KEYS)
            assert 0 <= found.in_time <= found.asked <= found.keys


@pytest.mark.parametrize("response", [30, 100])
def test_ours_takes_nothing_from_a_model_that_is_fast_enough(response: int) -> None:
    assert typed(debounce.ours, response, KEYS) == typed(fixed(0), response, KEYS)


def test_ours_saves_requests_of_a_slow_model_and_keeps_most_of_what_is_seen() -> None:
    none, own = typed(fixed(0), 300, 3000), typed(debounce.ours, 300, 3000)
    assert own.asked < none.asked / 2
    assert own.seen_ms > none.seen_ms * 0.8
    assert own.seen_ms > typed(debounce.tabby, 300, 3000).seen_ms


def test_it_prints_its_headline_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.debounce", "--quick", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith("headline: debounce_requests_saved_at_300_ms ")
    figures = json.loads(file.read_text())
    assert figures["none at 300"]["asked"] == 1000
