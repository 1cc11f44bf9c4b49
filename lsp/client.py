"""The editor's side of the conversation: what the demo and the tests type with."""

import asyncio
import contextlib
import itertools
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from tandem import __version__


def capabilities(
    encodings: Sequence[str] = ("utf-16",),
    inline: bool = True,
    progress: bool = True,
    configuration: bool = False,
) -> types.ClientCapabilities:
    """What an editor says it can do."""
    return types.ClientCapabilities(
        general=types.GeneralClientCapabilities(
            position_encodings=[types.PositionEncodingKind(name) for name in encodings]
        ),
        text_document=types.TextDocumentClientCapabilities(
            completion=types.CompletionClientCapabilities(),
            inline_completion=types.InlineCompletionClientCapabilities() if inline else None,
        ),
        window=types.WindowClientCapabilities(work_done_progress=progress),
        workspace=types.WorkspaceClientCapabilities(
            configuration=configuration,
            workspace_folders=True,
            execute_command=types.ExecuteCommandClientCapabilities(),
            did_change_configuration=types.DidChangeConfigurationClientCapabilities(
                dynamic_registration=configuration
            ),
        ),
    )


class Editor:
    """One language server and the documents open in it. Close it when done."""

    def __init__(self) -> None:
        self.client = LanguageClient("tandem-editor", __version__)
        self.messages: list[str] = []
        self.progress: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
        self.registered: list[str] = []
        self.settings: dict[str | None, Any] = {}
        self.asked = 0
        self._versions: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._heard = asyncio.Event()
        self._listen()

    @property
    def exit_code(self) -> int | None:
        """None while the server runs, or if it was not started by us."""
        return self.client._server.returncode if self.client._server else None

    async def start(self, *command: str, env: Mapping[str, str] | None = None) -> None:
        """Start a server and talk to it over its standard input and output."""
        await self.client.start_io(*command, env=env)

    async def connect(self, host: str, port: int) -> None:
        await self.client.start_tcp(host, port)

    async def initialize(
        self,
        able: types.ClientCapabilities | None = None,
        options: Any = None,
        folders: Sequence[Path] = (),
        process_id: int | None = None,
    ) -> types.InitializeResult:
        result = await self.client.initialize_async(
            types.InitializeParams(
                capabilities=able or capabilities(),
                process_id=process_id or os.getpid(),
                initialization_options=options,
                workspace_folders=[folder_at(folder) for folder in folders],
            )
        )
        self.client.initialized(types.InitializedParams())
        return result

    def open(self, uri: str, text: str, language: str = "python") -> None:
        self._versions[uri] = 1
        item = types.TextDocumentItem(uri, language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def shut(self, uri: str) -> None:
        """Close one document."""
        identifier = types.TextDocumentIdentifier(uri)
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(identifier))

    def change(self, uri: str, *changes: tuple[types.Position, types.Position, str]) -> int:
        """Replace ranges by texts, one after the other. Returns the document's new version."""
        self._versions[uri] += 1
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(self._versions[uri], uri),
                [
                    types.TextDocumentContentChangePartial(types.Range(start, end), text)
                    for start, end, text in changes
                ],
            )
        )
        return self._versions[uri]

    def request_inline(
        self, uri: str, line: int, column: int, invoked: bool = False
    ) -> tuple[int, asyncio.Future[types.InlineCompletionList]]:
        """Ask for ghost text; the request's id, to cancel it by, and its answer."""
        kind = types.InlineCompletionTriggerKind
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(kind.Invoked if invoked else kind.Automatic),
            types.TextDocumentIdentifier(uri),
            types.Position(line, column),
        )
        number = next(self._ids)
        answer = self.client.protocol.send_request_async(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, params, number
        )
        return number, answer

    async def inline(
        self, uri: str, line: int, column: int, invoked: bool = False
    ) -> list[types.InlineCompletionItem]:
        return list((await self.request_inline(uri, line, column, invoked)[1]).items)

    def send(self, method: str, params: Any) -> asyncio.Future[Any]:
        """Send a request as it is, well-formed or not; its answer."""
        number = next(self._ids)
        answer: Future[Any] = Future()
        protocol = self.client.protocol
        protocol._request_futures[number] = answer
        protocol._send_data({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return asyncio.wrap_future(answer)

    def cancel(self, number: int) -> None:
        self.client.protocol.notify(types.CANCEL_REQUEST, types.CancelParams(number))

    async def loaded(self) -> str:
        """Wait until no model is loading any more; what the server said at the end."""
        while not self.progress or not all(map(_ended, self.progress.values())):
            await self._next()
        return list(self.progress.values())[-1][-1].get("message", "")

    async def told(self) -> str:
        """Wait for a message to the user; the newest one."""
        while not self.messages:
            await self._next()
        return self.messages[-1]

    async def close(self) -> int | None:
        """Say shutdown and exit, unless the server is gone; its exit code."""
        if not self.client.stopped and self.exit_code is None:
            await self.client.shutdown_async(None)
            self.client.exit(None)
        await self.client.stop()
        return self.exit_code

    async def _next(self) -> None:
        """Wait until the server says something."""
        self._heard.clear()
        if self.client.stopped:
            raise ConnectionError("the language server ended")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._heard.wait(), 1.0)

    def _listen(self) -> None:
        @self.client.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)
        def _create(_: types.WorkDoneProgressCreateParams) -> None:
            return None

        @self.client.feature(types.PROGRESS)
        def _progress(params: types.ProgressParams) -> None:
            assert isinstance(params.value, dict)
            self.progress[params.token].append(params.value)
            self._heard.set()

        @self.client.feature(types.WINDOW_SHOW_MESSAGE)
        def _message(params: types.ShowMessageParams) -> None:
            self.messages.append(params.message)
            self._heard.set()

        @self.client.feature(types.CLIENT_REGISTER_CAPABILITY)
        def _register(params: types.RegistrationParams) -> None:
            self.registered.extend(one.method for one in params.registrations)

        @self.client.feature(types.WORKSPACE_CONFIGURATION)
        def _configuration(params: types.ConfigurationParams) -> list[Any]:
            self.asked += 1
            return [self.settings.get(item.scope_uri) for item in params.items]


def folder_at(path: Path) -> types.WorkspaceFolder:
    return types.WorkspaceFolder(uri=path.as_uri(), name=path.name)


def _ended(told: list[dict[str, Any]]) -> bool:
    return bool(told) and told[-1].get("kind") == "end"
