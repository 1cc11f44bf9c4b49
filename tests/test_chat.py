"""The chat client against a scripted server over real HTTP: every way an answer can go."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from completion.chat import Chat, Message, Said, Tool, ToolCall, Usage, connect
from completion.chat_wire import manner_of
from completion.client import Busy, TooMuch, Unavailable
from tandem import trace
from tandem.config import Config
from tandem.errors import ConfigError, EngineError
from tandem.sections import ChatConfig
from tests.scripted_chat import (
    MODEL,
    ScriptedChat,
    Turn,
    breaks_off,
    calls,
    fails,
    fenced,
    refuses,
    says,
    scripted,
)

SEARCH = Tool("search", "Find text.", {"type": "object", "properties": {"query": {}}})
QUESTION = [Message("user", "Where is the pager?")]
KEY = "sk-" + "a1b2c3d4e5f6a7b8c9d0e1f2"


@pytest.fixture(autouse=True)
def _home(empty_home: Path) -> None:
    """Traces go into folders of the test's own; no server's manner is known yet."""
    manner_of.cache_clear()


async def say(server: ScriptedChat, **other: object) -> Said:
    options = other.pop("options", None)
    tools = other.pop("tools", ())
    assert options is None or isinstance(options, ChatConfig)
    async with Chat(server.url, MODEL, options=options) as chat:
        return await chat.say(QUESTION, tools, **other)  # type: ignore[arg-type]


async def test_an_answer_streams_with_its_usage_and_cost() -> None:
    pieces: list[str] = []
    options = ChatConfig(prices={MODEL: (2.0, 10.0)})
    with scripted(says("It is in pager.py.", usage=(1000, 50))) as server:
        said = await say(server, options=options, on_text=pieces.append)
    assert said == Said("It is in pager.py.", (), "stop", Usage(1000, 50, 0.0025))
    assert "".join(pieces) == said.text
    assert len(pieces) > 1


async def test_what_is_asked_for_is_in_the_body() -> None:
    options = ChatConfig(max_tokens=77, temperature=0.5)
    with scripted(says("a"), says("b")) as server:
        await say(server, options=options)
        await say(server, options=options, max_tokens=5, temperature=1.5, tools=[SEARCH])
    first, second = server.bodies
    assert (first["model"], first["max_tokens"], first["temperature"]) == (MODEL, 77, 0.5)
    assert "tools" not in first
    assert (second["max_tokens"], second["temperature"]) == (5, 1.5)
    assert second["tools"][0]["function"]["name"] == "search"


async def test_usage_that_is_not_told_is_guessed() -> None:
    with scripted(says("some words of an answer", usage=None)) as server:
        said = await say(server)
    assert said.usage.guessed
    assert said.usage.prompt > 0
    assert said.usage.completion > 0


def test_usages_add_up() -> None:
    total = Usage(1, 2, 0.5) + Usage(3, 4, 0.25, guessed=True)
    assert total == Usage(4, 6, 0.75, guessed=True)
    assert total.tokens == 10


async def test_tool_calls_are_put_together_from_their_pieces() -> None:
    made = calls(("search", {"query": "päger and more"}), ("search", {}), text="Looking.")
    with scripted(made) as server:
        said = await say(server, tools=[SEARCH])
    assert said.finish == "tool_calls"
    assert said.text == "Looking."
    assert [call.arguments for call in said.calls] == [{"query": "päger and more"}, {}]
    assert len({call.id for call in said.calls}) == 2


async def test_arguments_that_are_no_json_come_as_they_are() -> None:
    with scripted(calls(("search", '{"query": "a'))) as server:
        said = await say(server, tools=[SEARCH])
    assert said.calls[0].arguments == '{"query": "a'


async def test_broken_arguments_go_back_to_the_server_as_json() -> None:
    with scripted(says("ok")) as server:
        async with Chat(server.url, MODEL) as chat:
            broken = Said("", (ToolCall("c1", "search", '{"q'),)).message
            await chat.say([*QUESTION, broken, Message("tool", "bad JSON", tool_call_id="c1")])
    sent = server.bodies[0]["messages"]
    assert json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]) == {"broken": '{"q'}
    assert sent[2] == {"role": "tool", "content": "bad JSON", "tool_call_id": "c1"}


async def test_whole_calls_without_an_index_stay_apart() -> None:
    told = [
        {"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("first", "second")
    ]
    events = [{"choices": [{"index": 0, "delta": {"tool_calls": [one]}}]} for one in told]
    raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    with scripted(Turn(raw=raw)) as server:
        said = await say(server, tools=[SEARCH])
    assert [call.name for call in said.calls] == ["first", "second"]


async def test_a_server_without_tools_gets_them_in_the_prompt_from_then_on() -> None:
    turns = fenced("search", {"query": "pager"}, "Let me look."), says("Found it.")
    with scripted(*turns, native_tools=False) as server:
        first = await say(server, tools=[SEARCH])
        async with Chat(server.url, MODEL) as other:
            result = Message("tool", "pager.py", tool_call_id=first.calls[0].id)
            second = await other.say([*QUESTION, first.message, result], [SEARCH])
    assert first.calls == (ToolCall("call_1", "search", {"query": "pager"}),)
    assert first.text == "Let me look."
    assert first.finish == "tool_calls"
    assert second.text == "Found it."
    assert ["tools" in body for body in server.bodies] == [True, False, False]
    roles = [message["role"] for message in server.bodies[2]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert "Result of search:\npager.py" in server.texts[2].replace("\\n", "\n")


async def test_a_model_that_writes_its_calls_as_text_is_asked_so_from_then_on() -> None:
    turns = fenced("search", {"query": "a"}), fenced("search", {"query": "b"})
    with scripted(*turns) as server:
        first = await say(server, tools=[SEARCH])
        await say(server, tools=[SEARCH])
    assert first.calls[0].arguments == {"query": "a"}
    assert ["tools" in body for body in server.bodies] == [True, False]


async def test_native_only_says_that_the_server_takes_no_tools() -> None:
    with (
        scripted(says("never"), native_tools=False) as server,
        pytest.raises(EngineError, match="takes no tools"),
    ):
        await say(server, tools=[SEARCH], options=ChatConfig(tools="native"))


async def test_tools_in_the_prompt_by_setting_are_never_sent_otherwise() -> None:
    with scripted(fenced("search", '{"name": "search", "arguments": {"query": ')) as server:
        said = await say(server, tools=[SEARCH], options=ChatConfig(tools="prompt"))
    assert "tools" not in server.bodies[0]
    assert said.calls[0].name == "search"
    assert isinstance(said.calls[0].arguments, str)


@pytest.mark.parametrize("field", ["temperature", "stream_options"])
async def test_fields_that_a_server_refuses_are_left_out_from_then_on(field: str) -> None:
    def strict(body: dict) -> Turn:
        return fails(400, f"{field} is not supported") if field in body else says("fine")

    with scripted(strict) as server:
        assert (await say(server)).text == "fine"
        assert (await say(server)).text == "fine"
    assert [field in body for body in server.bodies] == [True, False, False]


async def test_the_newer_name_of_the_limit_is_used_where_the_older_is_refused() -> None:
    def newer(body: dict) -> Turn:
        if "max_tokens" in body:
            return fails(400, "Use 'max_completion_tokens' instead of 'max_tokens'.")
        return says("fine")

    with scripted(newer) as server:
        assert (await say(server, max_tokens=9)).text == "fine"
    assert server.bodies[1]["max_completion_tokens"] == 9


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again(status: int) -> None:
    with scripted(fails(status), fails(status), says("at last")) as server:
        assert (await say(server)).text == "at last"
    assert len(server.bodies) == 3


async def test_retry_after_is_waited_for_and_may_be_too_long() -> None:
    with (
        scripted(fails(429, "slow down", retry_after=3600)) as server,
        pytest.raises(Busy, match="slow down"),
    ):
        await say(server)
    assert len(server.bodies) == 1


async def test_asking_again_ends_some_time() -> None:
    with scripted(lambda _: fails(503, "down")) as server, pytest.raises(Unavailable, match="down"):
        await say(server)
    assert 1 < len(server.bodies) < 10


async def test_nobody_there_is_told_with_the_address() -> None:
    with scripted() as server:
        pass
    with pytest.raises(Unavailable, match="cannot be reached"):
        await say(server, options=ChatConfig(timeout_s=1))


@pytest.mark.parametrize(
    ("turn", "kind", "told"),
    [
        (fails(401, "no key"), EngineError, "refused the token"),
        (fails(404, "no such model"), EngineError, "no such model"),
        (fails(400, "maximum context length is 10 tokens"), TooMuch, "maximum context length"),
        (fails(418, "teapot"), EngineError, "418: teapot"),
    ],
)
async def test_what_will_not_pass_is_told_at_once(
    turn: Turn, kind: type[EngineError], told: str
) -> None:
    with scripted(turn, says("never")) as server, pytest.raises(kind, match=told):
        await say(server)
    assert len(server.bodies) == 1


async def test_a_stream_that_breaks_off_before_a_word_is_asked_for_again() -> None:
    with scripted(breaks_off(), says("whole")) as server:
        assert (await say(server)).text == "whole"


async def test_a_stream_that_breaks_off_later_gives_what_came() -> None:
    with scripted(breaks_off("half of it, and"), says("never")) as server:
        said = await say(server)
    assert (said.text, said.finish) == ("half of it, and", "cut")
    assert len(server.bodies) == 1


async def test_a_stream_without_an_end_counts_as_cut() -> None:
    with scripted(says("half of it", end=False)) as server:
        assert (await say(server)).finish == "cut"


async def test_a_call_that_breaks_off_is_given_as_the_text_it_is() -> None:
    raw = {"index": 0, "id": "c", "function": {"name": "search", "arguments": '{"que'}}
    event = {"choices": [{"index": 0, "delta": {"tool_calls": [raw]}}]}
    with scripted(Turn(raw=f"data: {json.dumps(event)}\n\n")) as server:
        said = await say(server, tools=[SEARCH])
    assert said.finish == "cut"
    assert said.calls == (ToolCall("c", "search", '{"que'),)


@pytest.mark.parametrize(
    "raw",
    [
        "data: {not json\n\n",
        'data: ["a list"]\n\n',
        'data: {"choices": "text"}\n\n',
        'data: {"error": {"message": "out of memory"}}\n\n',
        "",
    ],
)
async def test_a_broken_stream_is_asked_for_again(raw: str) -> None:
    turn = Turn(raw=raw) if raw else says("", end=False)
    with scripted(turn, says("fine")) as server:
        assert (await say(server)).text == "fine"


async def test_the_finish_is_told() -> None:
    with scripted(says("a long", finish="length"), says("x", finish="eos")) as server:
        assert (await say(server)).finish == "length"
        assert (await say(server)).finish == "stop"


async def test_a_refusal_is_an_answer_of_its_own_kind() -> None:
    with scripted(refuses("I will not.")) as server:
        said = await say(server)
    assert (said.text, said.finish) == ("I will not.", "refusal")


async def test_a_server_that_takes_too_long_is_told_as_busy() -> None:
    with (
        scripted(says("late", delay_s=30)) as server,
        pytest.raises(Busy, match=r"within 0\.5 s"),
    ):
        await say(server, options=ChatConfig(timeout_s=0.5))


async def test_an_answer_that_takes_too_long_gives_what_came() -> None:
    with scripted(says("the beginning", hang_s=60)) as server:
        said = await say(server, options=ChatConfig(timeout_s=4))
    assert (said.text, said.finish) == ("the beginning", "cut")


async def test_cancelling_closes_the_connection_and_is_traced() -> None:
    came = asyncio.Event()
    with scripted(says("word " * 50, pause_s=0.2)) as server:
        asking = asyncio.create_task(say(server, on_text=lambda _: came.set()))
        await came.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        end = time.monotonic() + 60
        while not server.left:
            assert time.monotonic() < end, "the server still sends"
            await asyncio.sleep(0.02)
    assert trace.read()[-1]["reason"] == "cancelled"


async def test_secrets_never_leave_and_are_told_in_the_trace() -> None:
    call = ToolCall("c1", "search", {"query": KEY, "password": "hunter2X!x9"})
    talk = [
        Message("user", f"my key is {KEY}"),
        Message("assistant", "", (call,)),
        Message("tool", f"found {KEY}", tool_call_id="c1"),
    ]
    with scripted(says("ok")) as server:
        async with Chat(server.url, MODEL) as chat:
            await chat.say(talk)
    assert KEY not in json.dumps(server.bodies)
    assert "hunter2" not in json.dumps(server.bodies)
    assert trace.read()[-1]["details"]["redacted"] == {"openai key": 2}


async def test_each_answer_leaves_one_event_and_each_failure_its_reason() -> None:
    with scripted(fails(429), says("fine"), fails(418, "over")) as server:
        await say(server)
        with pytest.raises(EngineError):
            await say(server)
    first, second = trace.read()
    assert first["kind"] == "chat"
    assert (first["shown"], first["details"]["attempts"]) == ("fine", 2)
    assert first["stages_ms"].keys() == {"first_token", "total"}
    assert second["shown"] is None
    assert "418" in second["reason"]


async def test_answers_may_be_asked_for_side_by_side() -> None:
    def echo(body: dict) -> Turn:
        return says(body["messages"][-1]["content"], delay_s=0.1)

    with scripted(echo) as server:
        async with Chat(server.url, MODEL) as chat:
            said = await asyncio.gather(*(chat.say([Message("user", str(n))]) for n in range(8)))
    assert [one.text for one in said] == [str(n) for n in range(8)]


async def test_what_the_listener_raises_is_not_taken_for_the_servers_fault() -> None:
    def broken(_: str) -> None:
        raise ValueError("ours")

    with scripted(says("text")) as server, pytest.raises(ValueError, match="ours"):
        await say(server, on_text=broken)
    assert len(server.bodies) == 1


async def test_a_server_that_does_not_stream_is_understood() -> None:
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from tests.served_app import served

    async def whole(_: Request) -> Response:
        message = {"role": "assistant", "content": "all at once"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({"choices": [choice], "usage": None})

    pieces: list[str] = []
    with served([Route("/v1/chat/completions", whole, methods=["POST"])]) as url:
        async with Chat(f"{url}/v1", MODEL) as chat:
            said = await chat.say(QUESTION, on_text=pieces.append)
    assert (said.text, said.finish, pieces) == ("all at once", "stop", ["all at once"])


async def test_the_settings_name_server_model_and_roles() -> None:
    with scripted(says("a"), context=4096) as server:
        config = Config(chat=ChatConfig(endpoint=server.url, planner="big"))
        async with await connect(config) as chat:
            assert (chat.model, chat.context) == (MODEL, 4096)
            assert (await chat.say(QUESTION)).text == "a"
        async with await connect(config, "planner") as planner:
            assert planner.model == "big"
        async with await connect(config, "executor") as executor:
            assert executor.model == MODEL


async def test_a_server_without_a_list_needs_a_models_name() -> None:
    with scripted(listed=False) as server:
        with pytest.raises(EngineError, match="404"):
            await connect(Config(chat=ChatConfig(endpoint=server.url)))
        async with await connect(Config(chat=ChatConfig(endpoint=server.url, model="x"))) as chat:
            assert (chat.model, chat.context) == ("x", 8192)


async def test_the_token_may_come_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(says("a")) as server:
        config = Config(chat=ChatConfig(endpoint=server.url, token_env="MY_CHAT_KEY"))
        with pytest.raises(ConfigError, match="MY_CHAT_KEY"):
            await connect(config)
        monkeypatch.setenv("MY_CHAT_KEY", "open sesame")
        async with await connect(config) as chat:
            await chat.say(QUESTION)
    assert server.headers[-1]["authorization"] == "Bearer open sesame"


async def test_without_a_chat_server_the_endpoint_that_completes_is_asked() -> None:
    with scripted(says("a")) as server:
        async with await connect(Config(endpoint=server.url)) as chat:
            assert (await chat.say(QUESTION)).text == "a"


async def test_the_embedded_model_answers(tandem_home: Path) -> None:
    """The real engine; what it says is its own affair."""
    from completion.engine import background

    config = Config()
    pieces: list[str] = []
    try:
        async with await connect(config, source="test") as chat:
            assert chat.context == config.engine.context
            assert chat.count("def add(a, b):") < len("def add(a, b):")
            said = await chat.say(QUESTION, [SEARCH], max_tokens=12, on_text=pieces.append)
            again = await chat.say(QUESTION, [SEARCH], max_tokens=12)
    finally:
        background.stop(config)
    assert said.text == again.text
    assert 0 < said.usage.completion <= 12
    assert not said.usage.guessed
    assert trace.read()[-1]["model"] == config.model
