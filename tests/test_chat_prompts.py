"""Prompts for chat: what stays, what goes when there is little room; and edits from answers."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.chat_edit import code_of, diff, diff_so_far, edited
from completion.chat_prompts import Part, Task, cut, fenced, prompt
from completion.counting import estimate
from completion.messages import Message

CODE = Part("a.py, lines 1–2", "def f():\n    return 1\n", "python")
FOUND = Part("b.py, line 9", "def g(): ...", "python", "imported", named=False)
TALK = [Message("user", "first question"), Message("assistant", "first answer")]


def size(messages: list[Message]) -> int:
    return sum(estimate(message.content) for message in messages)


@pytest.mark.parametrize("task", get_args(Task))
def test_every_task_shows_the_code_and_what_was_asked(task: Task) -> None:
    made = prompt(task, "please {so}", [CODE, FOUND], budget=2000, count=estimate)
    system, user = made.messages
    assert system.role == "system"
    assert "please {so}" in user.content
    assert fenced(CODE.text, "python") in user.content
    assert user.content.index("def g()") < user.content.index("def f()")
    assert made.shown == [CODE, FOUND]
    assert made.left_out == made.unused == []


def test_earlier_turns_come_between() -> None:
    made = prompt("ask", "and now?", [CODE], TALK, budget=2000, count=estimate)
    assert [message.role for message in made.messages] == ["system", "user", "assistant", "user"]


def test_with_little_room_the_named_code_outlives_turns_and_findings() -> None:
    talk = [Message("user", "old " * 200), Message("assistant", "older " * 200), *TALK]
    found = Part("b.py", "words " * 200, named=False)
    made = prompt("ask", "why?", [found, CODE], talk, budget=200, count=estimate)
    assert made.shown == [CODE]
    assert made.unused == ["b.py"]
    assert made.left_out == ["2 earlier messages"]
    assert made.messages[1:3] == TALK


def test_named_code_without_room_loses_its_middle_and_that_is_told() -> None:
    lines = [f"line_{n} = {n}\n" for n in range(300)]
    made = prompt("explain", "", [Part("a.py", "".join(lines))], budget=400, count=estimate)
    assert made.left_out == ["the middle of a.py"]
    assert "line_0 = 0\n" in made.messages[-1].content
    assert "line_299 = 299" in made.messages[-1].content
    assert "left out" in made.messages[-1].content
    assert size(made.messages) <= 400


@given(
    st.text(max_size=400),
    st.lists(st.tuples(st.text(max_size=600), st.booleans()), max_size=5),
    st.lists(st.text(max_size=200), max_size=6),
    st.integers(200, 1500),
    st.sampled_from(get_args(Task)),
)
def test_a_prompt_keeps_its_budget_and_loses_nothing_in_silence(
    asked: str, texts: list[tuple[str, bool]], said: list[str], budget: int, task: Task
) -> None:
    parts = [Part(f"p{n}", text, named=named) for n, (text, named) in enumerate(texts)]
    roles = ("user", "assistant")
    talk = [Message(roles[n % 2], text) for n, text in enumerate(said)]
    made = prompt(task, asked, parts, talk, budget=budget, count=estimate)
    # Joining pieces may cost a token each.
    assert size(made.messages) <= budget + len(parts) + len(talk) + 2
    told = " ".join([*made.left_out, *made.unused])
    for part in parts:
        assert any(part.name == shown.name for shown in made.shown) or part.name in told
    assert (len(made.messages) - 2 == len(talk)) or "earlier messages" in told


@given(st.text(max_size=2000), st.integers(0, 300))
def test_cutting_keeps_the_room(text: str, room: int) -> None:
    assert estimate(cut(text, room, estimate)) <= room
    assert cut(text, 10_000, estimate) == text


@given(st.text())
def test_no_text_closes_its_own_fence(text: str) -> None:
    block = fenced(text)
    fence = block.partition("\n")[0]
    inner = block[len(fence) + 1 : -len(fence) - 1]
    assert fence not in inner


SELECTION = "    def f(self):\n        return 1\n"


@pytest.mark.parametrize(
    "answer",
    [
        "    def f(self):\n        return 2",
        "def f(self):\n    return 2\n",
        "def f(self):\n        return 2",
        "```python\ndef f(self):\n    return 2\n```",
        "Here it is:\n\n```\n    def f(self):\n        return 2\n```\nDone.",
        "````md\n        def f(self):\n            return 2\n````",
        "```python\ndef f(self):\n    return 2",
    ],
)
def test_an_edit_stands_where_the_selection_stood(answer: str) -> None:
    assert edited(answer, SELECTION) == "    def f(self):\n        return 2\n"


@pytest.mark.parametrize("answer", ["", "Sure, I can do that.", "```\n\n```", "Here's how: think."])
def test_talk_is_no_edit(answer: str) -> None:
    assert edited(answer, SELECTION) == ""


def test_the_longest_block_is_the_code() -> None:
    assert code_of("Run:\n```sh\nls\n```\nwith\n```py\nx = 1\ny = 2\n```") == "x = 1\ny = 2\n"


@given(st.lists(st.sampled_from(["a = 1", "b = 2", "  c = 3", "", "def d():"]), min_size=1))
def test_an_answer_that_repeats_the_selection_changes_nothing(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    if text.strip() and text == text.strip("\n") + "\n":
        assert diff(text, edited(fenced(text, "python"), text), "a.py") == ""


def test_a_difference_has_the_lines_of_the_file() -> None:
    told = diff(SELECTION, edited("def f(self):\n    return 2", SELECTION), "a.py", first=40)
    assert told.split("\n")[:3] == ["--- a/a.py", "+++ b/a.py", "@@ -41,2 +41,2 @@"]
    assert told.endswith("-        return 1\n+        return 2")


def test_a_difference_grows_with_its_answer_and_never_takes_away_what_may_still_come() -> None:
    before = "one = 1\ntwo = 2\nthree = 3\nfour = 4\n"
    answer = "```python\none = 1\ntwo = 22\nthree = 3\nfour = 4\n```"
    seen = [diff_so_far(before, answer[:end], "a.py") for end in range(len(answer) + 1)]
    assert not any("-four" in told or "-three" in told for told in seen)
    assert seen[0] == ""
    assert seen[-1] == diff(
        before, before.replace("= 22", "= 2").replace("two = 2", "two = 22"), "a.py"
    )
