"""Edits of chat commands: made by lines, and applied by the editor after its user's yes."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types

from lsp.documents import OpenDocument, units

if TYPE_CHECKING:
    from lsp.server import TandemServer

ANNOTATION = "tandem"
_YES, _NO = "Apply", "Leave it"


def between(old: str, new: str, newline: str, encoding: str) -> list[types.TextEdit]:
    """The edits from one text to another, both with "\\n" line ends; `newline` is the document's."""
    before, after = old.split("\n"), new.split("\n")
    made = []
    for tag, low, high, start, end in SequenceMatcher(None, before, after, False).get_opcodes():
        if tag == "equal":
            continue
        lines = after[start:end]
        # From a line's start to another's; at the text's end, where no line follows, from an end.
        if high < len(before):
            first, last = types.Position(low, 0), types.Position(high, 0)
            text = "".join(f"{line}\n" for line in lines)
        elif low > 0:
            first = types.Position(low - 1, units(before[low - 1], encoding))
            last = types.Position(high - 1, units(before[high - 1], encoding))
            text = "".join(f"\n{line}" for line in lines)
        else:
            first = types.Position(0, 0)
            last = types.Position(high - 1, units(before[high - 1], encoding))
            text = "\n".join(lines)
        made.append(types.TextEdit(types.Range(first, last), text.replace("\n", newline)))
    return made


def workspace_edit(
    server: "TandemServer",
    label: str,
    edits: Mapping[str, tuple[int | None, Sequence[types.TextEdit]]],
    made: Mapping[str, str] | None = None,
) -> types.WorkspaceEdit:
    """By URI: the version that edits are for (None: a file that is not open), and the edits.
    `made` are whole new files. For clients that can, with an annotation that wants a yes."""
    able = _able(server)
    annotated = able is not None and able.change_annotation_support is not None
    if able is None or not able.document_changes:
        changes = {uri: list(some) for uri, (_, some) in edits.items()}
        start = types.Range(types.Position(0, 0), types.Position(0, 0))
        changes |= {uri: [types.TextEdit(start, text)] for uri, text in (made or {}).items()}
        return types.WorkspaceEdit(changes=changes)
    name = ANNOTATION if annotated else None
    operations: list[types.TextDocumentEdit | types.CreateFile] = []
    for uri, text in (made or {}).items():
        operations.append(types.CreateFile(uri, annotation_id=name))
        start = types.Range(types.Position(0, 0), types.Position(0, 0))
        operations.append(_of(uri, None, [types.TextEdit(start, text)], name))
    for uri, (version, some) in edits.items():
        operations.append(_of(uri, version, some, name))
    notes = {ANNOTATION: types.ChangeAnnotation(label, needs_confirmation=True)}
    return types.WorkspaceEdit(
        document_changes=operations, change_annotations=notes if annotated else None
    )


async def offer(server: "TandemServer", label: str, edit: types.WorkspaceEdit) -> tuple[bool, str]:
    """Have the editor apply an edit: it asks for a yes itself, or we do. Whether it was applied,
    and why not."""
    workspace = server.client_capabilities.workspace
    if workspace is None or not workspace.apply_edit:
        return False, "this editor applies no edits from a server"
    if not edit.change_annotations:
        items = [types.MessageActionItem(_YES), types.MessageActionItem(_NO)]
        answer = await server.window_show_message_request_async(
            types.ShowMessageRequestParams(types.MessageType.Info, f"Tandem: {label}?", items)
        )
        if answer is None or answer.title != _YES:
            return False, "you did not say yes"
    done = await server.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(edit, label))
    return (
        done.applied,
        "" if done.applied else done.failure_reason or "the editor did not apply it",
    )


def uri_of(server: "TandemServer", path: Path) -> tuple[str, OpenDocument | None]:
    """A file's URI as the editor has it open, and that document."""
    for _, document in server.documents:
        if document.is_file and document.path == path:
            return document.uri, document
    return path.as_uri(), None


def _of(
    uri: str, version: int | None, edits: Sequence[types.TextEdit], annotation: str | None
) -> types.TextDocumentEdit:
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri, version)
    if annotation is None:
        return types.TextDocumentEdit(identifier, list(edits))
    marked = [types.AnnotatedTextEdit(annotation, e.range, e.new_text) for e in edits]
    return types.TextDocumentEdit(identifier, marked)


def _able(server: "TandemServer") -> types.WorkspaceEditClientCapabilities | None:
    workspace = server.client_capabilities.workspace
    return workspace.workspace_edit if workspace else None
