"""Every branch of an attempt, over real HTTP with a scripted model, and real tests."""

import json
from pathlib import Path

import pytest

from sandbox.agent.budget import Budget
from sandbox.agent.trajectory import NAME
from tandem.errors import TandemError
from tandem.sections import ChatConfig
from tests.agent_bench import Room, attempt, played
from tests.agent_support import MEND, PLAN, REFLECT, RIGHT, TEST, wrong
from tests.scripted_chat import breaks_off, calls, fails, fenced, refuses, says, scripted

GIVE_UP = calls(("finish", {"solved": False, "summary": "too hard"}))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room.of_paging(tmp_path_factory.mktemp("room"))


@pytest.fixture
def room(measured: Room, tmp_path: Path, empty_home: Path) -> Room:
    return measured.again(tmp_path)


def test_it_plans_acts_observes_and_ends_when_the_tests_say_so(room: Room) -> None:
    outcome, server = played(room, PLAN, MEND, TEST)
    assert outcome.solved
    assert RIGHT in (outcome.files["paging.py"] or "")
    assert room.kinds() == ["task", "plan", "act", "observe", "act", "observe", "finish"]
    assert any("1. read links" in line for line in room.told)
    assert "tools" not in server.bodies[0]
    assert {tool["function"]["name"] for tool in server.bodies[1]["tools"]} == {
        "search",
        "open",
        "edit",
        "run_tests",
        "run",
        "finish",
    }
    assert outcome.spent.steps == 3
    assert outcome.spent.tokens == 330


def test_the_models_word_alone_solves_nothing(room: Room) -> None:
    done = calls(("finish", {"summary": "all is well now"}))
    outcome, server = played(room, PLAN, done, wrong(), done, REFLECT, GIVE_UP)
    assert not outcome.solved
    assert outcome.why == "gave up: too hard"
    assert "changed nothing yet" in server.texts[2]
    assert "2 of 2 tests fail" in server.texts[5]


def test_finish_runs_the_tests_that_were_not_run(room: Room) -> None:
    outcome, _ = played(room, PLAN, MEND, calls(("finish", {})))
    assert outcome.solved


def test_a_failure_is_reflected_on_and_the_note_is_kept(room: Room) -> None:
    outcome, server = played(room, PLAN, wrong(), TEST, REFLECT, GIVE_UP)
    assert "answer with exactly three lines" in server.texts[3]
    assert "tools" not in server.bodies[3]
    note = "tried: another end; why: a page is missing; next: last + 1"
    assert f"- {note}" in server.texts[4].replace("\\n", "\n")
    assert any(note in line for line in room.told)
    assert not outcome.solved


def test_a_reflection_that_says_nothing_is_made_of_what_happened(room: Room) -> None:
    _, server = played(room, PLAN, wrong(), TEST, says("Hm."), GIVE_UP)
    assert "tried: paging.py: lines 33 to 33" in server.texts[4]
    assert "why: 2 of 2 tests fail" in server.texts[4]


