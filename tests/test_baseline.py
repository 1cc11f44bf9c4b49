"""How tests stand before a change: failing, passing, flaky, slow and endless ones."""

from pathlib import Path

import pytest

from sandbox import suspects
from sandbox.baseline import Baseline, measure
from sandbox.localize import localize
from sandbox.suite import parse
from tests.local_tests import serve, write

CODE = """\
def steps(n):
    count = 0
    while n != 1:
        n = n // 2
        count += 1
    return count


def largest(values):
    best = values[0]
    for value in values:
        if value < best:
            best = value
    return best
"""
TESTS = """\
import os
import pathlib
import time

import pytest
from work import largest, steps


@pytest.mark.parametrize("n", [1, 2, 8])
def test_steps(n):
    assert steps(n) == {1: 0, 2: 1, 8: 3}[n]


@pytest.mark.parametrize("n", [0, -4])
def test_endless(n):
    assert steps(n) == 0


def test_largest():
    assert largest([1, 5, 2]) == 5


def test_largest_of_equals():
    assert largest([3, 3]) == 3


def test_slow():
    time.sleep(4)


@pytest.mark.skip
def test_skipped(): ...


def test_flaky():
    seen = pathlib.Path(os.environ["SEEN"])
    was = seen.exists()
    seen.write_text("")
    assert was
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("work"), {"work.py": CODE, "test_work.py": TESTS})


@pytest.fixture(scope="module")
def baseline(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    seen = tmp_path_factory.mktemp("seen") / "file"
    server = serve(folder, parse(f"SEEN={seen} python -m pytest"))
    found = measure(server, patience_s=8.0)
    server.close()
    return found


def test_each_test_is_where_it_belongs(baseline: Baseline) -> None:
    name = "test_work.py::test_"
    assert {result.id.removeprefix(name): result.outcome for result in baseline.failing} == {
        "endless[0]": "timeout",
        "endless[-4]": "timeout",
        "largest": "failed",
    }
    passing = {id.removeprefix(name) for id in baseline.passing}
    assert passing == {"steps[1]", "steps[2]", "steps[8]", "largest_of_equals", "slow"}
    assert baseline.flaky == (name + "flaky",)
    assert baseline.skipped == (name + "skipped",)
    assert len(baseline.collected) == 10
    assert any("flaky" in note for note in baseline.notes)


def test_limits_follow_how_long_a_test_took(baseline: Baseline) -> None:
    slow = baseline.limits["test_work.py::test_slow"]
    assert slow >= 40
    assert baseline.limits["test_work.py::test_endless[0]"] == slow
    assert baseline.test_s < slow


def test_the_lines_of_all_tests_are_known_of_stopped_ones_too(baseline: Baseline) -> None:
    assert {3, 4, 5} <= baseline.covered["test_work.py::test_endless[0]"]["work.py"]
    assert 13 in baseline.covered["test_work.py::test_largest"]["work.py"] or (
        12 in baseline.covered["test_work.py::test_largest"]["work.py"]
    )
    assert baseline.covered["test_work.py::test_slow"].get("work.py", frozenset()) == frozenset()


def test_failing_tests_carry_frames_and_values(baseline: Baseline) -> None:
    largest = next(r for r in baseline.failing if r.id.endswith("largest"))
    assert largest.returned[-1].values["return"] == "1"
    assert largest.returned[-1].line == 14


def test_both_bugs_are_found(folder: Path, baseline: Baseline) -> None:
    sources = suspects.sources_of(folder, baseline)
    assert set(sources) == {"work.py", "test_work.py"}
    ranked = [s.line for s in localize(baseline.results, baseline.covered, sources)]
    assert {3, 12} <= set(ranked[:6])


def test_a_file_that_does_not_import_is_broken_and_said(tmp_path: Path) -> None:
    write(
        tmp_path, {"lib.py": "x = 1\ny = x.z\n", "test_lib.py": "import lib\ndef test_a(): ...\n"}
    )
    server = serve(tmp_path, parse("python -m pytest"))
    found = measure(server)
    server.close()
    assert (found.failing, found.passing) == ((), ())
    assert found.broken[0].kind == "AttributeError"
    assert "cannot be collected" in found.notes[0]
    sources = suspects.sources_of(tmp_path, found)
    ranked = localize(found.results, found.covered, sources)
    assert (ranked[0].path, ranked[0].line) == ("lib.py", 2)


def test_a_failing_command_gives_suspects_by_its_traceback(tmp_path: Path) -> None:
    write(tmp_path, {"lib.py": "def f(x):\n    return x.y\n", "check.py": "import lib\nlib.f(1)\n"})
    server = serve(tmp_path, parse("python check.py"))
    found = measure(server)
    server.close()
    sources = suspects.sources_of(tmp_path, found)
    ranked = localize(found.results, found.covered, sources)
    assert (ranked[0].path, ranked[0].line) == ("lib.py", 2)


def test_links_out_of_the_copy_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("KEY = 1\n")
    root = write(tmp_path / "repo", {"a.py": "x = 1\n"})
    (root / "link.py").symlink_to(secret)
    from sandbox.suite import Frame, TestResult

    frames = (Frame("link.py", 1, ""), Frame("a.py", 1, ""), Frame("gone.py", 1, ""))
    told = Baseline(failing=(TestResult("t", "failed", 0.1, frames=frames),))
    assert suspects.sources_of(root, told) == {"a.py": "x = 1\n"}


def test_the_table_shows_lines_scores_and_reasons_but_no_escapes(
    folder: Path, baseline: Baseline
) -> None:
    import io

    from rich.console import Console

    sources = {**suspects.sources_of(folder, baseline)}
    ranked = tuple(localize(baseline.results, baseline.covered, sources))
    sources["work.py"] = sources["work.py"].replace("value < best", "value \x1b[31m< [bold]best")
    found = suspects.Found(ranked, baseline, sources)
    written = io.StringIO()
    Console(file=written, width=200).print(suspects.table(found, most=5))
    shown = written.getvalue()
    assert "work.py:12" in shown
    assert "\x1b" not in shown
    assert "[bold]best" in shown
    assert "failing" in shown
    assert f"{len(ranked) - 5} more" in shown
