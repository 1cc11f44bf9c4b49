"""`tandem acp`, driven by the client side of the protocol's own package over stdio."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import acp
import pytest
from acp import schema

from tests.lsp_client import environment, until
from tests.repositories import MadeRepository
from tests.scripted_chat import breaks_off, says, scripted

BYTES = 50 * 1024 * 1024


@dataclass
class Zed:
    """An editor: it keeps what it is told, and answers questions with `choice`."""

    choice: str = "allow"
    updates: list[Any] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> schema.RequestPermissionResponse:
        self.asked.append(tool_call)
        if not self.choice:
            outcome: Any = schema.DeniedOutcome(outcome="cancelled")
        else:
            outcome = schema.AllowedOutcome(outcome="selected", option_id=self.choice)
        return schema.RequestPermissionResponse(outcome=outcome)

    def of(self, kind: str) -> list[Any]:
        return [update for update in self.updates if update.session_update == kind]

    @property
    def text(self) -> str:
        return "".join(update.content.text for update in self.of("agent_message_chunk"))


Start = Callable[..., AbstractAsyncContextManager[tuple[Any, Zed]]]


@pytest.fixture
def start(bare_home: Path) -> Start:
    @asynccontextmanager
    async def started(endpoint: str = "http://127.0.0.1:9/v1") -> AsyncIterator[tuple[Any, Zed]]:
        zed = Zed()
        editor: Any = zed  # what else a client can do is never asked for
        command = [sys.executable, "-m", "tandem", "acp"]
        env = {**environment(bare_home), "TANDEM_CHAT__ENDPOINT": endpoint}
        options = {"limit": BYTES}
        async with acp.spawn_agent_process(editor, *command, env=env, transport_kwargs=options) as (
            agent,
            _,
        ):
            told = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
            assert told.protocol_version == 1
            assert told.agent_capabilities is not None
            assert told.agent_capabilities.load_session is True
            assert told.agent_info is not None
            assert told.agent_info.name == "tandem"
            yield agent, zed

    return started


def words(text: str) -> list[Any]:
    return [acp.text_block(text)]


async def failure(work: Any) -> tuple[int, str]:
    with pytest.raises(acp.RequestError) as raised:
        await work
    return raised.value.code, str(raised.value)


async def test_a_prompt_is_answered_in_pieces_with_what_it_links_to(
    start: Start, paging: MadeRepository
) -> None:
    link = acp.resource_link_block("paging.py", (paging.folder / "paging.py").as_uri())
    with scripted(says("It makes **pages**.")) as server:
        async with start(server.url) as (agent, zed):
            session = await agent.new_session(cwd=str(paging.folder))
            done = await agent.prompt(
                session_id=session.session_id, prompt=[*words("What is this?"), link]
            )
            await until(lambda: zed.of("available_commands_update"))
    assert done.stop_reason == "end_turn"
    assert zed.text == "It makes **pages**."
    assert len(zed.of("agent_message_chunk")) > 1
    assert "def count(results: int, size: int)" in server.texts[0]
    [commands] = zed.of("available_commands_update")
    assert "fix" in [one.name for one in commands.available_commands]


async def test_a_session_goes_on_and_can_be_loaded_by_another_process(
    start: Start, paging: MadeRepository
) -> None:
    with scripted(says("Forty-two."), says("As I said.")) as server:
        async with start(server.url) as (agent, _):
            session = await agent.new_session(cwd=str(paging.folder))
            await agent.prompt(session_id=session.session_id, prompt=words("How many?"))
        async with start(server.url) as (agent, zed):
            id = session.session_id
            await agent.load_session(cwd=str(paging.folder), session_id=id)
            assert [one.content.text for one in zed.of("user_message_chunk")] == ["How many?"]
            assert zed.text == "Forty-two."
            await agent.prompt(session_id=id, prompt=words("Sure?"))
            code, said = await failure(
                agent.load_session(cwd=str(paging.folder), session_id="../nothing")
            )
    assert "Forty-two." in server.texts[1]
    assert code == -32002
    assert "There is no session" in said


async def test_a_cancelled_turn_ends_as_cancelled_and_hangs_up(
    start: Start, paging: MadeRepository
) -> None:
    with scripted(says("slow " * 50, pause_s=5)) as server:
        async with start(server.url) as (agent, _):
            session = await agent.new_session(cwd=str(paging.folder))
            turn = asyncio.create_task(
                agent.prompt(session_id=session.session_id, prompt=words("Why?"))
            )
            await until(lambda: server.bodies)
            code, _said = await failure(
                agent.prompt(session_id=session.session_id, prompt=words("And?"))
            )
            await agent.cancel(session_id=session.session_id)
            assert (await turn).stop_reason == "cancelled"
            await until(lambda: server.left == 1)
    assert code == -32600


async def test_bad_input_is_told_in_one_line(
    start: Start, paging: MadeRepository, tmp_path: Path
) -> None:
    outside = acp.resource_link_block("x", (tmp_path / "x.py").as_uri())
    (paging.folder / ".env").write_text("KEY=1\n")
    secret = acp.resource_link_block(".env", (paging.folder / ".env").as_uri())
    with scripted(breaks_off("It is")) as server:
        async with start(server.url) as (agent, _):
            session = await agent.new_session(cwd=str(paging.folder))

            async def said(*blocks: Any) -> str:
                turn = agent.prompt(session_id=session.session_id, prompt=list(blocks))
                return (await failure(turn))[1]

            assert "There is no command /nothing" in await said(*words("/nothing"))
            assert "The prompt is empty" in await said(*words("  "))
            assert "is outside of" in await said(outside)
            assert "holds secrets" in await said(secret)
            assert "Nothing is staged" in await said(*words("/review"))
            assert "broke off" in await said(*words("What?"))
            assert (
                "There is no session"
                in (await failure(agent.prompt(session_id="x", prompt=words("?"))))[1]
            )
            assert "is no folder" in (await failure(agent.new_session(cwd="nowhere")))[1]
    assert len(server.bodies) == 1


async def test_staged_changes_get_a_message(start: Start, paging: MadeRepository) -> None:
    paging.write({"new.txt": "hello\n"})
    paging.git("add", "--all")
    with scripted(says("new: say hello")) as server:
        async with start(server.url) as (agent, zed):
            session = await agent.new_session(cwd=str(paging.folder))
            await agent.prompt(session_id=session.session_id, prompt=words("/commit"))
    assert zed.text == "new: say hello"
    assert "+hello" in server.texts[0]


@pytest.mark.parametrize("choice", ["allow", "reject", ""])
async def test_a_fix_shows_its_plan_and_diff_and_asks_before_it_writes(
    start: Start, proved: None, paging: MadeRepository, choice: str
) -> None:
    before = (paging.folder / "paging.py").read_text()
    async with start() as (agent, zed):
        zed.choice = choice
        session = await agent.new_session(cwd=str(paging.folder))
        done = await agent.prompt(session_id=session.session_id, prompt=words("/fix"))
    assert done.stop_reason == "end_turn"
    plans = zed.of("plan")
    assert plans[0].entries[0].status == "in_progress"
    assert {entry.status for entry in plans[-1].entries} == {"completed"}
    [question] = zed.asked
    [diff] = question.content
    assert diff.path == str(paging.folder / "paging.py")
    assert diff.old_text == before
    assert "range(first, last + 1)" in diff.new_text
    now = (paging.folder / "paging.py").read_text()
    assert now == (diff.new_text if choice == "allow" else before)
    ends = {one.tool_call_id: one.status for one in zed.of("tool_call_update")}
    assert ends == {
        "fix-1": "completed",
        "fix-1-write": "completed" if choice == "allow" else "failed",
    }
    assert ("Nothing was written." in zed.text) is (choice != "allow")
    refs = paging.git("for-each-ref", "refs/tandem/backup")
    assert bool(refs) is (choice == "allow")
