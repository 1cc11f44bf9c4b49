"""The next edit for editors: the request `tandem/nextEdit`, and code actions for all others.

`tandem/nextEdit {textDocument, position}` answers null or

    {id, title, uri, version, range, edit: {range, newText}, remaining}

where `version` is null for a file that is not open. An answer is for the documents as they are:
if one has changed while it was made, there is none.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cattrs
from lsprotocol import converters, types

from completion.document import Document
from completion.index import Index
from completion.next_edit import Asked, Fill, NextEdit, NextEdits, filled
from completion.next_edit.refused import NO_VALUE
from completion.repository import Repositories
from lsp.documents import Cursor, Documents, OpenDocument, units
from lsp.settings import Settings
from tandem import trace

NEXT_EDIT = "tandem/nextEdit"
ACTION = types.CodeActionKind.RefactorRewrite
# Documents under other schemes are shown, not written: `git:`, `output:`, a diff's other side.
SCHEMES = frozenset({"file", "untitled"})
STALE = "the document has changed"
# Values that the model has given, kept by their edit: editors ask for actions again and again.
_KEPT_VALUES = 64
log = logging.getLogger(__name__)
_converter = converters.get_converter()


class OpenNextEdits:
    """Of one language server. `fill` is what asks the model for a missing argument."""

    def __init__(
        self, documents: Documents, settings: Settings, repositories: Repositories
    ) -> None:
        self.fill: Fill | None = None
        self._edits = NextEdits()
        self._documents = documents
        self._settings = settings
        self._repositories = repositories
        self._values: dict[str, NextEdit] = {}
        self._told: dict[str, tuple[str, str]] = {}
        self._asking = asyncio.Lock()

    def changing(self, uri: str, document: OpenDocument) -> None:
        """A document is about to change."""
        if _may_be_written(uri):
            self._edits.before_change(document.path, document.language, lambda: document.plain)

    def closed(self, document: OpenDocument) -> None:
        self._edits.closed(document.path)

    async def next(self, params: Any) -> dict[str, Any] | None:
        """The answer to `tandem/nextEdit`."""
        try:
            place = _converter.structure(_plain(params), types.TextDocumentPositionParams)
        except (cattrs.BaseValidationError, TypeError, KeyError, ValueError):
            return None
        uri = place.text_document.uri
        edits, asked = await self._ask(uri, place.position)
        if not edits:
            return None
        first = edits[0]
        edit = self._text_edit(first, uri)
        target = self._uri(first.path, uri)
        document = self._documents.get(target)
        return {
            "id": first.id,
            "title": f"{_capital(asked.change)} here{_more(len(asked.edits) - 1)}",
            "uri": target,
            "version": document.version if document else None,
            "range": _converter.unstructure(edit.range),
            "edit": _converter.unstructure(edit),
            "remaining": len(asked.edits) - 1,
        }

    async def actions(
        self, params: types.CodeActionParams, client: types.ClientCapabilities
    ) -> list[types.CodeAction]:
        """The next edit, and all that are left where no value is missing."""
        only = params.context.only
        if only and not any(_includes(kind, ACTION) for kind in only):
            return []
        uri = params.text_document.uri
        edits, asked = await self._ask(uri, params.range.start)
        if not edits:
            return []
        more = _more(len(asked.edits) - 1)
        versioned = _takes_versions(client)
        made = [self._action(f"{asked.change} here{more}", edits[:1], uri, versioned)]
        sure = [edit for edit in asked.edits if edit.hole is None]
        if len(sure) > 1:
            files = len({edit.path for edit in sure})
            told = f"{len(sure)} places" + (f" in {files} files" if files > 1 else "")
            made.append(self._action(f"{asked.change} everywhere ({told})", sure, uri, versioned))
        return made

    async def _ask(self, uri: str, position: types.Position) -> tuple[list[NextEdit], Asked]:
        """The next edit, with its value, and what was found; no edit if there is none to give."""
        document = self._documents.get(uri)
        if document is None or not _may_be_written(uri) or not self._is_on(document.path):
            return [], Asked()
        # Taken before the first wait: see lsp.server.
        cursor = document.at(position)
        opened = {
            other.path: Document(other.path, other.language, other.plain, other.version)
            for name, other in self._documents
            if _may_be_written(name)
        }
        versions = {path: one.version for path, one in opened.items()}
        event = trace.Event(
            kind="next_edit",
            source="lsp",
            file=str(document.path),
            line=cursor.position.line + 1,
            column=cursor.position.character,
        )
        edits: list[NextEdit] = []
        try:
            async with self._asking:
                asked = await asyncio.to_thread(
                    self._edits.ask,
                    cursor.document,
                    cursor.offset,
                    self._index(document.path),
                    opened.get,
                )
            edits = await self._with_value(asked.edits, opened)
        except Exception:
            log.exception("no next edit")
            return [], Asked()
        reason = asked.reason or ("" if edits or not asked.change else NO_VALUE)
        touched = {document.path, *(edit.path for edit in asked.edits)}
        if any(self._version(path) != versions.get(path) for path in touched):
            edits, reason = [], STALE
            asked = Asked((), asked.change, STALE)
        self._tell(event, cursor, asked, edits, reason)
        return edits, asked

    async def _with_value(
        self, edits: Sequence[NextEdit], opened: dict[Path, Document]
    ) -> list[NextEdit]:
        """The first that has all it needs, or that gets it."""
        for edit in edits:
            if edit.hole is None:
                return [edit]
            known = self._values.get(edit.id)
            document = opened.get(edit.path)
            if known is None and document is not None:
                known = await filled(edit, document, self.fill)
                if known is not None:
                    self._values[edit.id] = known
                    if len(self._values) > _KEPT_VALUES:
                        del self._values[next(iter(self._values))]
            if known is not None:
                return [known]
        return []

    def _tell(
        self,
        event: trace.Event,
        cursor: Cursor,
        asked: Asked,
        edits: Sequence[NextEdit],
        reason: str,
    ) -> None:
        """One event a finding: editors ask for actions whenever the cursor moves."""
        if not asked.change:
            return
        found = (asked.change, edits[0].id if edits else reason)
        file = event.file
        if self._told.get(file) == found:
            return
        self._told[file] = found
        event.reason = "" if edits else reason
        event.shown = edits[0].new if edits else None
        event.details = {
            "language": cursor.document.language,
            "version": cursor.document.version,
            "change": asked.change,
            "places": len(asked.edits),
        }
        if edits:
            event.id = edits[0].id
        trace.write(event)

    def _action(
        self, title: str, edits: Sequence[NextEdit], uri: str, versioned: bool
    ) -> types.CodeAction:
        by_uri: dict[str, list[types.TextEdit]] = {}
        for edit in edits:
            target = self._uri(edit.path, uri)
            by_uri.setdefault(target, []).append(self._text_edit(edit, uri))
        if not versioned:
            whole = types.WorkspaceEdit(changes=dict(by_uri))
            return types.CodeAction(f"Tandem: {title}", kind=ACTION, edit=whole)
        changes = [
            types.TextDocumentEdit(
                types.OptionalVersionedTextDocumentIdentifier(
                    name, document.version if (document := self._documents.get(name)) else None
                ),
                list(made),
            )
            for name, made in by_uri.items()
        ]
        whole = types.WorkspaceEdit(document_changes=changes)
        return types.CodeAction(f"Tandem: {title}", kind=ACTION, edit=whole)

    def _text_edit(self, edit: NextEdit, uri: str) -> types.TextEdit:
        encoding = self._documents.encoding
        last = edit.old.rpartition("\n")[2] if "\n" in edit.old else edit.before + edit.old
        text = edit.new
        document = self._documents.get(self._uri(edit.path, uri))
        start = types.Position(edit.start[0], units(edit.before, encoding))
        if document is not None:
            text = document.at(start).insertion(text)
        end = types.Position(edit.end[0], units(last, encoding))
        return types.TextEdit(types.Range(start, end), text)

    def _uri(self, path: Path, asked: str) -> str:
        """As the editor spells it, if it has the file open."""
        document = self._documents.get(asked)
        if document is not None and document.path == path:
            return asked
        for name, other in self._documents:
            if other.path == path and _may_be_written(name):
                return other.uri
        return path.as_uri()

    def _version(self, path: Path) -> int | None:
        return next((one.version for name, one in self._documents if one.path == path), None)

    def _index(self, path: Path) -> Index | None:
        repository = self._repositories.of(path, self._settings.folder_of(path))
        return repository.index if repository is not None else None

    def _is_on(self, path: Path) -> bool:
        options = self._settings.of(path).completion
        return options.enabled and options.next_edit


def _may_be_written(uri: str) -> bool:
    return unquote(uri).partition(":")[0] in SCHEMES


def _includes(asked: str, kind: str) -> bool:
    return kind == asked or kind.startswith(f"{asked}.") or not asked


def _takes_versions(client: types.ClientCapabilities) -> bool:
    workspace = client.workspace
    able = workspace.workspace_edit if workspace is not None else None
    return bool(able is not None and able.document_changes)


def _more(count: int) -> str:
    return f" ({count} more)" if count else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(params: Any) -> Any:
    """What pygls makes of the parameters of a request that it does not know, as it came."""
    if hasattr(params, "_asdict"):
        return {name: _plain(value) for name, value in params._asdict().items()}
    if isinstance(params, list):
        return [_plain(one) for one in params]
    return params
