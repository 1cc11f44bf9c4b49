"""`tandem acp`: Tandem as the agent of an editor that speaks the Agent Client Protocol.

A prompt is answered by the chat model, with what the index knows of the session's folder and what
the prompt links to. `/fix [COMMAND]` looks for a patch in the sandbox; its stages are a plan, its
diff is shown, and the editor's user is asked before it is written. `/review` and `/commit` are
about what is staged. Sessions are kept as chats are, and can be loaded again.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import acp
from acp import schema
from acp.helpers import update_available_commands
from acp.interfaces import Client

from completion import chat_history
from completion.chat_context import Selection
from completion.chat_history import History
from completion.chat_prompts import Part, Task
from completion.document import Document, language_of, read_text
from completion.index import Index, Indexer
from lsp.acp_fix import fixed
from lsp.chat.model import Models
from lsp.documents import path_of
from sandbox.staged import staged
from tandem import __version__, config, secrets
from tandem.errors import TandemError, UsageError

COMMANDS = {
    "fix": ("A proved patch for the failing tests", "how to run the tests, if not as usual"),
    "explain": ("What the linked code does", "a question about it"),
    "review": ("Look over the staged changes", "what to look at"),
    "commit": ("A commit message for the staged changes", "what it should say"),
}
LONGEST_LINE = 50 * 1024 * 1024  # bytes of a message
_TASKS: dict[str, Task] = {"explain": "explain", "review": "review", "commit": "commit"}
log = logging.getLogger(__name__)


@dataclass
class _Session:
    """One conversation about a folder; `index` once it was looked into."""

    root: Path
    history: History
    index: Index | None = None
    working: asyncio.Task[Any] | None = None
    tools: int = field(default=0)


class Agent:
    """Of one editor."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._sessions: dict[str, _Session] = {}
        self._models = Models("acp")
        self._background: set[asyncio.Task[None]] = set()

    @property
    def client(self) -> Client:
        assert self._client is not None, "the editor speaks first"
        return self._client

    def on_connect(self, conn: Client) -> None:
        self._client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
        return schema.InitializeResponse(
            protocol_version=min(protocol_version, acp.PROTOCOL_VERSION),
            agent_capabilities=schema.AgentCapabilities(
                load_session=True,
                prompt_capabilities=schema.PromptCapabilities(embedded_context=True),
            ),
            agent_info=schema.Implementation(name="tandem", title="Tandem", version=__version__),
        )

    async def new_session(self, cwd: str, **_: Any) -> schema.NewSessionResponse:
        root = _folder(cwd)
        history = chat_history.new(root)
        self._begin(history.name, _Session(root, history))
        return schema.NewSessionResponse(session_id=history.name)

    async def load_session(
        self, cwd: str, session_id: str, **_: Any
    ) -> schema.LoadSessionResponse | None:
        """Bring back a session of that folder, telling the editor what was said in it."""
        root = _folder(cwd)
        found = [one for one in chat_history.of_workspace(root) if one.name == session_id]
        if not found:
            raise acp.RequestError(-32002, f"There is no session {session_id} of {root}.")
        for message in found[0].messages():
            update = (
                acp.update_user_message_text
                if message.role == "user"
                else acp.update_agent_message_text
            )
            await self.client.session_update(session_id, update(message.content))
        self._begin(session_id, _Session(root, found[0]))
        return schema.LoadSessionResponse()

    async def prompt(
        self, session_id: str, prompt: Sequence[Any], **_: Any
    ) -> schema.PromptResponse:
        """One turn. Raises RequestError with our one line for what went wrong."""
        session = self._session(session_id)
        if session.working is not None:
            raise acp.RequestError(-32600, "This session is at work: cancel that first.")
        session.working = asyncio.create_task(self._turn(session_id, session, prompt))
        try:
            await session.working
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                session.working.cancel()
                raise
            return schema.PromptResponse(stop_reason="cancelled")
        except TandemError as error:
            raise acp.RequestError(-32603, secrets.redact(str(error))) from error
        finally:
            session.working = None
        return schema.PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **_: Any) -> None:
        session = self._sessions.get(session_id)
        if session is not None and session.working is not None:
            session.working.cancel()

    async def close(self) -> None:
        for session in self._sessions.values():
            if session.working is not None:
                session.working.cancel()
            if session.index is not None:
                session.index.close()
        await self._models.close()

    async def _turn(self, id: str, session: _Session, prompt: Sequence[Any]) -> None:
        words, selections, parts = _read(session.root, prompt)
        command, _, rest = words.partition(" ") if words.startswith("/") else ("", "", words)
        name = command.removeprefix("/")
        if name == "fix":
            session.tools += 1
            await fixed(self.client, id, session.root, rest.strip(), f"fix-{session.tools}")
            return
        if command and name not in _TASKS:
            known = ", ".join(f"/{known}" for known in COMMANDS)
            raise UsageError(f"There is no command {command}.", f"There are: {known}")
        if name in ("review", "commit"):
            parts.append(await asyncio.to_thread(_staged, session.root))
        if not (words or selections or parts):
            raise UsageError("The prompt is empty.", "Ask something.")
        await self._answer(id, session, _TASKS.get(name, "ask"), rest.strip(), selections, parts)

    async def _answer(
        self,
        id: str,
        session: _Session,
        task: Task,
        asked: str,
        selections: Sequence[Selection],
        parts: Sequence[Part],
    ) -> None:
        """The model's answer, told piece by piece and in order."""
        if session.index is None:
            session.index = await asyncio.to_thread(_index, session.root)
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        telling = asyncio.create_task(self._tell(id, pieces))
        try:
            answer = await self._models.ask(
                config.load(session.root),
                task,
                asked,
                selections,
                parts,
                index=session.index,
                history=session.history,
                on_text=pieces.put_nowait,
            )
            if answer.said.finish == "length":
                pieces.put_nowait("\n\n*(The answer ends here at chat.max_tokens.)*")
            if answer.prompt.left_out:
                pieces.put_nowait(f"\n\n*(No room for: {', '.join(answer.prompt.left_out)}.)*")
        finally:
            pieces.put_nowait(None)
            await telling

    async def _tell(self, id: str, pieces: asyncio.Queue[str | None]) -> None:
        while (piece := await pieces.get()) is not None:
            await self.client.session_update(id, acp.update_agent_message_text(piece))

    def _begin(self, id: str, session: _Session) -> None:
        self._sessions[id] = session
        # After the answer, which tells the editor of the session that this is about.
        self._later(self._tell_commands(id))

    async def _tell_commands(self, id: str) -> None:
        await asyncio.sleep(0)
        commands = [
            schema.AvailableCommand(
                name=name,
                description=does,
                input=schema.AvailableCommandInput(root=schema.UnstructuredCommandInput(hint=hint)),
            )
            for name, (does, hint) in COMMANDS.items()
        ]
        await self.client.session_update(id, update_available_commands(commands))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _session(self, id: str) -> _Session:
        session = self._sessions.get(id)
        if session is None:
            raise acp.RequestError(-32002, f"There is no session {id}.")
        return session


