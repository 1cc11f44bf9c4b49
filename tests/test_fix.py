"""`tandem fix` from the command line, with real containers, on a small repository of ours."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.probes import check
from tests.docker_support import docker_client, image  # noqa: F401

PAGING = Path(__file__).parents[1] / "examples" / "paging"
Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.usefixtures("trusted")


@pytest.fixture
def trusted(docker_client, image: str, empty_home: Path) -> None:  # noqa: F811
    """User folders of which the sandbox is known to hold: test_sandbox_check.py tries it."""
    check.remember(docker_client, image)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "paging"
    shutil.copytree(PAGING, folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "as it is")
    return folder


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def fix(folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tandem", "fix", str(folder), "--no-model", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    return json.loads(done.stdout)


def mended(folder: Path) -> bool:
    return "range(first, last + 1)" in (folder / "paging.py").read_text()


def test_a_bug_is_fixed_with_evidence_and_the_tree_is_left_alone(repository: Path) -> None:
    done = fix(repository, "--json")
    assert done.returncode == 0, done.stderr
    report = told(done)
    assert report["ended"] == "fixed"
    assert sorted(report["failing"]) == [
        "tests/test_paging.py::test_links_at_the_end",
        "tests/test_paging.py::test_links_in_the_middle",
    ]
    best = report["found"][0]
    assert "+    return list(range(first, last + 1))" in best["diff"]
    assert best["label"] == "verified"
    assert best["rank"] >= 1
    assert report["tried"]["passed"] >= 1
    assert git(repository, "status", "--short") == ""
    verified = subprocess.run(
        [sys.executable, "-m", "tandem", "audit", "verify", report["id"]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr


def test_the_patch_is_applied_after_a_yes_with_a_way_back(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.jsonl"
    done = fix(repository, "--apply", "--yes", "--out", out, "--instance", "paging-1")
    assert done.returncode == 0, done.stderr
    assert mended(repository)
    refs = git(repository, "for-each-ref", "--format=%(refname)", "refs/tandem/backup").split()
    assert len(refs) == 1
    assert "range(first, last))" in git(repository, "show", f"{refs[0]}:paging.py")
    (line,) = out.read_text().splitlines()
    prediction = json.loads(line)
    assert prediction["instance_id"] == "paging-1"
    assert "range(first, last + 1)" in prediction["model_patch"]


def test_without_a_yes_nothing_is_applied(repository: Path) -> None:
    done = fix(repository, "--apply")
    assert done.returncode == 1
    assert "Nothing was applied" in done.stderr
    assert not mended(repository)


def test_suspicious_lines_alone(repository: Path) -> None:
    done = fix(repository, "--localize-only", "--json")
    assert done.returncode == 0, done.stderr
    first = [(one["path"], one["line"]) for one in told(done)["suspects"][:4]]
    line = next(
        n
        for n, text in enumerate((repository / "paging.py").read_text().split("\n"), 1)
        if "range(first, last)" in text
    )
    assert ("paging.py", line) in first


def test_where_nothing_fails_there_is_nothing_to_fix(repository: Path) -> None:
    file = repository / "paging.py"
    file.write_text(file.read_text().replace("range(first, last)", "range(first, last + 1)"))
    done = fix(repository)
    assert done.returncode == 0
    assert "nothing to fix" in done.stdout


def test_where_no_fix_is_found_the_exit_code_says_so(repository: Path) -> None:
    done = fix(repository, "--candidates", "2", "--json")
    assert done.returncode == 3
    report = told(done)
    assert report["found"] == []
    assert sum(report["tried"].values()) == 2


def test_a_run_goes_on_where_ctrl_c_ended_it(repository: Path) -> None:
    command = [sys.executable, "-m", "tandem", "fix", str(repository), "--no-model", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        assert one.stderr
        for line in one.stderr:
            if "trying candidates" in line:
                one.send_signal(signal.SIGINT)
                break
        out, err = one.communicate(timeout=300)
    if one.returncode == 0:
        pytest.skip("it was quicker than Ctrl-C")
    assert one.returncode == 130, err
    first = json.loads(out)
    assert f"--resume {first['id']}" in err
    done = fix(repository, "--resume", first["id"], "--json")
    assert done.returncode == 0, done.stderr
    report = told(done)
    assert report["id"] == first["id"]
    assert "range(first, last + 1)" in report["found"][0]["diff"]
    assert sum(report["tried"].values()) > sum(first["tried"].values()) > 0


def test_a_killed_run_leaves_no_container_and_can_go_on(repository: Path, docker_client) -> None:  # noqa: F811
    from tests.docker_support import containers

    command = [sys.executable, "-m", "tandem", "fix", str(repository), "--no-model"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as one:
        assert one.stderr
        for line in one.stderr:
            if b"trying candidates" in line:
                one.kill()
                break
    end = time.monotonic() + 60
    while containers(docker_client, str(one.pid)) and time.monotonic() < end:
        time.sleep(0.2)
    from sandbox import fixrun

    (id,) = fixrun.ids()
    done = fix(repository, "--resume", id, "--json")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--resume", "nothing"], 2, "There is no run nothing"),
        (["--yes"], 2, "--yes says yes to --apply"),
        (["--test", "pytest 'tests"], 2, "quotes"),
        (["--test", "pytest nowhere"], 1, "did not run"),
    ],
)
def test_bad_input_is_told_in_one_line(
    repository: Path, words: Sequence[str], code: int, said: str
) -> None:
    done = fix(repository, *words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = fix(tmp_path / "nowhere")
    assert done.returncode == 2
    assert "There is no folder" in done.stderr
