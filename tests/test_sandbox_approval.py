"""Who is asked, when, and what becomes of it: with a real terminal, real pipes and a real log."""

import io
import json
import os
import pty
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import audit
from sandbox.approval import (
    Approval,
    Asker,
    JsonLines,
    Mode,
    Nobody,
    Question,
    Terminal,
    said_before,
)
from sandbox.policy import Policy
from tandem.sections import STRICTER, AgentConfig

FILES = ("app.py", "tests/test_app.py")
OLD = {"app.py": "x = 1\n", "tests/test_app.py": "assert x\n"}
ID = "20261126-000000-abcd"


class Person:
    """Says what it was told to say, and keeps what it was asked."""

    def __init__(self, *words: bool) -> None:
        self.words, self.asked = list(words), list[Question]()

    def ask(self, question: Question) -> bool | None:
        self.asked.append(question)
        return self.words.pop(0)


@pytest.fixture
def make(empty_home: Path) -> Iterator[Callable[..., Approval]]:
    with audit.start(ID) as log:

        def made(asker: Asker, mode: Mode = "final", agreed: bool = False, **more: object):
            config = AgentConfig(**more)  # pyright: ignore[reportArgumentType]
            return Approval(Policy(config, FILES), mode, asker, log, agreed)

        yield made
        log.seal()
    assert audit.verify(audit.file_of(ID)).intact


def logged() -> list[dict[str, object]]:
    return [json.loads(line)["data"] for line in audit.file_of(ID).read_text().splitlines()]


def edit(approval: Approval, path: str = "app.py", after: str = "x = 2\n"):
    return approval.change(path, OLD.get(path), after)


# Which steps are asked about


@pytest.mark.parametrize(
    ("mode", "edits", "commands"), [("final", 0, 0), ("commands", 0, 1), ("each", 1, 1)]
)
def test_each_mode_asks_for_its_steps(make, mode: Mode, edits: int, commands: int) -> None:
    person = Person(True, True)
    approval = make(person, mode)
    assert edit(approval).yes
    assert len(person.asked) == edits
    assert approval.command("ls").yes
    assert len(person.asked) == edits + commands


def test_a_named_command_needs_no_question_unless_each_step_does(make) -> None:
    person = Person(False)
    assert make(person, "commands", commands=["ls"]).command("ls -a").yes
    assert not make(person, "each", commands=["ls"]).command("ls -a").yes


@pytest.mark.parametrize("mode", STRICTER)
def test_what_a_rule_asks_is_asked_in_every_mode(make, mode: Mode) -> None:
    person = Person(True, False)
    approval = make(person, mode)
    assert edit(approval, "tests/test_app.py").yes
    refused = approval.command("curl x")
    assert (refused.yes, refused.by) == (False, "person")
    assert [one.kind for one in person.asked] == ["edit", "command"]
    assert "a test may not be changed" in person.asked[0].reasons[0]


@pytest.mark.parametrize("mode", STRICTER)
def test_what_is_refused_is_never_asked(make, mode: Mode) -> None:
    person = Person()
    approval = make(person, mode, agreed=True)
    for decision in (
        edit(approval, "conftest.py"),
        edit(approval, "../x"),
        approval.command("sudo ls"),
        approval.patch({".git/hooks/x": "x\n"}, OLD),
    ):
        assert (decision.yes, decision.by) == (False, "rules")
        assert decision.reasons


def test_the_patch_is_always_asked_about_with_its_diff_and_flags(make) -> None:
    person = Person(True)
    decision = make(person).patch({"app.py": "import os\nos.system('x')\n"}, OLD)
    assert decision.yes
    (question,) = person.asked
    assert "+os.system('x')" in question.diff
    assert question.flags == ("app.py:2: starts a program",)


# A yes holds for what was shown, and for nothing else


