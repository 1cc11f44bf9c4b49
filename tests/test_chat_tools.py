"""Tools for models without tools of their own: told in a prompt, read from text; and loops."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.chat_stream import Gathering, loop_in
from completion.chat_tools import parsed, read, told
from completion.messages import Message, Tool, ToolCall

OPEN = Tool("open", "Show lines.", {"type": "object"})
NAMES = {"open", "search"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)


@given(ARGUMENTS, st.sampled_from(sorted(NAMES)))
def test_a_call_that_is_told_is_read_again(arguments: dict, name: str) -> None:
    call = ToolCall("call_1", name, arguments)
    [message] = told([Message("assistant", "Then this.", (call,))], ())
    assert read(message.content, NAMES) == ("Then this.", (call,))


@given(st.text())
def test_reading_any_text_raises_nothing_and_invents_no_words(text: str) -> None:
    rest, calls = read(text, NAMES)
    assert all(word in text for word in rest.split())
    assert len(calls) <= text.count("```") + text.count("<tool_call>")


def test_several_calls_are_numbered_on() -> None:
    block = '```tool\n{"name": "open", "arguments": {"n": %d}}\n```\n'
    rest, calls = read(f"One.\n{block % 1}Two.\n{block % 2}", NAMES, said=3)
    assert rest == "One.\nTwo."
    assert [(call.id, call.arguments) for call in calls] == [
        ("call_4", {"n": 1}),
        ("call_5", {"n": 2}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "open", "arguments": {"path": "a"}}\n</tool_call>',
        '```json\n{"name": "open", "parameters": {"path": "a"}}\n```',
        '```\n{"name": "open", "arguments": {"path": "a"}}\n```',
        '```tool_call\n{"name": "open", "arguments": "{\\"path\\": \\"a\\"}"}\n```',
        '```tool\n{"name": "open", "arguments": {"path": "a"}}',
    ],
)
def test_the_forms_that_models_were_taught_are_read(text: str) -> None:
    assert read(text, NAMES) == ("", (ToolCall("call_1", "open", {"path": "a"}),))


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"name": "tandem", "version": 1}\n```',
        '```json\n{"name": "remove_all", "arguments": {}}\n```',
        "```python\nprint({'name': 'open'})\n```",
        "```json\n[1, 2]\n```",
    ],
)
def test_other_code_is_no_call(text: str) -> None:
    assert read(text, NAMES) == (text, ())


def test_an_unknown_tool_in_a_tool_block_is_still_a_call() -> None:
    """The loop tells the model that there is no such tool; silence would not."""
    assert read('```tool\n{"name": "fly", "arguments": {}}\n```', NAMES)[1][0].name == "fly"


def test_line_ends_inside_of_strings_are_forgiven() -> None:
    text = '```tool\n{"name": "open", "arguments": {"text": "a\nb\n```\nc"}}\n```'
    assert read(text, NAMES)[1][0].arguments == {"text": "a\nb\n```\nc"}


def test_broken_json_is_given_as_it_is() -> None:
    rest, [call] = read(
        'Look:\n```tool\n{"name": "open", "arguments": {"path"}}\n```\nDone.', NAMES
    )
    assert rest == "Look:\nDone."
    assert (call.name, call.arguments) == ("open", '{"name": "open", "arguments": {"path"}}')


def test_the_conversation_for_a_server_without_tools_alternates() -> None:
    call = ToolCall("c9", "open", {"path": "a.py"})
    talk = [
        Message("system", "Be exact."),
        Message("user", "Look."),
        Message("assistant", "", (call,)),
        Message("tool", "1: x", tool_call_id="c9"),
        Message("user", "Go on."),
    ]
    sent = told(talk, [OPEN])
    assert [message.role for message in sent] == ["system", "user", "assistant", "user"]
    assert "open: Show lines." in sent[0].content
    assert sent[0].content.endswith("Be exact.")
    assert json.loads(sent[2].content.split("\n")[1])["arguments"] == {"path": "a.py"}
    assert sent[3].content == "Result of open:\n1: x\n\nGo on."


@pytest.mark.parametrize(
    ("text", "value"),
    [("", {}), ('{"a": 1}', {"a": 1}), ("[1]", "[1]"), ("{", "{"), ("[" * 100_000, "[" * 100_000)],
)
def test_arguments_are_an_object_or_their_text(text: str, value: object) -> None:
    assert parsed(text) == value


@given(st.text(min_size=1), st.data())
def test_calls_are_the_same_however_their_arguments_are_cut(text: str, data: st.DataObject) -> None:
    gathered = Gathering()
    at = 0
    while at < len(text):
        size = data.draw(st.integers(1, 5))
        piece = {"index": 0, "id": "c", "function": {"arguments": text[at : at + size]}}
        gathered.add({"choices": [{"delta": {"tool_calls": [piece]}}]})
        at += size
    assert [call.arguments for call in gathered.calls()] == [parsed(text)]


def test_calls_that_all_say_index_0_stay_apart_by_their_ids() -> None:
    gathered = Gathering()
    for name in ("a", "b"):
        call = {"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}}
        gathered.add({"choices": [{"delta": {"tool_calls": [call]}}]})
    assert [call.name for call in gathered.calls()] == ["a", "b"]


SENTENCE = "The mask is a string that is hidden by a mask of the same length. "


def test_what_is_said_again_and_again_is_a_loop_from_its_second_time() -> None:
    text = f"A beginning. {SENTENCE * 3}"
    assert text[: loop_in(text)] == f"A beginning. {SENTENCE}"
    assert loop_in(f"A beginning. {SENTENCE * 2}") == -1


@pytest.mark.parametrize(
    "text",
    ["=" * 500, "| - | - |\n" * 80, "    0, 0, 0, 0,\n" * 40, "x = [\n" + "    None,\n" * 4, ""],
)
def test_rules_tables_and_short_lists_are_no_loops(text: str) -> None:
    assert loop_in(text) == -1


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60, unique=True))
def test_lines_that_differ_are_no_loop(numbers: list[int]) -> None:
    assert loop_in("".join(f"the number {n:013} is here\n" for n in numbers)) == -1