def run() -> None:
    """Serve one editor over stdio until it hangs up, and end the process."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    asyncio.run(_serve())


async def _serve() -> None:
    agent = Agent()
    # Only messages may reach the editor: whatever else is printed goes to stderr.
    wire = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = wire
    output, given = await acp.stdio_streams(limit=LONGEST_LINE)
    sys.stdout = sys.stderr
    try:
        await acp.run_agent(agent, given, output)  # pyright: ignore[reportArgumentType]
    except Exception:
        log.exception("the conversation with the editor broke off")
        os._exit(1)
    await agent.close()
    # A fix that is still at work in a thread would keep the process.
    os._exit(0)


def _folder(cwd: str) -> Path:
    root = Path(cwd)
    if not root.is_absolute() or not root.is_dir():
        raise acp.RequestError(-32602, f"{cwd} is no folder.")
    return root.resolve()


def _read(root: Path, prompt: Sequence[Any]) -> tuple[str, list[Selection], list[Part]]:
    """The words of a prompt, files below the root that it links to, and texts that it brings."""
    words: list[str] = []
    selections: list[Selection] = []
    parts: list[Part] = []
    for block in prompt:
        if block.type == "text":
            words.append(block.text)
        elif block.type == "resource_link":
            selections.append(_linked(root, str(block.uri)))
        elif block.type == "resource" and hasattr(block.resource, "text"):
            path = path_of(str(block.resource.uri))
            if secrets.is_secret_file(path):
                raise UsageError(f"{path.name} holds secrets by its name.", "Leave it out.")
            name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
            parts.append(Part(name, block.resource.text, language_of(path), "given by you"))
    return " ".join(words).strip(), selections, parts


def _linked(root: Path, uri: str) -> Selection:
    path = path_of(uri).resolve()
    if not path.is_relative_to(root):
        raise UsageError(f"{path} is outside of {root}.", "Link to files inside.")
    if secrets.is_secret_file(path):
        raise UsageError(f"{path.name} holds secrets by its name.", "Leave it out.")
    text, _ = read_text(path)
    return Selection(Document(path, language_of(path), text), 0, max(0, text.count("\n") - 1))


def _index(root: Path) -> Index:
    indexer = Indexer(root)
    indexer.update()
    indexer.close()
    return Index(root)


def _staged(root: Path) -> Part:
    changes = staged(root)
    if not changes:
        raise UsageError("Nothing is staged.", "Run git add first.")
    text = "\n".join(change.diff for change in changes)
    return Part("The staged change", text, "diff", "staged")
