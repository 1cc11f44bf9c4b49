"""`tandem fix --agent` whole: real HTTP, real containers, a scripted model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.agent_support import (
    MEND,
    PLAN,
    REFLECT,
    RIGHT,
    TARGETS,
    TEST,
    WRONG,
    docker_client,  # noqa: F401
    fix,
    git,
    image,  # noqa: F401
    repository,  # noqa: F401
    told,
    trusted,  # noqa: F401
    wrong,
)
from tests.scripted_chat import calls, fails, says, scripted

pytestmark = pytest.mark.usefixtures("trusted")


def test_an_agents_patch_is_proved_as_any_other(repository: Path) -> None:  # noqa: F811
    with scripted(PLAN, MEND, TEST) as server:
        done = fix(repository, server, "--agent", "--json")
    assert done.returncode == 0, done.stderr
    report = told(done)
    assert report["ended"] == "fixed"
    assert sorted(report["failing"]) == TARGETS
    (best,) = report["found"]
    assert f"+{RIGHT}" in best["diff"]
    assert best["label"] == "verified"
    assert best["template"] == "agent, attempt 1"
    assert best["verdict"].startswith("holds in a fresh container")
    assert report["tried"] == {"passed": 1}
    assert "1. read links" in done.stderr
    assert git(repository, "status", "--short") == ""


def audit(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tandem", "audit", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def hidden(folder: Path) -> Path:
    """The bug is there, and no test sees it."""
    file = folder / "tests" / "test_paging.py"
    text = file.read_text()
    file.write_text(text[: text.index("def test_links_in_the_middle")])
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "fewer tests")
    return folder


SHOWS = """from paging import links


def test_the_last_page_is_linked_to():
    assert links(9, 9)[-1] == 9
"""
ISSUE = "The links of the last page lack the page itself: links(9, 9) ends at 8."


def write(text: str, path: str = "tests/test_issue.py") -> Any:
    return calls(("edit", {"path": path, "after": text}))


def test_a_run_that_broke_off_goes_on_and_replays_to_the_same_patch(
    repository: Path,  # noqa: F811
) -> None:
    with scripted(PLAN, wrong(), TEST, REFLECT, fails(401)) as server:
        first = fix(repository, server, "--agent", "--candidates", "1", "--json")
    assert first.returncode == 3, first.stderr
    id = told(first)["id"]
    assert "refused the token" in first.stderr
    again = calls(("edit", {"path": "paging.py", "before": "last - 1", "after": "last + 1"}))
    with scripted(again, TEST) as server:
        done = fix(repository, server, "--resume", id, "--json")
        assert len(server.bodies) == 2
    assert done.returncode == 0, done.stderr
    report = told(done)
    assert f"+{RIGHT}" in report["found"][0]["diff"]
    replayed = audit("replay", id, "--json")
    assert replayed.returncode == 0, replayed.stderr
    (one,) = json.loads(replayed.stdout)["attempts"]
    assert one["same"] is True
    assert one["diff"] == report["found"][0]["diff"]
    assert audit("verify", id).returncode == 0


def test_attempts_side_by_side_have_copies_of_their_own_and_the_tests_choose(
    repository: Path,  # noqa: F811
) -> None:
    def model(body: dict[str, Any]) -> Any:
        """The second attempt, which is asked with more warmth, is the one that mends it."""
        is_first = "tools" in body and body["temperature"] == 0
        said = json.dumps(body["messages"])
        if "tools" not in body:
            return PLAN if "give a plan" in said else REFLECT
        if is_first:
            return (
                calls(("finish", {"solved": False}))
                if "range(first, last - 1)" in said
                else wrong()
            )
        return TEST if "range(first, last + 1)" in said else MEND

    with scripted(model) as server:
        done = fix(repository, server, "--agent", "--attempts", "2", "--json")
    assert done.returncode == 0, done.stderr
    report = told(done)
    (best,) = report["found"]
    assert best["template"] == "agent, attempt 2"
    assert report["tried"] == {"passed": 1, "failing": 1}


def test_an_issue_that_no_test_shows_gets_a_test_of_the_agents_own(
    repository: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    hidden(repository)
    passes = SHOWS.replace("== 9", "!= 9")
    turns = [PLAN, write(passes), TEST, REFLECT, write("x = (\n"), calls(("open", {"path": "a"}))]
    edit = {"path": "tests/test_issue.py", "before": "!= 9", "after": "== 9"}
    turns += [calls(("edit", {**edit, "path": "paging.py"})), calls(("edit", edit)), TEST]
    with scripted(*turns, PLAN, MEND, TEST) as server:
        words = ("--agent", "--issue", "-", "--json")
        done = fix(repository, server, *words, stdin=ISSUE)
    assert done.returncode == 0, done.stderr
    assert "does not show the issue" in server.texts[3]
    assert "Only tests/test_issue.py may be written" in server.texts[7]
    report = told(done)
    assert report["reproduction"] == {"path": "tests/test_issue.py", "text": SHOWS}
    assert report["failing"] == ["tests/test_issue.py::test_the_last_page_is_linked_to"]
    (best,) = report["found"]
    assert f"+{RIGHT}" in best["diff"]
    assert "test_issue" not in best["diff"]
    assert best["label"] == "plausible"
    assert best["checks"][-1]["why"] == "the agent wrote the one that failed"
    assert git(repository, "status", "--short") == ""
    assert ISSUE in json.loads(server.texts[0])[1]["content"]
    replayed = json.loads(audit("replay", report["id"], "--json").stdout)["attempts"]
    assert {one["attempt"]: one["same"] for one in replayed} == {"test": True, "1": True}


def test_templates_go_first_and_the_agent_is_not_asked_where_they_find_something(
    repository: Path,  # noqa: F811
) -> None:
    with scripted(PLAN) as server:
        done = fix(repository, server, "--json")
    assert done.returncode == 0, done.stderr
    assert not [body for body in server.bodies if "messages" in body]
    assert not told(done)["found"][0]["template"].startswith("agent")


def test_where_the_agent_finds_nothing_templates_still_fix(repository: Path) -> None:  # noqa: F811
    give_up = calls(("finish", {"solved": False}))
    with scripted(PLAN, give_up) as server:
        done = fix(repository, server, "--agent", "--json")
    assert done.returncode == 0, done.stderr
    assert "range(first, last + 1)" in told(done)["found"][0]["diff"]


def test_a_command_runs_in_the_sandbox_on_the_changes_and_leaves_nothing(
    repository: Path,  # noqa: F811
) -> None:
    command = "grep -c 'last + 1' paging.py; echo x > paging.py; pwd; id -u; cat /proc/net/dev"
    with scripted(PLAN, MEND, calls(("run", {"command": command})), TEST) as server:
        done = fix(repository, server, "--agent", "--json")
    assert done.returncode == 0, done.stderr
    output = server.bodies[3]["messages"][-1]["content"]
    assert "1\n/work/repo\n" in output
    assert "eth0" not in output
    assert f"+{RIGHT}" in told(done)["found"][0]["diff"]


def test_a_patch_that_only_cheats_does_not_leave(repository: Path) -> None:  # noqa: F811
    """It makes pytest say that all is well."""
    cheat = "import sys\nimport _pytest.runner\n"
    text = "_pytest.runner.CallInfo.from_call = classmethod(lambda c, f, w, r=None: c(None, None, 0, 0, 0, w, _ispytest=True))\n"
    first = '"""Which pages a list of results has, and which of them to link to."""\n'
    edit = {"path": "paging.py", "before": first, "after": first + cheat + text}
    with scripted(PLAN, calls(("edit", edit)), TEST, REFLECT, says("?"), says("?"), says("?")) as s:
        done = fix(repository, s, "--agent", "--candidates", "1", "--json")
    assert done.returncode == 3, done.stdout
    assert told(done)["found"] == []


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("--issue", "nowhere.md"), "", "nowhere.md cannot be read"),
        (("--issue", "-"), " \n", "The issue is empty"),
        (("--approve", "never"), "", "never"),
    ],
)
def test_bad_input_is_told_in_one_line(repository: Path, words, stdin: str, said: str) -> None:  # noqa: F811
    done = fix(repository, None, *words, stdin=stdin)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_without_an_agent_has_nothing_to_replay(repository: Path) -> None:  # noqa: F811
    done = fix(repository, None, "--candidates", "1", "--json")
    replayed = audit("replay", told(done)["id"])
    assert replayed.returncode == 2
    assert "had no agent" in replayed.stderr
    assert WRONG in (repository / "paging.py").read_text()


def test_a_patch_of_several_files_is_proved_and_applied_with_a_way_back(
    repository: Path,  # noqa: F811
) -> None:
    diff = """--- /dev/null
