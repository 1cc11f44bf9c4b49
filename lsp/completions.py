"""Completions: from an editor's request to a session's, and back to what the editor inserts.

A request's cursor is taken from the documents before the first `await`, so that edits which
arrive while the model works change neither that text nor that place. The answer is sent all the
same, as LSP asks; an editor drops it when its text has moved on.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from completion import silence, snooze
from completion.gate import Ask
from completion.session import Completion
from lsp import outcomes
from lsp.documents import Cursor, OpenDocument, path_of, scheme_of, units
from lsp.status import LastAnswer
from tandem import trace

if TYPE_CHECKING:
    from lsp.server import TandemServer

LABEL_WIDTH = 60
TRIGGERS = [".", "(", "[", "=", ",", ":", " "]
PARTIAL = "tandem/partial"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """`text` for a cursor, with the document's line ends. The editor puts it in place of `range`
    and then runs `command`."""

    cursor: Cursor
    text: str
    range: types.Range
    command: types.Command | None


class Completions:
    """Of one language server. `last` is its newest answer."""

    def __init__(self, server: "TandemServer") -> None:
        self._server = server
        self.snooze = snooze.Snooze()
        self.last: LastAnswer | None = None
        for method, handler, options in (
            (types.TEXT_DOCUMENT_INLINE_COMPLETION, inline, types.InlineCompletionOptions()),
            (types.TEXT_DOCUMENT_COMPLETION, listed, types.CompletionOptions(TRIGGERS)),
        ):
            server.feature(method, options)(handler)

    async def at(
        self, uri: str, position: types.Position, invoked: bool = False, popup: bool = False
    ) -> list[Offer]:
        """What may be inserted at a position."""
        server = self._server
        try:
            document = server.documents.get(uri)
            reason = _unfit(document)
            if document is None or reason:
                _trace_silence(uri, position, reason, invoked)
                line = position.line + 1
                self.last = LastAnswer(str(path_of(uri)), line, False, reason, None)
                return []
            here = document.at(position)
            cursor = server.notebooks.with_cells_above(uri, here)
            config, current = server.settings.of_and_current(document.path)
            folder = server.settings.folder_of(document.path)
            server.sessions.use(current)
            work = server.sessions.complete(
                config,
                replace(cursor.document, root=folder),
                cursor.offset,
                self._ask(document, invoked, popup),
                self._tell_first_line(uri, cursor),
            )
            completion = await server.requests.run(document, work)
        except Exception:
            log.exception("a completion failed")
            return []
        if completion is None:
            return []
        self.last = LastAnswer(
            str(document.path),
            cursor.position.line + 1,
            bool(completion.items),
            completion.reason,
            completion.timing_ms.get("total"),
        )
        return [self._offer(uri, here, completion, text) for text in completion.items]

    def _ask(self, document: OpenDocument, invoked: bool, popup: bool) -> Ask:
        known, now = self._server.outcomes, time.monotonic()
        if invoked:
            known.rejections.reset()
        return Ask(
            now,
            invoked,
            popup,
            self.snooze.active(now),
            document.keys,
            known.rejections,
            [one.outcome for one in known.all.recent(str(document.path))],
        )

    def _offer(self, uri: str, cursor: Cursor, completion: Completion, text: str) -> Offer:
        server = self._server
        current = server.documents.get(uri)
        server.outcomes.shown(completion.id, cursor, text, current)
        if current is not None and current.version == cursor.document.version:
            current.keys.offered([text])
        command = None
        if outcomes.can_run(server.client_capabilities):
            command = outcomes.command(completion.id)
        covered = cursor.document.text[cursor.offset : cursor.offset + completion.replaces]
        start = cursor.position
        end = types.Position(
            start.line, start.character + units(covered, server.documents.encoding)
        )
        return Offer(cursor, cursor.insertion(text), types.Range(start, end), command)

    def _tell_first_line(self, uri: str, cursor: Cursor) -> Callable[[str], None] | None:
        """For a client that shows the first line while the others are on their way."""
        if not _is_experimental(self._server, "partial"):
            return None

        def tell(line: str) -> None:
            self._server.protocol.notify(
                PARTIAL,
                {
                    "textDocument": {"uri": uri, "version": cursor.document.version},
                    "position": cursor.position,
                    "text": cursor.insertion(line),
                },
            )

        return tell


async def inline(
    ls: "TandemServer", params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    """textDocument/inlineCompletion: ghost text."""
    context = params.context
    invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    popup = context.selected_completion_info is not None
    found = await ls.completions.at(params.text_document.uri, params.position, invoked, popup)
    return types.InlineCompletionList(
        [
            types.InlineCompletionItem(offer.text, range=offer.range, command=offer.command)
            for offer in found
        ]
    )


async def listed(ls: "TandemServer", params: types.CompletionParams) -> types.CompletionList:
    """textDocument/completion: for editors without ghost text, or when asked by a key."""
    invoked = _is_gesture(ls, params)
    if _has_ghost_text(ls) and not invoked:
        return types.CompletionList(is_incomplete=True, items=[])
    found = await ls.completions.at(params.text_document.uri, params.position, invoked)
    items = [_item(offer, number) for number, offer in enumerate(found)]
    return types.CompletionList(is_incomplete=True, items=items)


def _has_ghost_text(ls: "TandemServer") -> bool:
    text_document = ls.client_capabilities.text_document
    return text_document is not None and text_document.inline_completion is not None


def _is_gesture(ls: "TandemServer", params: types.CompletionParams) -> bool:
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


def _item(offer: Offer, number: int) -> types.CompletionItem:
    text = offer.text
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
        filter_text=offer.cursor.word + re.split(r"[\r\n]", text, maxsplit=1)[0],
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(offer.range, text),
        command=offer.command,
    )


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


def _is_experimental(ls: "TandemServer", name: str) -> bool:
    """Whether the client says that it knows something of ours that LSP does not have."""
    told: Any = ls.client_capabilities.experimental
    ours = told.get("tandem") if isinstance(told, dict) else getattr(told, "tandem", None)
    return bool(ours.get(name) if isinstance(ours, dict) else getattr(ours, name, False))
