"""The picture of a training run."""

import json
from pathlib import Path

import numpy as np
import pytest

from finetune.curve import draw, read, smooth
from tandem.errors import UsageError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    lines = [{"step": 0, "number": 0, "seconds": 0.1, "validation": 2.5}]
    for step in range(1, 31):
        lines.append(
            {
                "step": step,
                "tokens": step * 2000,
                "middle": None if step == 3 else 2.5 - step / 30,
                "prefix": 1.8 - step / 40,
                "rate": 1e-4 * min(1, step / 5),
            }
        )
    lines.append({"step": 30, "number": 1, "seconds": 9.1, "validation": 1.6})
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.mark.parametrize(("name", "magic"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG")])
def test_a_log_becomes_a_picture(name: str, magic: bytes, log: Path, tmp_path: Path) -> None:
    draw(log, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_the_same_log_gives_the_same_picture(log: Path, tmp_path: Path) -> None:
    draw(log, tmp_path / "a.svg")
    draw(log.parent, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_steps_and_validations_are_told_apart(log: Path) -> None:
    steps, validations = read(log)
    assert [record["step"] for record in steps] == list(range(1, 31))
    assert [record["validation"] for record in validations] == [2.5, 1.6]


def test_the_running_mean_is_fair_from_the_first_step_on() -> None:
    assert smooth(np.full(5, 3.0)) == pytest.approx(np.full(5, 3.0))
    gap = smooth(np.array([np.nan, 2.0, np.nan, 4.0]))
    assert np.isnan(gap[0])
    assert gap[1:3].tolist() == pytest.approx([2.0, 2.0])
    assert 2.0 < gap[3] < 4.0


@pytest.mark.parametrize("content", ["", "{", None])
def test_what_is_no_log_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(UsageError):
        draw(tmp_path / "log.jsonl", tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


def test_other_kinds_of_pictures_are_refused(log: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.svg or \.png"):
        draw(log, tmp_path / "a.pdf")
