"""What fixed what: kept by workspace, bounded, without secrets, found again by its symptom."""

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from sandbox import episodes, symptom
from sandbox.episodes import Episode
from sandbox.fixrun import Order, RunFolder
from sandbox.suite import Frame, TestResult
from sandbox.symptom import Symptom, likeness
from tandem.cli import run
from tandem.errors import UsageError

BEFORE = "def pages(first, last):\n    return list(range(first, last))\n"
AFTER = BEFORE.replace("last))", "last + 1))")
OFF_BY_ONE = Symptom("AssertionError", "assert [0, 0] == [0, 0, 0]", ("test_pages",), "assert x")
NO_KEY = Symptom("KeyError", "'…'", ("test_rows", "row_of"), "row_of({})")
KEY = "sk-" + "abcdefghij0123456789ABCDEF"

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


def keep(
    repository: Path,
    run_id: str = "r1",
    seen: Symptom = OFF_BY_ONE,
    after: str = AFTER,
    before: str = BEFORE,
) -> Episode:
    files = {"shop.py": after}
    return episodes.remember(repository, run_id, [seen], files, {"shop.py": before}, "number")


def test_an_episode_comes_back_whole(repository: Path) -> None:
    kept = keep(repository)
    assert episodes.known(repository) == [kept]
    assert kept.symptoms == (OFF_BY_ONE,)
    assert kept.pattern == "list(range(_0, _1))  →  list(range(_0, _1 + 1))"
    assert "+    return list(range(first, last + 1))" in kept.diff


def test_the_same_patch_of_a_run_is_kept_once(repository: Path) -> None:
    keep(repository)
    keep(repository)
    assert len(episodes.known(repository)) == 1


def test_workspaces_do_not_share(repository: Path, tmp_path: Path) -> None:
    keep(repository)
    assert episodes.known(tmp_path) == []


def test_the_file_is_ones_own_and_has_a_version(repository: Path) -> None:
    keep(repository)
    file = episodes.file_of(repository)
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text())["v"] == episodes.FORMAT


def test_the_oldest_go(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "KEPT", 3)
    for number in range(5):
        keep(repository, f"r{number}")
    assert [one.run for one in episodes.known(repository)] == ["r2", "r3", "r4"]


def test_lines_that_are_none_are_passed_over(repository: Path) -> None:
    kept = keep(repository)
    with episodes.file_of(repository).open("a") as stream:
        stream.write('{"v": 1, "id"\n[]\n{"v": 99}\nnull\n' + '{"v": 1, "rules": 3}\n')
    assert episodes.known(repository) == [kept]


def test_no_secret_is_kept(repository: Path) -> None:
    result = TestResult("tests/test_a.py::t", "failed", 0.1, f"bad key {KEY}", "ValueError")
    seen = Symptom.of(result, {})
    keep(repository, seen=seen, after=AFTER.replace("last + 1", f'last + len("{KEY}")'))
    text = episodes.file_of(repository).read_text()
    assert KEY not in text
    assert "REDACTED" in text
    assert episodes.known(repository)[0].rules == ()


def test_a_huge_patch_is_kept_as_its_beginning(repository: Path) -> None:
    long = BEFORE + "\n".join(f"x{n} = {n}" for n in range(5000)) + "\n"
    kept = keep(repository, after=long)
    assert len(kept.diff) <= episodes.LONGEST + 2
    assert kept.rules == ()


def test_a_change_of_several_files_keeps_the_rules_of_each(repository: Path) -> None:
    old = {"a.py": BEFORE, "b.py": "def f(x):\n    return x\n", "c.txt": "1\n"}
    new = {"a.py": AFTER, "b.py": "def f(x):\n    return x or 0\n", "c.txt": "2\n", "d.py": "y\n"}
    kept = episodes.remember(repository, "r", [], new, old, "agent")
    assert [rule.old for rule in kept.rules][-1] == "_0"
    assert kept.path == "a.py, b.py, c.txt, d.py"


def _keep_one(repository: Path, number: int) -> None:
    keep(repository, f"r{number}")


def test_two_processes_lose_nothing(repository: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_keep_one, [repository] * 12, range(12)))
    assert {one.run for one in episodes.known(repository)} == {f"r{n}" for n in range(12)}


