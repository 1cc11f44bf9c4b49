"""The language server: its parts, capabilities and handlers."""

import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from lsprotocol import types
from pygls.lsp.server import LanguageServer

from completion import snooze
from completion.document import Document
from lsp import outcomes
from lsp.chat import names as chat
from lsp.completions import Completions
from lsp.documents import Documents, OpenDocument, path_of
from lsp.next_edit import ACTION, NEXT_EDIT, OpenNextEdits
from lsp.notebooks import SYNC as NOTEBOOK_SYNC
from lsp.notebooks import Notebooks
from lsp.protocol import Protocol
from lsp.repositories import OpenRepositories
from lsp.requests import Requests
from lsp.sessions import Sessions
from lsp.settings import SECTION, Settings
from lsp.status import STATUS, status
from tandem import __version__

if TYPE_CHECKING:
    from lsp.chat.commands import ChatCommands

ACTIONS = [ACTION, chat.QUICK_FIX, chat.EXPLAIN]
log = logging.getLogger(__name__)


class TandemServer(LanguageServer):
    """What the handlers share."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.requests = Requests()
        self.documents = Documents(self._closed)
        self.notebooks = Notebooks(self.documents)
        self.settings = Settings(options or {}, self.tell)
        self.repositories = OpenRepositories(self, self.settings)
        self.sessions = Sessions(self, self.repositories.all)
        self.outcomes = outcomes.OpenOutcomes()
        self.next_edits = OpenNextEdits(self.documents, self.settings, self.repositories.all)
        self.next_edits.fill = self._fill
        self.editor: psutil.Process | None = None
        super().__init__(
            "tandem", __version__, protocol_cls=Protocol, notebook_document_sync=NOTEBOOK_SYNC
        )
        self.completions = Completions(self)
        _register(self)
        outcomes.register(self, self.outcomes)

    @cached_property
    def chat(self) -> "ChatCommands":
        # Imported here: what they need takes longer to load than all the rest.
        from lsp.chat.commands import ChatCommands

        return ChatCommands(self)

    async def close_chat(self) -> None:
        if "chat" in vars(self):
            await self.chat.close()

    def tell(self, message: str) -> None:
        """Show one line to the user."""
        self.window_show_message(
            types.ShowMessageParams(types.MessageType.Warning, f"Tandem: {message}")
        )

    def report_server_error(self, error: Exception, source: Any) -> None:
        """A handler's failure is for the log, not for the person who is typing."""
        log.error("%s: %s", type(error).__name__, str(error).partition("\n")[0])

    def _closed(self, document: OpenDocument) -> None:
        self.requests.closed(document)
        self.sessions.forget(document.path)

    async def _fill(self, document: Document, offset: int) -> str:
        return await self.sessions.fill(self.settings.of(document.path), document, offset)

    async def configure(self) -> None:
        """Ask the client for its settings, if it can be asked, then serve by them."""
        workspace = self.client_capabilities.workspace
        if workspace is not None and workspace.configuration:
            await self._pull()
        self.sessions.use(self.settings.current())

    async def _pull(self) -> None:
        places: list[Path | None] = [None, *self.settings.folders]
        items = [
            types.ConfigurationItem(place.as_uri() if place else None, SECTION) for place in places
        ]
        try:
            answers = await self.workspace_configuration_async(types.ConfigurationParams(items))
        except Exception as error:
            log.warning("the client did not tell its settings: %s", error)
            return
        self.settings.pull(dict(zip(places, answers, strict=False)))

    def take_folders(self) -> None:
        workspace = self.workspace
        uris = [folder.uri for folder in workspace.folders.values()]
        if not uris and workspace.root_uri:
            uris = [workspace.root_uri]
        self.settings.folders = [path for path in map(path_of, uris) if path.is_absolute()]


def _register(server: TandemServer) -> None:
    for method, handler, options in (
        (types.INITIALIZE, initialize, None),
        (types.INITIALIZED, initialized, None),
        (types.WORKSPACE_DID_CHANGE_CONFIGURATION, did_change_configuration, None),
        (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, did_change_folders, None),
        (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, did_change_watched_files, None),
        (types.TEXT_DOCUMENT_DID_SAVE, did_save, None),
        (types.TEXT_DOCUMENT_CODE_ACTION, code_action, types.CodeActionOptions(ACTIONS)),
        (NEXT_EDIT, next_edit, None),
        (STATUS, tell_status, None),
    ):
        server.feature(method, options)(handler)
    for name, command in (("tandem.snooze", do_snooze), ("tandem.unsnooze", do_unsnooze)):
        server.command(name)(command)
    for kind in chat.KINDS:
        server.command(chat.name_of(kind))(_chat_command(kind))


