"""Pictures for the docs, from the command line as a developer makes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.bootstrap import Interval
from finetune.picture import SHARES
from finetune.report import Figure, Report


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Two variants; of the holes of several lines there are too few for intervals."""
    rates = [
        Figure(variant, group, metric, interval)
        for variant in ("base", "tuned")
        for group, interval in (
            ("all", Interval(0.4, 0.3, 0.5, 51, 9)),
            ("single-line", Interval(0.4, 0.3, 0.5, 50, 9)),
            ("multi-line", Interval(0.2, None, None, 1, 1)),
        )
        for metric in SHARES
    ]
    file = tmp_path / "report.json"
    Report(("base", "tuned"), 51, 0, tuple(rates), ()).save(file)
    return file


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "finetune.picture", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_report_becomes_the_same_picture_each_time(report: Path, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        done = run("figures", report, "--to", tmp_path / name, "--title", "held out")
        assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn.startswith(b"<?xml")
    assert drawn == (tmp_path / "b.svg").read_bytes()


def test_a_log_becomes_a_picture(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"step": 1, "loss": 2.0, "rate": 0.1}) + "\n")
    assert run("loss", log, "--to", tmp_path / "a.png").returncode == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", [None, "", "{}", '{"v": 1}', '{"v": 2}'])
def test_what_is_no_report_is_refused_in_one_line(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    done = run("figures", tmp_path / "x.json", "--to", tmp_path / "a.svg")
    assert done.returncode == 2
    assert done.stderr.startswith("error: No picture can be made of")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "a.svg").exists()
