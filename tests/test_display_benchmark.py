"""The display gate's benchmark: what counts as accepted, and the run from kept answers."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.display_gate import rows_of
from benchmarks.parts import suggestions
from benchmarks.parts.suggestions import Suggestion

REPOSITORY = Path(__file__).parent.parent
TEXT = "def total(values):\n    result = sum(values)\n    return result\n"
START = TEXT.index("result")
END = len(TEXT) - 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "total.py"
    found.write_text(TEXT)
    return found


def at(file: Path, offset: int, shown: str, stretch: int = 0, sure: float = -0.1) -> Suggestion:
    return Suggestion("here", str(file), stretch, offset, END, shown, (sure, sure))


@pytest.mark.parametrize(
    ("shown", "accepted"),
    [
        ("result = sum(values)\n    return result", 38),
        ("result = sum(values)\n", 20),
        ("result = sum(values)\n    return 1", 20),  # its first line
        ("result = ", 8),
        ("result = max(values)", 0),
        ("other", 0),
    ],
)
def test_what_the_file_holds_is_accepted(file: Path, shown: str, accepted: int) -> None:
    one = at(file, START, shown)
    assert one.accepted == accepted
    assert one.behind == START + accepted
    assert one.text == (TEXT[:START], TEXT[END:])


def test_who_accepts_is_behind_it_and_who_types_through_sees_no_new_one(file: Path) -> None:
    found = [
        at(file, START, "rest"),
        at(file, START + 2, "st"),  # typed through
        at(file, START + 2, "sult = sum"),
        at(file, START + 4, "lt = sum(values)"),  # in what was accepted
        at(file, START + 13, "values)"),
    ]
    rows = rows_of(found)
    assert [row.characters for row in rows] == [0, 10, 7]
    assert "took" not in rows[0].features
    assert [row.features["took_last"] for row in rows[1:]] == [0, 1]
    assert len({row.group for row in rows}) == 1


def test_answers_survive_their_file(file: Path, tmp_path: Path) -> None:
    found = [at(file, START, "result"), at(file, START, "other\nmore é", 1)]
    kept = tmp_path / "rows.jsonl"
    kept.write_text("".join(f"{suggestions.save(one)}\n" for one in found))
    assert suggestions.load(kept) == found


def test_it_runs_from_kept_answers_and_prints_its_headline(tmp_path: Path) -> None:
    """Sure answers are right here, so a gate must find that out."""
    rng, lines = random.Random(1), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        source = tmp_path / name / "total.py"
        source.write_text(TEXT)
        for stretch in range(150):
            right = rng.random() < 0.5
            shown, sure = ("result = sum(values)", -0.1) if right else ("value = 1", -4.0)
            one = Suggestion(name, str(source), stretch, START, END, shown, (sure, sure))
            lines.append(suggestions.save(one))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    command = [sys.executable, "-m", "benchmarks.display_gate", "--rows", tmp_path / "rows.jsonl"]
    command += ["--train", tmp_path / "one", "--held-out", tmp_path / "two"]
    command += ["--json", tmp_path / "figures.json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("headline: display_gate_gain +")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["trained"]["repositories"] == ["one"]
    assert found["gate"]["shown"] == 150
    assert found["gate"]["lost"] == 0
    assert found["gate"]["hidden"] == 150 - found["gate"]["accepted"]
