"""`tandem eval completion --context`, as a person runs it, with the retrieval that editors get."""

import json
from pathlib import Path

import pytest

from finetune.context import ALL, ALWAYS, LONGER, NONE
from finetune.report import Report
from tandem import cli
from tests.test_cross_file import made
from tests.test_eval_cli import interrupted_at, model, run, tiny_home

__all__ = ["model", "tiny_home"]  # fixtures


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return made(tmp_path / "repo", users=6)


@pytest.fixture
def small(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model reads 256 tokens, with a template that has a place for pieces."""
    monkeypatch.setenv("TANDEM_TEMPLATE", "tandem")
    monkeypatch.setenv("TANDEM_COMPLETION__PROMPT_TOKENS", "48")
    monkeypatch.setenv("TANDEM_COMPLETION__CONTEXT_TOKENS", "60")
    return tiny_home


def reports(file: Path) -> dict[str, Report]:
    data = json.loads(file.read_text())
    assert data["v"] == 1
    return {name: Report.from_json(report) for name, report in data["sets"].items()}


def test_both_sets_of_holes_are_filled_in_every_way(small: Path, repository: Path) -> None:
    file = repository.parent / "figures.json"
    done = run("completion", repository, "--context", "--n", 6, "--json", file)
    assert done.returncode == 0, done.stderr
    found = reports(file)
    assert list(found) == ["cross-file holes", "random holes"]
    for report in found.values():
        assert report.holes > 1
        assert report.variants[:4] == (NONE, LONGER, ALL, ALWAYS)
        assert "definitions alone" in report.variants
        assert report.difference(ALL, NONE, "all", "loss").n == report.holes
    cross = found["cross-file holes"]
    assert cross.facts["budget"] == 60
    assert 0 <= cross.rate(ALL, "all", "found").mean <= 1
    for text in ("cross-file holes", "random holes", "difference from", "gate asks", "p95"):
        assert text in done.stdout
    assert "cross-file holes 100%" in done.stderr


def test_recall_needs_no_model(
    empty_home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = repository.parent / "figures.json"
    done = run("completion", repository, "--recall-only", "--n", 30, "--json", file)
    assert done.returncode == 0, done.stderr
    (report,) = reports(file).values()
    assert report.variants[:2] == (ALL, ALWAYS)
    # Three names of a small library, all imported by name.
    assert report.rate("definitions alone", "python, names", "found").mean > 0.5
    assert report.rate(ALWAYS, "python, names", "found").mean > 0.5
    assert "python, names" in done.stdout
    assert "exact match" not in done.stdout


def test_an_interrupt_prints_what_was_measured(small: Path, repository: Path) -> None:
    asked = ("completion", repository, "--context", "--n", 60)
    out, errors = interrupted_at("tandem: cross-file holes 20%", *asked)
    assert "holes, interrupted" in out
    assert "random holes" not in out
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("setting", "arguments", "message"),
    [
        (("TEMPLATE", "plain"), ("--context",), "has no place for pieces"),
        (("COMPLETION__CONTEXT_TOKENS", "0"), ("--context",), "no context is wanted"),
        (("COMPLETION__CONTEXT_TOKENS", "0"), ("--recall-only",), "no context is wanted"),
        (("ENDPOINT", "http://127.0.0.1:9/v1"), ("--context",), "only models here"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(
    small: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: tuple[str, str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setenv(f"TANDEM_{setting[0]}", setting[1])
    assert cli.run(["eval", "completion", str(repository), *arguments]) == 2
    errors = capsys.readouterr().err.strip().split("\n")
    assert message in errors[-1]
    assert all(line.startswith("tandem: cutting holes") for line in errors[:-1])


def test_a_folder_without_such_holes_is_told(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/alone.py").write_text("def alone():\n    return 1\n" * 20)
    assert cli.run(["eval", "completion", str(tmp_path / "repo"), "--context"]) == 2
    assert "uses a name that another one defines" in capsys.readouterr().err