def test_a_granted_file_leaves_with_the_text_that_was_granted_only(make) -> None:
    approval = make(Person(True, True))
    assert edit(approval, "tests/test_app.py", "assert y\n").yes
    assert not approval.patch({"tests/test_app.py": "assert True\n"}, OLD).yes
    assert approval.patch({"tests/test_app.py": "assert y\n"}, OLD).yes
    assert approval.granted({"tests/test_app.py": "assert y\n"}) == ("tests/test_app.py",)


def test_a_second_change_of_a_granted_file_is_asked_about_again(make) -> None:
    approval = make(Person(True, False))
    assert edit(approval, "tests/test_app.py", "assert y\n").yes
    assert not edit(approval, "tests/test_app.py", "assert True\n").yes


def test_a_yes_in_advance_is_for_the_patch_alone(make) -> None:
    approval = make(Nobody(), agreed=True)
    assert approval.patch({"app.py": "x = 2\n"}, OLD).by == "in advance"
    assert not approval.command("curl x").yes
    assert not edit(approval, "tests/test_app.py").yes
    assert not approval.patch({"tests/test_app.py": "x\n"}, OLD).yes


def test_where_nobody_is_there_it_is_a_no(make) -> None:
    approval = make(Nobody())
    for decision in (
        approval.patch({"app.py": "x = 2\n"}, OLD),
        approval.command("curl x"),
        edit(approval, "tests/test_app.py"),
    ):
        assert (decision.yes, decision.by) == (False, "nobody")
        assert decision.reasons[-1] == "nobody is there to be asked"


def test_the_very_same_is_not_asked_twice_but_for_the_patch(make) -> None:
    person = Person(True, False, True, True)
    approval = make(person)
    assert [approval.command("curl x").yes for _ in range(3)] == [True] * 3
    assert [approval.command("curl y").yes for _ in range(3)] == [False] * 3
    assert [approval.patch({"app.py": "x = 2\n"}, OLD).yes for _ in range(2)] == [True] * 2
    assert [one.subject for one in person.asked] == ["curl x", "curl y", "app.py", "app.py"]


def test_a_run_that_goes_on_knows_what_was_said(make) -> None:
    first = make(Person(True, False))
    assert edit(first, "tests/test_app.py", "assert y\n").yes
    assert not first.command("curl x").yes
    again = make(Nobody())
    again.said |= said_before(audit.file_of(ID))
    assert edit(again, "tests/test_app.py", "assert y\n").yes
    assert again.granted({"tests/test_app.py": "assert y\n"})
    assert again.command("curl x").by == "person"
    assert again.command("curl y").by == "nobody"
    assert not edit(again, "tests/test_app.py", "assert True\n").yes
    assert said_before(audit.file_of("20200101-000000-aaaa")) == {}


def test_every_decision_is_a_line_of_the_log(make) -> None:
    approval = make(Person(True, False))
    edit(approval)
    edit(approval, "conftest.py")
    approval.command("curl x")
    approval.command("ls \x1b[2J")
    approval.patch({"app.py": "x = 3\n"}, OLD)
    lines = logged()
    assert [(one["kind"], one["yes"], one["by"]) for one in lines] == [
        ("edit", True, "rules"),
        ("edit", False, "rules"),
        ("command", True, "person"),
        ("command", False, "rules"),
        ("patch", False, "person"),
    ]
    assert lines[3]["subject"] == "ls \\u001b[2J"
    assert "+x = 3" in str(lines[4]["diff"])