def test_tests_that_fail_before_any_edit_are_no_failure_to_reflect_on(room: Room) -> None:
    outcome, server = played(room, PLAN, TEST, MEND, TEST)
    assert outcome.solved
    assert len(server.bodies) == 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("edit", '{"path": "paging.py", "before'), "are no JSON object"),
        (("edit", {"path": "paging.py", "old": "x"}), "Wrong arguments of edit"),
        (("open", {"path": "paging.py", "first": 0}), "first: Input should be greater"),
        (("open", {"path": "pagin.py"}), "There is no text file"),
        (("open", {"path": "../../etc/passwd"}), "leads out of the repository"),
        (("edit", {"path": "paging.py", "before": "no such line", "after": "x"}), "Nothing was"),
        (("edit", {"path": "nowhere.py", "before": "x", "after": "y"}), "There is no text file"),
        (("edit", {"path": "paging.py", "before": "def links(", "after": "def ("}), "no Python"),
        (("edit", {"diff": "nothing of a diff"}), "Nothing was changed"),
        (("edit", {"path": "tests/test_paging.py", "after": "x = 1\n", "line": 1}), "test"),
        (("edit", {"path": "conftest.py", "after": "x = 1\n"}), "conftest.py"),
        (("edit", {"path": "../out.py", "after": "x = 1\n"}), "out of the repository"),
        (("run_tests", {"ids": ["tests/test_paging.py::test_cont"]}), "There is no test"),
        (("run", {"command": "curl http://example.org"}), "was not run"),
        (("shell", {"command": "ls"}), "There is no tool 'shell'"),
    ],
)
def test_a_call_that_cannot_be_done_says_what_is_wrong(room: Room, call, said: str) -> None:
    outcome, server = played(room, PLAN, calls(call), MEND, TEST)
    assert outcome.solved
    observed = next(one for one in room.steps() if one["kind"] == "observe")
    assert observed["outcome"] == "error"
    assert said in observed["result"]
    assert json.dumps(said)[1:-1] in server.texts[2]
    assert not room.sandbox.ran


def test_a_model_without_native_tools_writes_its_calls_into_its_text(room: Room) -> None:
    edit = dict(MEND.calls[0][1]) if isinstance(MEND.calls[0][1], dict) else {}
    turns = [PLAN, fenced("edit", edit, "I mend it:"), fenced("run_tests", {})]
    with scripted(*turns, native_tools=True) as server:
        outcome = attempt(room, server, options=ChatConfig(tools="prompt"))
    assert outcome.solved
    assert "tools" not in server.bodies[1]


def test_words_without_a_call_are_answered_with_a_nudge_and_then_end_it(room: Room) -> None:
    outcome, server = played(room, PLAN, says("Let me think."), MEND, TEST)
    assert outcome.solved
    assert "Go on with a tool call" in server.texts[2]


def test_a_model_that_refuses_ends_it(room: Room) -> None:
    no = refuses("I cannot help with that.")
    outcome, _ = played(room, PLAN, no, no, no)
    assert not outcome.solved
    assert outcome.why == "the model calls no tool: I cannot help with that."


def test_going_in_circles_is_noticed_and_the_second_time_ends_it(room: Room) -> None:
    look = calls(("open", {"path": "paging.py", "first": 1, "last": 3}))
    outcome, server = played(room, PLAN, look, look, look, REFLECT, look, look, look)
    assert outcome.why == "it goes round in circles"
    assert "the same call 3 times" in server.texts[4]
    assert room.kinds().count("reflect") == 1


def test_a_busy_server_is_asked_again(room: Room) -> None:
    outcome, server = played(room, PLAN, fails(429), MEND, fails(503), TEST)
    assert outcome.solved
    assert len(server.bodies) == 5
    assert outcome.spent.steps == 3


def test_a_server_that_fails_ends_it_with_what_there_is(room: Room) -> None:
    outcome, _ = played(room, PLAN, MEND, fails(401))
    assert not outcome.solved
    assert "refused the token" in outcome.why
    assert list(outcome.files) == ["paging.py"]


def test_a_server_that_is_silent_ends_it_in_time(room: Room) -> None:
    with scripted(PLAN, says("too late", delay_s=30)) as server:
        outcome = attempt(room, server, options=ChatConfig(timeout_s=0.5))
    assert "did not answer within 0.5 s" in outcome.why


def test_a_stream_that_breaks_off_is_taken_for_what_came(room: Room) -> None:
    outcome, server = played(room, PLAN, breaks_off("I will now"), MEND, TEST)
    assert outcome.solved
    assert "I will now" in server.texts[2]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(steps=2), "2 steps"),
        (Budget(tokens=200), "200 tokens"),
        (Budget(money=0.001), "0.00 in money"),
        (Budget(minutes=1e-9), "minutes"),
    ],
)
def test_each_budget_ends_it_with_what_there_is(room: Room, budget: Budget, said: str) -> None:
    prices = ChatConfig(prices={"scripted": (10.0, 10.0)})
    outcome, _ = played(room, PLAN, MEND, TEST, budget=budget, options=prices)
    assert not outcome.solved
    assert said in outcome.why
    assert room.steps()[-1]["kind"] == "finish"


