"""The language server: capabilities and handlers.

A request's cursor is taken from the documents before the handler's first `await`, so that edits
which arrive while the model works change neither that text nor that place. The answer is sent
all the same, as LSP asks; an editor drops it when its text has moved on.
"""

import contextlib
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from lsprotocol import types
from pygls.lsp.server import LanguageServer

from completion import silence
from lsp.documents import Cursor, Documents, OpenDocument, path_of, scheme_of
from lsp.notebooks import SYNC as NOTEBOOK_SYNC
from lsp.notebooks import Notebooks
from lsp.protocol import Protocol
from lsp.repositories import OpenRepositories
from lsp.requests import Requests
from lsp.sessions import Sessions
from lsp.settings import SECTION, Settings
from tandem import __version__, trace

LABEL_WIDTH = 60
TRIGGERS = [".", "(", "[", "=", ",", ":", " "]
log = logging.getLogger(__name__)


class TandemServer(LanguageServer):
    """What the handlers share."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.requests = Requests()
        self.documents = Documents(self.requests.closed)
        self.notebooks = Notebooks(self.documents)
        self.settings = Settings(options or {}, self.tell)
        self.repositories = OpenRepositories(self, self.settings)
        self.sessions = Sessions(self, self.repositories.all)
        self.editor: psutil.Process | None = None
        super().__init__(
            "tandem", __version__, protocol_cls=Protocol, notebook_document_sync=NOTEBOOK_SYNC
        )
        _register(self)

    def tell(self, message: str) -> None:
        """Show one line to the user."""
        self.window_show_message(
            types.ShowMessageParams(types.MessageType.Warning, f"Tandem: {message}")
        )

    def report_server_error(self, error: Exception, source: Any) -> None:
        """A handler's failure is for the log, not for the person who is typing."""
        log.error("%s: %s", type(error).__name__, str(error).partition("\n")[0])

    async def complete(
        self, uri: str, position: types.Position, invoked: bool
    ) -> list[tuple[Cursor, str]]:
        """What may be inserted at a position, each with the cursor it is for."""
        try:
            document = self.documents.get(uri)
            reason = _unfit(document)
            if document is None or reason:
                _trace_silence(uri, position, reason, invoked)
                return []
            cursor = self.notebooks.with_cells_above(uri, document.at(position))
            config = self.settings.of(document.path)
            folder = self.settings.folder_of(document.path)
            self.sessions.use(self.settings.current())
            asked = replace(cursor.document, root=folder)
            completion = await self.requests.run(
                document, self.sessions.complete(config, asked, cursor.offset, invoked)
            )
        except Exception:
            log.exception("a completion failed")
            return []
        items = completion.items if completion is not None else []
        return [(cursor, cursor.insertion(text)) for text in items]

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
        (types.TEXT_DOCUMENT_INLINE_COMPLETION, inline_completion, types.InlineCompletionOptions()),
        (types.TEXT_DOCUMENT_COMPLETION, completion, types.CompletionOptions(TRIGGERS)),
    ):
        server.feature(method, options)(handler)


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


async def inline_completion(
    ls: TandemServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    found = await ls.complete(params.text_document.uri, params.position, invoked)
    return types.InlineCompletionList(
        [types.InlineCompletionItem(text, range=_here(cursor)) for cursor, text in found]
    )


async def completion(ls: TandemServer, params: types.CompletionParams) -> types.CompletionList:
    invoked = _is_gesture(ls, params)
    if _has_ghost_text(ls) and not invoked:
        return types.CompletionList(is_incomplete=True, items=[])
    found = await ls.complete(params.text_document.uri, params.position, invoked)
    items = [_item(cursor, number, text) for number, (cursor, text) in enumerate(found)]
    return types.CompletionList(is_incomplete=True, items=items)


def _has_ghost_text(ls: TandemServer) -> bool:
    text_document = ls.client_capabilities.text_document
    return text_document is not None and text_document.inline_completion is not None


def _is_gesture(ls: TandemServer, params: types.CompletionParams) -> bool:
    """Whether the user asked by a key, as far as LSP lets us know.

    Editors also say "invoked" for each letter of a name that is typed; right after one we take
    it for typing.
    """
    if params.context is None:
        return True
    if params.context.trigger_kind != types.CompletionTriggerKind.Invoked:
        return False
    document = ls.documents.get(params.text_document.uri)
    return document is not None and not document.at(params.position).word


def _unfit(document: OpenDocument | None) -> str:
    """Why no session is asked about a document; "" if one is."""
    if document is None:
        return silence.NOT_OPEN
    if document.read_only:
        return silence.READ_ONLY
    return "" if document.in_step else silence.OUT_OF_STEP


def _trace_silence(uri: str, position: types.Position, reason: str, invoked: bool) -> None:
    event = trace.Event(
        kind="completion",
        source="lsp",
        file=str(path_of(uri)),
        line=position.line + 1,
        column=position.character,
        reason=reason,
        details={"invoked": invoked, "scheme": scheme_of(uri)},
    )
    trace.write(event)


def _item(cursor: Cursor, number: int, text: str) -> types.CompletionItem:
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [text]
    label = lines[0] if len(lines) == 1 else f"{lines[0]} …"
    if len(label) > LABEL_WIDTH:
        label = f"{label[: LABEL_WIDTH - 2]} …"
    return types.CompletionItem(
        label=label,
        kind=types.CompletionItemKind.Text,
        detail="Tandem",
        documentation=text if len(lines) > 1 else None,
        sort_text=f"0{number:03}",
        # Editors match this against the word before the cursor, which the text only continues.
        filter_text=cursor.word + re.split(r"[\r\n]", text, maxsplit=1)[0],
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(_here(cursor), text),
    )


def _here(cursor: Cursor) -> types.Range:
    return types.Range(cursor.position, cursor.position)
