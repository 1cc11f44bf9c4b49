"""The benchmark of edits: its harms, its judge, and a run over a small history."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks import hunks as benchmark
from benchmarks.parts import harms
from benchmarks.parts.harms import Row
from sandbox.hunks import Edit, apply
from tests.repositories import MadeRepository

ROOT = Path(__file__).parent.parent
PART = """\
def part_{n}(first, second):
    whole = first + second * {n}
    if whole > limit_{n}:
        log(first, second, {n})

    return made(whole, name_{n})


"""
OLD = "".join(PART.format(n=n) for n in range(9))
NEW = OLD.replace(
    "    return made(whole, name_4)\n", "    more = 4\n    return made(whole, more)\n"
)


def cut() -> harms.Cut:
    return harms.cuts("a.py", OLD, NEW)[0]


def text(rows: list[Row], sign: str) -> str:
    return "".join(f"{line}\n" for line in harms.side(rows, sign))


line = st.sampled_from(["a", "  b", "c d", "", "e"])
lines = st.lists(line, min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(lines, lines, st.integers(0, 5))
def test_a_cut_put_in_at_its_line_gives_the_true_text(
    old: list[str], new: list[str], context: int
) -> None:
    assume(old != new)
    for one in harms.cuts("a", *("".join(f"{row}\n" for row in side) for side in (old, new))):
        for narrow in (one, harms.widened(one, context)):
            file = narrow.old.split("\n")
            end = narrow.start + len(narrow.before)
            assert file[narrow.start : end] == narrow.before
            after = harms.side(narrow.rows, "+")
            assert "\n".join([*file[: narrow.start], *after, *file[end:]]) == narrow.true


@pytest.mark.parametrize("name", sorted(harms.HARMS))
def test_each_harm_changes_the_text_and_can_be_mended(name: str) -> None:
    whole = harms.widened(cut(), benchmark.WIDE) if name == "elided" else cut()
    random, seen = Random(3), 0
    for _ in range(20):
        rows = harms.HARMS[name](list(whole.rows), random)
        if rows is None or rows == list(whole.rows):
            continue
        edit = Edit("a.py", text(rows, "-"), text(rows, "+"))
        assert f"\n{edit.before}" not in f"\n{OLD}"
        assert harms.same(apply(edit, OLD).text, whole.true, [name])
        seen += 1
    assert seen


def test_the_judge_forgives_only_the_white_space_that_was_harmed() -> None:
    assert harms.same("a \nb\n", "a\nb\n", ["trailing"])
    assert not harms.same("a \nb\n", "a\nb\n", ["tabs"])
    assert harms.same("a  =b\n", "a = b\n", ["spacing"])
    assert not harms.same("  a =b\n", "a = b\n", ["spacing"])
    assert harms.same("a\n\nb\n", "a\nb\n", ["blanks"])
    assert not harms.same("a\nc\n", "a\nb\n", list(harms.HARMS))


def test_a_wrong_application_is_called_wrong_and_a_refusal_by_what_was_due() -> None:
    def case(answer: str, true: str | None) -> benchmark.Case:
        return benchmark.Case("repeated", "call", "a.py", "x\ny\nx\n", true, (), answer)

    once = json.dumps({"path": "a.py", "before": "y\n", "after": "z\n"})
    twice = json.dumps({"path": "a.py", "before": "x\n", "after": "z\n"})
    assert benchmark.decide(case(once, "x\nz\nx\n")).verdict == "right"
    assert benchmark.decide(case(once, "x\ny\nz\n")).verdict == "wrong"
    assert benchmark.decide(case(once, None)).verdict == "wrong"
    assert benchmark.decide(case(twice, None)).verdict == "right"
    assert benchmark.decide(case(twice, "z\ny\nx\n")).verdict == "refused"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose commits each change a function or two of a file."""
    made = MadeRepository(tmp_path_factory.mktemp("history") / "shop")
    random = Random(5)
    for number in range(60):
        parts = [PART.format(n=n) for n in range(12)]
        for _ in range(3):
            at = random.randint(0, 11)
            parts[at] = parts[at].replace("    return", f"    value = {number}\n    return")
        # The same few lines in each part, so that there are places to confuse.
        alike = ["    try:\n        step()\n    finally:\n        end()\n"] * 5
        alike[random.randint(0, 4)] = (
            f"    try:\n        step({number})\n    finally:\n        end()\n"
        )
        steps = [f"def run_{n}(self):\n{body}\n\n" for n, body in enumerate(alike)]
        made.commit({"a.py": "".join(parts), "b.py": "".join(steps)})
    return made.folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.hunks", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=ROOT)


def test_a_run_decides_cases_of_each_kind_and_says_how(history: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ran = run(history, "--cases", 20, "--json", file, "--wrong")
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(file.read_text())
    assert figures["wrong"] == 0
    assert all(sum(figures["kinds"][kind].values()) >= 1 for kind in benchmark.SHARES)
    assert ran.stdout.splitlines()[-1] == f"headline: hunks_decided_rightly {figures['share']:.3f}"


def test_cases_are_the_same_for_the_same_seed(history: Path) -> None:
    first, again = (benchmark.cases([history], 20, 4) for _ in range(2))
    assert first == again
    assert first != benchmark.cases([history], 20, 5)


def test_too_few_commits_and_no_repository_are_told(history: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ((history, "--cases", 900), "of 900 cases"),
        ((tmp_path,), "cannot read"),
    ):
        ran = run(*arguments)
        assert ran.returncode == 1
        assert said in ran.stderr
        assert "Traceback" not in ran.stderr