def test_a_context_that_is_too_small_gets_fewer_turns(room: Room) -> None:
    look = [calls(("open", {"path": "paging.py", "first": n + 1, "last": n + 9})) for n in range(5)]
    small = fails(400, "maximum context length exceeded")
    outcome, server = played(room, PLAN, *look, small, small, MEND, TEST, most=20_000)
    assert outcome.solved
    sizes = [len(text) for text in server.texts]
    assert sizes[8] < sizes[7] < sizes[6]
    assert "earlier turns are left out" in server.texts[8]


def test_many_calls_at_once_are_done_up_to_a_limit_and_each_is_answered(room: Room) -> None:
    many = calls(*[("search", {"query": f"range{n}"}) for n in range(9)])
    _, server = played(room, PLAN, many, GIVE_UP)
    answers = [m for m in server.bodies[2]["messages"] if m["role"] == "tool"]
    assert len(answers) == 9
    assert sum("Not done" in one["content"] for one in answers) == 3


def test_a_command_gets_the_changes_and_its_output_is_cut(room: Room) -> None:
    outcome, server = played(room, PLAN, MEND, calls(("run", {"command": "ls"})), TEST)
    assert outcome.solved
    assert room.sandbox.ran == [["sh", "-c", "ls"]]
    assert "characters left out" in server.texts[3]
    assert ("decision", True) in [(event, data["yes"]) for event, data in room.log.events]


def test_what_the_tests_say_is_fenced_as_data(room: Room) -> None:
    _, server = played(room, PLAN, TEST, GIVE_UP)
    result = server.bodies[2]["messages"][-1]["content"]
    assert result.startswith('<<< result of "run_tests", data ')
    assert "first = 3" in result
    assert "assert [3, 4, 5, 6] == [3, 4, 5, 6, 7]" in result


def test_a_stopped_attempt_keeps_what_it_has(room: Room) -> None:
    with scripted(PLAN, MEND, says("slow", delay_s=60)) as server:
        outcome = attempt(room, server, stop_after=3)
    assert outcome.why == "it was stopped."
    assert list(outcome.files) == ["paging.py"]


def test_a_run_goes_on_where_it_was_and_asks_nothing_twice(room: Room) -> None:
    played(room, PLAN, wrong(), TEST, REFLECT, fails(401))
    first = room.steps()
    outcome, server = played(
        room,
        calls(("edit", {"path": "paging.py", "before": "last - 1", "after": "last + 1"})),
        TEST,
    )
    assert outcome.solved
    assert RIGHT in (outcome.files["paging.py"] or "")
    assert len(server.bodies) == 2
    assert room.steps()[: len(first)] == first
    assert outcome.spent.steps == 6
    assert [one["step"] for one in room.steps()] == list(range(1, len(room.steps()) + 1))


def test_a_line_that_a_crash_cut_off_is_taken_away(room: Room) -> None:
    played(room, PLAN, wrong(), fails(401))
    file = room.folder / NAME
    file.write_bytes(file.read_bytes() + b'{"v": 1, "attempt": "1", "st')
    outcome, _ = played(room, GIVE_UP)
    assert outcome.why == "gave up: too hard"
    assert room.kinds()[-1] == "finish"


def test_a_trajectory_that_does_not_fit_any_more_is_told(room: Room) -> None:
    played(room, PLAN, wrong(), fails(401))
    file = room.folder / NAME
    file.write_bytes(file.read_bytes().replace(b"lines 33 to 33", b"lines 35 to 35"))
    with pytest.raises(TandemError, match="gives something else now"):
        played(room, GIVE_UP)
    file.write_bytes(file.read_bytes().replace(b'"kind": "plan"', b'"kind": "idea"'))
    with pytest.raises(TandemError, match="another version"):
        played(room, GIVE_UP)