def test_the_likest_symptom_comes_first(repository: Path) -> None:
    keep(repository, "far", NO_KEY)
    keep(repository, "near")
    kept = episodes.known(repository)
    first, alike = episodes.similar(kept, [OFF_BY_ONE])[0]
    assert (first.run, alike) == ("near", 1.0)
    made, priors = episodes.templates(kept, [OFF_BY_ONE])
    assert list(made) == list(priors)
    assert priors[f"memory.{first.id}"] == episodes.ALIKE
    assert episodes.UNLIKE <= min(priors.values()) < episodes.ALIKE / 4


def test_what_is_not_alike_is_no_example(repository: Path) -> None:
    keep(repository, seen=NO_KEY)
    assert episodes.similar(episodes.known(repository), [OFF_BY_ONE]) == []


def test_examples_are_whole_ones_within_the_limit(repository: Path) -> None:
    kept = [keep(repository, f"r{n}") for n in range(3)]
    one = episodes.rendered(kept[:1])
    assert one.startswith("Failed with: AssertionError: assert [0, 0]")
    assert "+    return list(range(first, last + 1))" in one
    assert episodes.rendered(kept, most=len(one) * 2) == f"{one}\n{one}"
    assert episodes.rendered(kept, most=10) == ""


def test_forgetting_one_old_ones_and_all(repository: Path) -> None:
    first, second, third = (keep(repository, f"r{n}") for n in range(3))
    assert episodes.forget(repository, second.id) == 1
    assert episodes.known(repository) == [first, third]
    assert episodes.forget(repository, before=third.time) == 1
    assert episodes.known(repository) == [third]
    assert episodes.forget(repository) == 1
    assert episodes.known(repository) == []
    assert not episodes.file_of(repository).exists()
    with pytest.raises(UsageError, match="no episode"):
        episodes.forget(repository, first.id)


def test_a_symptom_has_no_values_of_one_run() -> None:
    text = "from shop import pages\n\n\ndef test_pages():\n    assert pages(1, 3) == [1, 2, 3]\n"
    frames = (Frame("tests/test_shop.py", 5, "test_pages"), Frame("shop.py", 2, "pages"))

    def seen(message: str) -> Symptom:
        result = TestResult("t", "failed", 0.1, message, "ValueError", frames)
        return Symptom.of(result, {"tests/test_shop.py": text})

    one = seen("no page 'é' at 0x7f3a of /tmp/a/b.txt, 17 left")
    assert one == seen('no page "k" at 0x11 of /home/c/d.py, 3.5 left')
    assert one.functions == ("test_pages", "pages")
    assert one.assertion == "assert pages(0, 0) == [0, 0, 0]"


def test_likeness_is_one_for_the_same_and_symmetric() -> None:
    assert likeness(NO_KEY, NO_KEY) == pytest.approx(1.0)
    assert likeness(NO_KEY, OFF_BY_ONE) == likeness(OFF_BY_ONE, NO_KEY) < 0.3
    assert symptom.likest([], [NO_KEY]) == 0.0


def test_symptoms_wait_in_the_runs_folder(repository: Path) -> None:
    folder = RunFolder.new(Order(str(repository)))
    assert folder.symptoms() == ()
    folder.keep_symptoms([OFF_BY_ONE, NO_KEY])
    assert RunFolder.known(folder.id).symptoms() == (OFF_BY_ONE, NO_KEY)


def test_the_command_lists_shows_and_forgets(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = keep(repository, seen=Symptom("\x1b[31mError", "m"))
    place = ["-C", str(repository)]
    assert run(["memory", "list", *place]) == 0
    out = capsys.readouterr().out
    assert kept.id in out
    assert "\x1b" not in out
    assert run(["memory", "list", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"][0]["id"] == kept.id
    assert run(["memory", "show", kept.id, *place]) == 0
    assert "range(_0, _1 + 1)" in capsys.readouterr().out
    assert run(["memory", "forget", "--older", "1d", *place]) == 0
    assert "Forgotten: 0 episodes." in capsys.readouterr().out
    assert run(["memory", "forget", kept.id, *place]) == 0
    assert "Forgotten: 1 episode." in capsys.readouterr().out
    assert run(["memory", "list", *place]) == 0
    assert "Nothing is remembered" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["forget"], ["forget", "x", "--all"], ["forget", "--older", "soon"], ["show", "x"]],
)
def test_wrong_usage_is_told_in_one_line(
    words: list[str], repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["memory", *words, "-C", str(repository)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_old_episodes_are_forgotten_by_age(repository: Path) -> None:
    keep(repository)
    file = episodes.file_of(repository)
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "time": time.time() - 40 * 86_400}) + os.linesep)
    assert run(["memory", "forget", "--older", "30d", "-C", str(repository)]) == 0
    assert episodes.known(repository) == []