+++ b/spans.py
@@ -0,0 +1,3 @@
+def span(first, last):
+    \"\"\"Both belong to it.\"\"\"
+    return list(range(first, last + 1))
--- a/paging.py
+++ b/paging.py
@@ -3,3 +3,4 @@
 from dataclasses import dataclass
+from spans import span

@@ -33 +34 @@
-    return list(range(first, last))
+    return span(first, last)
"""
    with scripted(PLAN, calls(("edit", {"diff": diff})), TEST) as server:
        done = fix(repository, server, "--agent", "--apply", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert "return span(first, last)" in (repository / "paging.py").read_text()
    assert (repository / "spans.py").read_text().startswith("def span(")
    refs = git(repository, "for-each-ref", "--format=%(refname)", "refs/tandem/backup").split()
    assert len(refs) == 1
    assert WRONG in git(repository, "show", f"{refs[0]}:paging.py")


def test_ctrl_c_while_the_model_thinks_leaves_a_run_that_goes_on(repository: Path) -> None:  # noqa: F811
    command = [sys.executable, "-m", "tandem", "fix", str(repository), "--no-model", "--json"]
    command += ["--agent", "--candidates", "1"]
    with scripted(PLAN, MEND, says("later", delay_s=600)) as server:
        env = {**os.environ, "TANDEM_CHAT__ENDPOINT": server.url}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        ) as one:
            end = time.monotonic() + 300
            while len(server.bodies) < 3 and time.monotonic() < end:
                time.sleep(0.1)
            one.send_signal(signal.SIGINT)
            out, err = one.communicate(timeout=300)
        assert server.left == 1
    report = json.loads(out)
    # What there was is tried all the same, and here it is the fix.
    assert one.returncode == 0, err
    assert f"+{RIGHT}" in report["found"][0]["diff"]
    assert "it was stopped" in err
    with scripted(TEST) as server:
        done = fix(repository, server, "--resume", report["id"], "--json")
        assert len(server.bodies) == 1
    assert done.returncode == 0, done.stderr
    assert f"+{RIGHT}" in told(done)["found"][0]["diff"]
