"""Requests in OpenAI's shapes: what is taken, what is refused, and which field is named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.engine.api import ApiError, ChatRequest, CompletionRequest, parse

USER = [{"role": "user", "content": "hello"}]


def completion(**fields: Any) -> CompletionRequest:
    return parse(CompletionRequest, json.dumps({"prompt": "a", **fields}).encode())


def chat(**fields: Any) -> ChatRequest:
    return parse(ChatRequest, json.dumps({"messages": USER, **fields}).encode())


def refusal(call: Any, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(**fields)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt": 5}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"model": 5}, "model"),
        ({"max_tokens": "16"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 5]}, "stop.1"),
        ({"stop": ""}, "stop.0"),
        ({"stop": ["a"] * 33}, "stop"),
        ({"stop": "a" * 1025}, "stop.0"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"prediction": "text"}, "prediction"),
        ({"prediction": {"type": "tokens", "content": "a"}}, "prediction.type"),
        ({"tandem": {"document": 5}}, "tandem.document"),
        ({"tandem": {"priority": 10}}, "tandem.priority"),
        ({"echo": True}, "echo"),
        ({"suffix": "b"}, "suffix"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"best_of": 4}, "best_of"),
        ({"heal": 5}, "heal"),
        ({"heal": None}, "heal"),
        ({"heal": "a" * 1025}, "heal"),
        ({"cache_salt": ""}, "cache_salt"),
        ({"cache_salt": "a" * 257}, "cache_salt"),
        ({"cache_salt": 5}, "cache_salt"),
    ],
)
def test_a_wrong_field_of_a_completion_is_named(fields: dict[str, Any], named: str) -> None:
    error = refusal(completion, **fields)
    assert error.param == named
    assert error.message.startswith(f"{named}: ")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "wizard", "content": ""}]}, "messages.0.role"),
        ({"messages": [*USER, {"role": "user", "content": 5}]}, "messages.1.content"),
        ({"messages": [*USER, {"content": "a"}]}, "messages.1.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages.0.content.0.type",
        ),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"n": 9}, "n"),
    ],
)
def test_a_wrong_field_of_a_chat_is_named(fields: dict[str, Any], named: str) -> None:
    assert refusal(chat, **fields).param == named


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b'{"prompt": "a"',
        b'{"prompt": "a",}',
        b"{'prompt': 'a'}",
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud800"}',
        b"[" * 100_000,
        b'{"prompt": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="not valid JSON") as caught:
        parse(CompletionRequest, body)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"5", b"null"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="must be a JSON object"):
        parse(CompletionRequest, body)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_temperature_that_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(ApiError):
        parse(CompletionRequest, b'{"prompt": "a", "temperature": %s}' % number.encode())


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_never_break_the_parser(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse(ChatRequest, body)
    assert caught.value.status == 400


def test_unknown_fields_are_ignored() -> None:
    assert completion(user="me", frequency_penalty=0.5, made_up={"a": [1]}).prompt == "a"


def test_fields_that_ask_for_nothing_are_taken() -> None:
    completion(n=1, best_of=1, echo=False, suffix=None, logprobs=None, stop=None, seed=None)
    chat(tools=[], response_format={"type": "text"}, logprobs=False, stream=None)


def test_a_list_of_one_prompt_is_that_prompt() -> None:
    assert completion(prompt=["abc"]).prompt == "abc"
    assert completion(prompt=[[1, 2]]).prompt == [1, 2]
    assert completion(prompt=[1, 2]).prompt == [1, 2]


def test_defaults_are_those_of_openai() -> None:
    request = completion().request([1, 2], context=100)
    assert (request.max_tokens, request.temperature, request.top_p) == (16, 1.0, 1.0)
    assert (request.seed, request.stop, request.heal) == (None, (), "")


def test_a_chat_without_a_limit_may_fill_the_context() -> None:
    assert chat().request([1] * 30, context=100).max_tokens == 70


def test_the_newer_name_of_the_limit_wins() -> None:
    assert chat(max_tokens=5, max_completion_tokens=7).request([1], 100).max_tokens == 7


def test_the_limit_is_cut_to_the_room_that_is_left() -> None:
    assert completion(max_tokens=10**9).request([1] * 30, context=100).max_tokens == 70


def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers() -> None:
    with pytest.raises(ApiError, match=r"123 tokens.* 100 tokens") as caught:
        completion().request([1] * 123, context=100)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "prompt"
    completion().request([1] * 99, context=100)
    with pytest.raises(ApiError):
        completion().request([1] * 100, context=100)


def test_a_temperature_too_small_to_divide_by_is_greedy() -> None:
    assert completion(temperature=1e-300).request([1], 100).temperature == 0


def test_one_stop_string_or_several_are_taken() -> None:
    assert completion(stop="a").request([1], 100).stop == ("a",)
    assert completion(stop=["a", "b"]).request([1], 100).stop == ("a", "b")


def test_text_parts_are_joined_and_the_developer_is_the_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = chat(messages=[{"role": "developer", "content": parts}])
    assert [message.plain() for message in body.messages] == [{"role": "system", "content": "ab"}]


def test_a_prediction_is_text_or_parts_of_it() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    for content in ("ab", parts):
        asked = completion(prediction={"type": "content", "content": content})
        assert asked.request([1], 100).prediction == "ab"


def test_completions_go_before_chats_unless_the_caller_says_otherwise() -> None:
    assert completion().request([1], 100).priority < chat().request([1], 100).priority
    asked = completion(tandem={"priority": 7, "document": "a.py"}).request([1], 100)
    assert (asked.priority, asked.document) == (7, "a.py")


def test_a_salt_is_taken_from_both_endpoints() -> None:
    assert completion().request([1], 100).salt == chat().request([1], 100).salt == ""
    assert completion(cache_salt="a").request([1], 100).salt == "a"
    assert chat(cache_salt="a").request([1], 100).salt == "a"


def test_log_probabilities_are_asked_for_in_each_endpoints_way() -> None:
    assert completion().request([1], 100).logprobs is None
    assert completion(logprobs=0).request([1], 100).logprobs == 0
    assert chat(logprobs=True).request([1], 100).logprobs == 0
    assert chat(logprobs=True, top_logprobs=4).request([1], 100).logprobs == 4
    assert chat(logprobs=False).request([1], 100).logprobs is None