def _chat_command(kind: str) -> Callable[..., Coroutine[Any, Any, dict[str, Any]]]:
    async def command(ls: TandemServer, *arguments: Any) -> dict[str, Any]:
        return await ls.chat.run(kind, arguments)

    return command


def initialize(ls: TandemServer, params: types.InitializeParams) -> None:
    ls.documents.encoding = types.PositionEncodingKind(ls.workspace.position_encoding).value
    ls.take_folders()
    ls.settings.initialize(params.initialization_options)
    # An editor in another process namespace (a container) is not there to be watched.
    with contextlib.suppress(psutil.Error, ValueError):
        ls.editor = psutil.Process(params.process_id) if params.process_id else None


async def initialized(ls: TandemServer, params: types.InitializedParams) -> None:
    workspace = ls.client_capabilities.workspace
    registrations = []
    changes = workspace.did_change_configuration if workspace else None
    if changes is not None and changes.dynamic_registration:
        registrations.append(
            types.Registration(
                "tandem-configuration",
                types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                types.DidChangeConfigurationRegistrationOptions(SECTION),
            )
        )
    files = workspace.did_change_watched_files if workspace else None
    if files is not None and files.dynamic_registration:
        everything = types.FileSystemWatcher(glob_pattern="**/*")
        registrations.append(
            types.Registration(
                "tandem-files",
                types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
                types.DidChangeWatchedFilesRegistrationOptions([everything]),
            )
        )
    if registrations:
        ls.client_register_capability(types.RegistrationParams(registrations))
    ls.outcomes.start()
    await ls.configure()


def did_change_watched_files(ls: TandemServer, params: types.DidChangeWatchedFilesParams) -> None:
    ls.repositories.changed_on_disk(path_of(change.uri) for change in params.changes)


def did_save(ls: TandemServer, params: types.DidSaveTextDocumentParams) -> None:
    document = ls.documents.get(params.text_document.uri)
    if document is not None and document.is_file:
        ls.repositories.saved(document)


async def did_change_configuration(
    ls: TandemServer, params: types.DidChangeConfigurationParams
) -> None:
    ls.settings.push(params.settings)
    await ls.configure()


async def did_change_folders(
    ls: TandemServer, params: types.DidChangeWorkspaceFoldersParams
) -> None:
    ls.take_folders()
    await ls.configure()


def do_snooze(ls: TandemServer, minutes: Any = snooze.USUAL_MINUTES) -> float | None:
    """No suggestions for so many minutes, in all editors. Until when, in seconds since the epoch."""
    is_number = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if not is_number or not 0 < minutes <= snooze.LONGEST_MINUTES:
        ls.tell(f"snooze for more than 0 and at most {snooze.LONGEST_MINUTES} minutes.")
        return None
    try:
        return snooze.snooze(minutes)
    except OSError as error:
        ls.tell(f"cannot snooze: {error.strerror}.")
        return None
    finally:
        ls.completions.snooze.look_again()


def do_unsnooze(ls: TandemServer) -> bool:
    """Suggest again. Whether it was snoozed."""
    try:
        return snooze.unsnooze()
    except OSError as error:
        ls.tell(f"still snoozed: {error.strerror}.")
        return False
    finally:
        ls.completions.snooze.look_again()


async def code_action(ls: TandemServer, params: types.CodeActionParams) -> list[types.CodeAction]:
    found = await ls.next_edits.actions(params, ls.client_capabilities)
    document = ls.documents.get(params.text_document.uri)
    if document is not None and ls.settings.of(document.path).chat.actions:
        found += chat.actions(params, document.language)
    return found


async def next_edit(ls: TandemServer, params: Any) -> dict[str, Any] | None:
    return await ls.next_edits.next(params)


def tell_status(ls: TandemServer, params: Any) -> dict[str, Any]:
    asked = getattr(getattr(params, "textDocument", None), "uri", None)
    return status(ls, path_of(asked) if isinstance(asked, str) else None)
