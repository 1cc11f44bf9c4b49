"""The picture of a training run."""

import json
from pathlib import Path

import pytest

from finetune.curve import draw, smoothed


@pytest.fixture
def log(tmp_path: Path) -> Path:
    lines = [{"step": 0, "number": 0, "seconds": 0.1, "validation": 2.5}]
    for step in range(1, 31):
        rate = 1e-4 * min(1, step / 5)
        lines.append({"step": step, "tokens": step * 2000, "loss": 2.5 - step / 30, "rate": rate})
    lines.append({"step": 30, "number": 1, "seconds": 9.1, "validation": 1.6})
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.mark.parametrize(("name", "magic"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG")])
def test_a_log_becomes_a_picture(name: str, magic: bytes, log: Path, tmp_path: Path) -> None:
    draw(log, tmp_path / name, "a title")
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_run_that_did_not_begin_has_a_picture_too(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    draw(tmp_path / "log.jsonl", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_running_mean_is_fair_from_the_first_step_on() -> None:
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    first, second = smoothed([2.0, 4.0])
    assert first == pytest.approx(2.0)
    assert 2.9 < second < 3.1
