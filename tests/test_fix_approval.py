"""`tandem fix --apply` asks, over JSON lines, with the diff that it then writes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox import audit
from tests import agent_support
from tests.agent_support import MEND, PLAN, TEST
from tests.scripted_chat import calls, scripted
from tests.test_fix import docker_client, git, image, mended, repository, trusted  # noqa: F401

pytestmark = pytest.mark.usefixtures("trusted")


def fix(folder: Path, answer: str, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, the questions, and standard error."""
    command = [sys.executable, "-m", "tandem", "fix", str(folder), "--no-model", "--apply"]
    done = subprocess.run(
        [*command, "--ask-json", *words],
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"v": 1, "ask"')]
    return done.returncode, [json.loads(line) for line in lines], done.stderr


def test_a_yes_over_json_writes_the_diff_that_was_shown(repository: Path) -> None:  # noqa: F811
    code, (question,), said = fix(repository, '{"answer": 1, "yes": true}\n')
    assert code == 0, said
    assert (question["kind"], question["subject"]) == ("patch", "paging.py")
    assert "+    return list(range(first, last + 1))" in question["diff"]
    assert mended(repository)
    written = git(repository, "diff", "--no-color", "-U0").split("@@")[-1].split("\n", 1)[1]
    assert written in question["diff"]
    (log,) = audit.all_files()
    assert audit.verify(log).intact
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (decision,) = [one["data"] for one in events if one["event"] == "decision"]
    assert (decision["yes"], decision["by"]) == (True, "person")


def test_a_no_writes_nothing_and_says_so(repository: Path) -> None:  # noqa: F811
    code, questions, said = fix(repository, '{"answer": 1, "yes": false}\n')
    assert (code, len(questions)) == (1, 1)
    assert "Nothing was applied: you said no" in said
    assert not mended(repository)


def test_what_the_settings_protect_is_not_written_even_with_a_yes(
    repository: Path,  # noqa: F811
) -> None:
    (repository / ".tandem.toml").write_text("[agent]\nprotected = ['/paging.py']\n")
    code, questions, said = fix(repository, "", "--yes")
    assert (code, questions) == (1, [])
    assert "your settings protect it" in said
    assert not mended(repository)


def test_each_step_of_an_agent_is_asked_about_and_a_no_is_kept_to(
    repository: Path,  # noqa: F811
) -> None:
    """A command, a test's change and the mending edit are asked; only the second gets a no."""
    line = "from paging import Page, count, links, page"
    weaken = {"path": "tests/test_paging.py", "before": line, "after": "import paging"}
    said = "".join(
        json.dumps({"answer": n, "yes": yes}) + "\n"
        for n, yes in enumerate((True, False, True, True), 1)
    )
    turns = (PLAN, calls(("run", {"command": "ls"})), calls(("edit", weaken)), MEND, TEST)
    with scripted(*turns) as server:
        words = ("--agent", "--approve", "each", "--ask-json", "--apply")
        done = agent_support.fix(repository, server, *words, stdin=said)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"v": 1, "ask"')]
    questions = [json.loads(line) for line in lines]
    assert [(one["kind"], one["subject"]) for one in questions] == [
        ("command", "ls"),
        ("edit", "tests/test_paging.py"),
        ("edit", "paging.py"),
        ("patch", "paging.py"),
    ]
    assert "you said no" in server.texts[3]
    assert mended(repository)
    assert git(repository, "status", "--short") == " M paging.py\n"


def test_the_issue_and_the_answers_cannot_both_come_from_stdin(
    repository: Path,  # noqa: F811
) -> None:
    code, _, said = fix(repository, "x", "--issue", "-")
    assert code == 2
    assert "stdin" in said
