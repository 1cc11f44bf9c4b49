"""The commands by which another witness runs the tests."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.baseline import Baseline
from sandbox.planted import Planted
from sandbox.suite import parse
from sandbox.witness import NO_COVERAGE, USAGE_ERROR, Witnesses


def asked(folder: Path, *codes: int) -> list[list[str]]:
    """The commands that Docker was given, answering one after the other with these exit codes."""
    commands: list[list[str]] = []
    answers = iter(codes)

    def exit_code(
        argv: list[str], changed: Mapping[str, str | None], env: Mapping[str, str]
    ) -> int | None:
        commands.append(argv)
        return next(answers)

    witnesses = Witnesses(parse("pytest tests"), folder, Baseline(), Planted())
    (check,) = witnesses.of_docker(exit_code, {}, ["tests/test_a.py::test_a"])
    assert check.held == (codes[-1] == 0)
    return commands


@pytest.mark.parametrize(
    ("text", "left_out"),
    [('addopts = "--cov=shop --cov-fail-under=99"', True), ('addopts = "-ra"', False)],
)
def test_coverage_that_the_settings_ask_for_is_left_out(
    tmp_path: Path, text: str, left_out: bool
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{text}\n")
    (command,) = asked(tmp_path, 0)
    assert (NO_COVERAGE in command) == left_out


def test_without_the_plugin_neither_its_option_nor_the_settings_are_given(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --cov\n")
    first, second = asked(tmp_path, USAGE_ERROR, 0)
    assert NO_COVERAGE in first
    assert NO_COVERAGE not in second
    assert "addopts=" in second
