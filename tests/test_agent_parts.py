"""What the agent's loop is made of: observations, notes, the conversation, steps, the tools' words."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.chat import Message, ToolCall, Usage
from sandbox import worktree
from sandbox.agent import observe, reflect, task, team, tools
from sandbox.agent.budget import Budget, Spent
from sandbox.agent.conversation import LEAST, Conversation, size
from sandbox.agent.loop import Outcome
from sandbox.agent.observe import Observation
from sandbox.agent.reflect import Circle, Reflection, plan
from sandbox.agent.reproduction import Reproduction, known
from sandbox.agent.tools import Bench
from sandbox.agent.trajectory import NAME, Trajectory, lines
from sandbox.fence import Fence
from sandbox.localize import Suspect
from sandbox.messages import Run
from sandbox.process import Ran
from sandbox.suite import Frame, Suite, TestResult
from tandem.errors import TandemError
from tests.agent_bench import NoSandbox
from tests.local_tests import write


def failed(name: str, message: str = "AssertionError: assert 1 == 2") -> TestResult:
    frames = (
        Frame("tests/test_a.py", 3, name, {"x": "1"}),
        Frame("a.py", 7, "f", {"y": "2" * 500}),
    )
    return TestResult(name, "failed", 0.1, message, "AssertionError", frames)


class Passing:
    """Checks that always say the same."""

    closed = 0

    def run(self, ids, files) -> Observation:
        return Observation("All 1 tests pass.", "solved")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    files = {"a.py": "def f(x):\n    return x\n", "b.txt": "one\ntwo\nthree\n", "c/d.py": "x = 1\n"}
    copy = worktree.snapshot(write(tmp_path / "repository", files), tmp_path / "copy")
    return Bench(copy, Passing(), NoSandbox())


def does(bench: Bench, name: str, **arguments: object) -> Observation:
    return bench.do(ToolCall("1", name, arguments))


# What is told


def test_a_failure_is_its_assertion_and_its_frames_with_short_values() -> None:
    text = observe.failure(failed("test_a"))
    assert text.splitlines()[:3] == [
        "test_a failed: AssertionError: assert 1 == 2",
        "  tests/test_a.py:3 in test_a",
        "    x = 1",
    ]
    assert len(max(text.splitlines(), key=len)) < observe.SHORT + 20


def test_of_many_failures_the_first_are_told_and_others_named() -> None:
    run = Run(tuple(failed(f"test_{n}") for n in range(40)))
    text = observe.of_tests(run)
    assert text.startswith("40 of 40 tests fail.")
    assert text.count("assert 1 == 2") == observe.TOLD
    assert f"and {40 - observe.TOLD - observe.NAMED} more" in text


def test_a_file_that_cannot_be_collected_is_told_first() -> None:
    broken = TestResult("tests/test_a.py", "error", 0.0, "no module named x", "ImportError")
    assert "ImportError: no module named x" in observe.of_tests(Run(broken=(broken,)))


def test_a_run_that_died_is_told() -> None:
    assert "ended early: died" in observe.of_tests(Run(why="died"))


def test_of_a_command_its_end_and_both_outputs_are_told() -> None:
    text = observe.of_command(Ran(None, "time", b"a\xff\n", b"b\n", 60.0))
    assert text.splitlines() == [
        "killed: time, 60.0 s",
        "stdout:",
        "a\N{REPLACEMENT CHARACTER}",
        "stderr:",
        "b",
    ]


def test_a_task_tells_failures_lines_files_and_issue_in_fences() -> None:
    suspect = Suspect("a.py", 2, 0.9, ("why",))
    sources = {"a.py": "def f(x):\n    return x\n"}
    text = task.mending(
        Fence(), [failed("test_a")], [suspect], sources, ["a.py", "c/d.py"], "It breaks."
    )
    for part in ("1 tests of this repository fail", "a.py:2: return x", "c/d.py", "It breaks."):
        assert part in text
    assert text.count("<<<") == 4


def test_earlier_fixes_stand_in_a_fence_of_their_own() -> None:
    fence = Fence()
    text = task.mending(fence, [failed("test_a")], [], {}, [], earlier="Fixed by:\n-x\n+y")
    assert fence.around("earlier fixes", "Fixed by:\n-x\n+y") in text


# Notes and circles


def test_a_reflection_is_read_from_three_lines() -> None:
    said = "- Tried: x\n**why**: because\nof it\nnext: y"
    assert reflect.reflection(said, "a", "b") == Reflection("x", "because", "y")


@given(st.text(max_size=1000), st.text(max_size=1000), st.text(max_size=1000))
def test_a_reflection_is_short_and_one_line_whatever_is_said(
    said: str, tried: str, why: str
) -> None:
    note = str(reflect.reflection(said, tried, why))
    assert len(note) < 3 * reflect.LONGEST + 200


def test_a_circle_is_three_times_the_same_but_for_times_and_addresses() -> None:
    circle = Circle()
    noticed = [circle.noticed("run", f"exit code 1, 0.{n} s at 0x7f{n}") for n in range(3)]
    assert noticed == [False, False, True]
    assert not circle.noticed("run", "something else")
    assert circle.found == 1


# The conversation


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(200, 3000))
def test_of_a_conversation_the_newest_turns_stay_whole(sizes: list[int], most: int) -> None:
    talk = Conversation("s", "t", most)
    for number, length in enumerate(sizes):
        call = ToolCall(str(number), "open", {})
        talk.add(Message("assistant", "", (call,)), Message("tool", "x" * length, (), str(number)))
    sent = talk.messages()
    made = [call.id for message in sent for call in message.tool_calls]
    answered = [message.tool_call_id for message in sent if message.role == "tool"]
    assert made == answered == [str(n) for n in range(len(sizes))][len(sizes) - len(made) :]
    assert made
    assert len(made) == 1 or sum(map(size, sent[2:])) <= most
    dropped = len(sizes) - len(made)
    assert (f"({dropped} earlier turns" in sent[1].content) == bool(dropped)


def test_notes_stay_when_turns_go() -> None:
    talk = Conversation("s", "t", 500)
    talk.note(Reflection("a", "b", "c"))
    for _ in range(20):
        talk.add(Message("assistant", "x" * 100))
    assert "- tried: a; why: b; next: c" in talk.messages()[1].content


def test_the_results_of_an_only_turn_are_clipped_and_then_nothing_is_left_to_cut() -> None:
    talk = Conversation("s", "t")
    talk.add(Message("assistant", "y"), Message("tool", "x" * 5000))
    lengths = []
    while talk.messages() and talk.shorten():
        lengths.append(len(talk.messages()[-1].content))
    assert lengths == sorted(lengths, reverse=True)
    assert LEAST < lengths[-1] < LEAST + 50
    assert talk.messages()[2].content == "y"
    assert len(lengths) > 2


def test_what_is_short_or_nothing_cannot_be_shortened() -> None:
    talk = Conversation("s", "t")
    talk.messages()
    assert not talk.shorten()
    talk.add(Message("assistant", "x" * 100))
    talk.messages()
    assert not talk.shorten()


# Plans


def test_a_plan_has_at_most_five_steps_and_says_none_twice() -> None:
    said = "Here is my plan:\n" + "\n".join(f"{n}. Repeat the process." for n in range(1, 99))
    assert plan("I will:\n1. Look.\n2) Mend.\n\n3. Test.") == "1. Look.\n2) Mend.\n3. Test."
    assert plan(said) == "1. Repeat the process."
    assert plan("\n".join(f"{n}. step {n}" for n in range(1, 9))).count("\n") == 4
    assert plan("Look first.\nThen mend.") == "Look first.\nThen mend."
    assert plan("") == ""


# Budgets


def test_each_limit_is_told_by_its_name() -> None:
    spent = Spent()
    assert not spent.over(Budget())
    spent.add(Usage(100, 50, 0.5), 61.0)
    assert "1 steps" in spent.over(Budget(steps=1))
    assert "150 tokens" in spent.over(Budget(tokens=150))
    assert "money" in spent.over(Budget(money=0.5))
    assert "1 minutes" in spent.over(Budget(minutes=1))
    assert not spent.over(Budget(money=0.0))


# Steps


def test_steps_are_read_again_in_their_order_each_attempt_its_own(tmp_path: Path) -> None:
    for name in ("1", "2"):
        one = Trajectory(tmp_path, name)
        one.add("task", text=name)
        one.add("act", text=f"{name}!")
        one.add("finish", text="")
    again = Trajectory(tmp_path, "2")
    step = again.next("task")
    assert step is not None
    assert step["text"] == "2"
    assert (again.next("act") or {})["text"] == "2!"
    assert again.next("act") is None
    assert again.add("act")["step"] == 4


def test_a_step_of_another_kind_is_told(tmp_path: Path) -> None:
    Trajectory(tmp_path, "1").add("task")
    with pytest.raises(TandemError, match="is 'task', not 'plan'"):
        Trajectory(tmp_path, "1").next("plan")


@pytest.mark.parametrize(
    "row", ["{", "[]", '{"v": 2, "step": 1}', '{"v": 1}', '{"v": 1, "step": "1"}']
)
def test_what_is_no_step_is_told_with_its_line(tmp_path: Path, row: str) -> None:
    (tmp_path / NAME).write_text(f'{{"v": 1, "step": 1, "kind": "task"}}\n{row}\n')
    with pytest.raises(TandemError, match="Line 2 of"):
        lines(tmp_path / NAME)


def test_a_replay_writes_nothing(tmp_path: Path) -> None:
    Trajectory(tmp_path, "1", read_only=True).add("task")
    assert not (tmp_path / NAME).exists()


# Tools


def test_every_tool_is_offered_with_its_schema() -> None:
    for tool in tools.offered():
        assert tool.description
        assert json.loads(json.dumps(tool.parameters))["type"] == "object"


def test_search_tells_lines_also_of_what_was_changed(bench: Bench) -> None:
    assert does(bench, "search", query="return x").text == "a.py:2: return x"
    does(bench, "edit", path="a.py", before="return x", after="return x + 1")
    assert "return x + 1" in does(bench, "search", query="return x").text
    assert does(bench, "search", query="nowhere").text == "Nothing holds 'nowhere'."


def test_open_numbers_the_lines_and_ends_with_the_file(bench: Bench) -> None:
    text = does(bench, "open", path="b.txt", first=2, last=9).text
    assert text.splitlines() == ["b.txt, lines 2 to 3 of 3", "    2|two", "    3|three"]


def test_a_file_that_is_not_there_is_named_where_it_might_be(bench: Bench) -> None:
    seen = does(bench, "open", path="d.py")
    assert (seen.kind, seen.text) == ("error", "There is no text file 'd.py'. c/d.py")


def test_edits_of_one_call_are_made_together_or_not_at_all(bench: Bench) -> None:
    bad = "--- a/a.py\n+++ b/a.py\n@@ -2 +2 @@\n-    return x\n+    return 2\n"
    bad += "--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-nowhere\n+four\n"
    assert does(bench, "edit", diff=bad).kind == "error"
    assert bench.changed == {}
    good = bad.replace("-nowhere", "-one")
    seen = does(bench, "edit", diff=good)
    assert seen.kind == "told", seen.text
    assert sorted(bench.changed) == ["a.py", "b.txt"]


def test_an_edit_taken_back_is_no_change(bench: Bench) -> None:
    does(bench, "edit", path="b.txt", before="two", after="2")
    assert list(bench.changed) == ["b.txt"]
    does(bench, "edit", path="b.txt", before="2", after="two")
    assert bench.changed == {}


def test_a_new_file_may_be_made(bench: Bench) -> None:
    assert does(bench, "edit", path="e.py", after="y = 2\n").kind == "told"
    assert bench.changed == {"e.py": "y = 2\n"}
    assert "y = 2" in does(bench, "open", path="e.py").text


def test_a_command_frees_the_sandbox_first(bench: Bench) -> None:
    assert does(bench, "run", command="ls").kind == "told"
    assert isinstance(bench.checks, Passing)
    assert bench.checks.closed == 1


# The team


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["a.py"], "test_issue.py"),
        (["a.py", "tests/test_a.py"], "tests/test_issue.py"),
        (["tests/test_issue.py"], "tests/test_issue1.py"),
        (["x/tests/test_a.py", "y/test_b.py", "x/tests/test_c.py"], "x/tests/test_issue.py"),
    ],
)
def test_a_new_test_goes_where_the_others_are(files: list[str], path: str) -> None:
    assert team.new_test(files) == path


def test_of_attempts_with_the_same_patch_the_first_counts_and_empty_ones_do_not() -> None:
    patches: list[tuple[str, dict[str, str | None]]] = [
        ("1", {}),
        ("2", {"a.py": "x"}),
        ("3", {"a.py": "x"}),
        ("4", {"a.py": "y"}),
    ]
    made = [Outcome(name, files, False, "", Spent()) for name, files in patches]
    assert [one.template for one in team.proposals(made)] == [
        "agent, attempt 2",
        "agent, attempt 4",
    ]


def test_a_reproduction_is_kept_and_put_into_the_copy(bench: Bench, tmp_path: Path) -> None:
    assert known(tmp_path) is None
    made = Reproduction("tests/test_issue.py", "def test_a():\n    assert False\n")
    made.save(tmp_path)
    assert known(tmp_path) == made
    copy, suite = made.added(bench.copy, Suite("pytest", ("c",)))
    assert "tests/test_issue.py" in copy.files
    assert copy.text("tests/test_issue.py") == made.text
    assert suite.args == ("c", "tests/test_issue.py")
    _, whole = made.added(bench.copy, Suite("pytest", ("-q",)))
    assert whole.args == ("-q",)