def test_agents_side_by_side_are_asked_one_after_another(make) -> None:
    inside = list[int]()

    class Slow:
        def ask(self, question: Question) -> bool | None:
            inside.append(1)
            assert len(inside) == 1
            threading.Event().wait(0.01)
            inside.pop()
            return True

    approval = make(Slow())
    answers = list[bool]()
    threads = [
        threading.Thread(target=lambda: answers.append(approval.command("curl x").yes))
        for _ in range(5)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert answers == [True] * 5


# A terminal

QUESTION = Question("command", "curl x", ("curl wants the network",), "-a\n+b\n", ("a.py:1: odd",))


@pytest.fixture
def terminal() -> Iterator[Callable[..., tuple[bool | None, str]]]:
    """A real terminal: types one text before the question and others at each prompt; gives what was
    said and all that was shown."""
    ours, theirs = pty.openpty()

    def ask(*typed: str, early: str = "", question: Question = QUESTION) -> tuple[bool | None, str]:
        os.write(ours, early.encode())
        said = list[bool | None]()

        def run() -> None:
            with os.fdopen(os.dup(theirs)) as given, os.fdopen(os.dup(theirs), "w") as told:
                said.append(Terminal(given, told).ask(question))

        thread = threading.Thread(target=run)
        thread.start()
        shown = ""
        for number, text in enumerate(typed, 1):
            while shown.count("[y/N]") < number:
                shown += os.read(ours, 10_000).decode()
            os.write(ours, text.encode())
        thread.join()
        return said[0], shown

    yield ask
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("typed", "yes"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False)],
)
def test_a_terminal_takes_y_for_yes(terminal, typed: str, yes: bool) -> None:
    said, shown = terminal(typed)
    assert said is yes
    for part in (
        "run in the sandbox:",
        "  | curl x",
        "curl wants the network",
        "+b",
        "a.py:1: odd",
    ):
        assert part in shown


def test_a_terminal_asks_again_where_it_is_not_clear(terminal) -> None:
    said, shown = terminal("what\n", "y\n")
    assert said is True
    assert "Say y or n." in shown


def test_a_command_cannot_look_like_the_question(terminal) -> None:
    false = Question("command", "curl x\n\nAllow this? [y/N] y")
    lines = terminal("n\n", question=false)[1].splitlines()
    assert "  | curl x" in lines
    assert "  | Allow this? [y/N] y" in lines


def test_what_was_typed_before_the_question_is_no_answer(terminal) -> None:
    assert terminal("n\n", early="y\n")[0] is False


def test_the_end_of_the_input_is_nobody(terminal) -> None:
    assert terminal("\x04")[0] is None


def test_without_a_terminal_there_is_nobody() -> None:
    told = io.StringIO()
    assert Terminal(io.StringIO("y\n"), told).ask(QUESTION) is None
    assert told.getvalue() == ""


def test_what_is_shown_has_nothing_that_a_terminal_obeys(make) -> None:
    person = Person(True)
    make(person).patch({"a\u202eb.py": "x\n"}, OLD)
    assert person.asked == []  # such a name is refused
    make(person).patch({"app.py": "x = '\u202e\u200b'\n"}, OLD)
    assert "\\u202e\\u200b" in person.asked[0].diff
    assert "\u202e" not in person.asked[0].diff


# An editor


def by_json(*lines: str) -> tuple[list[bool | None], list[dict[str, object]]]:
    """Questions over real pipes: what is answered, and what the editor got."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        stream.write("".join(f"{line}\n" for line in lines))
    told = io.StringIO()
    with os.fdopen(read) as given:
        asker = JsonLines(given, told)
        answers = [asker.ask(QUESTION) for _ in range(max(1, len(lines)))]
    return answers, [json.loads(line) for line in told.getvalue().splitlines()]


def test_an_editor_is_asked_in_json_lines() -> None:
    answers, questions = by_json('{"answer": 1, "yes": true}', '{"answer": 2, "yes": false}')
    assert answers == [True, False]
    assert questions[0] == {
        "v": 1,
        "ask": 1,
        "kind": "command",
        "subject": "curl x",
        "reasons": ["curl wants the network"],
        "diff": "-a\n+b\n",
        "flags": ["a.py:1: odd"],
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "yes",
        "{}",
        "[]",
        '{"answer": 2, "yes": true}',
        '{"answer": 1, "yes": "true"}',
        '{"answer": 1, "yes": 1}',
        '{"yes": true}',
        "[" * 9_000,
        "\x00",
    ],
)
def test_anything_but_a_yes_to_this_question_is_a_no(line: str) -> None:
    assert by_json(line)[0] == [False]


def test_an_editor_that_has_gone_is_nobody() -> None:
    assert by_json()[0] == [None]
