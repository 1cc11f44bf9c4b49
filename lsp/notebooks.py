"""Notebooks: their cells are documents, and the code cells above one stand before it.

A kernel runs the cells of a notebook as one program, most often from the top. So a cursor in a
cell is asked about in a text that begins with the code of the cells above.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lsprotocol import types

from completion.languages import language_row
from completion.lexer import Lexer
from lsp.documents import Cursor, Documents, OpenDocument, same

SYNC = types.NotebookDocumentSyncOptions([types.NotebookDocumentFilterWithNotebook("*")])
# Characters of cells above; a prompt has room for less.
MOST_ABOVE = 16_000
_MAGIC = re.compile(r"^[ \t]*[%!].*\n?", re.MULTILINE)  # IPython's own commands, no Python
_CELL_MAGIC = "%%"


@dataclass(frozen=True)
class _Cell:
    uri: str
    code: bool

    @classmethod
    def of(cls, cell: types.NotebookCell) -> "_Cell":
        return cls(same(cell.document), cell.kind == types.NotebookCellKind.Code)


class Notebooks:
    """The order of all open notebooks' cells. Their texts are among the open documents."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._cells: dict[str, list[_Cell]] = {}

    def open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        for item in params.cell_text_documents:
            self._documents.open(item)
        notebook = params.notebook_document
        self._cells[same(notebook.uri)] = [_Cell.of(cell) for cell in notebook.cells]

    def change(self, params: types.DidChangeNotebookDocumentParams) -> None:
        """Edits of a notebook that is not open change nothing."""
        cells, changes = self._cells.get(same(params.notebook_document.uri)), params.change.cells
        if cells is None or changes is None:
            return
        if changes.structure is not None:
            self._restructure(cells, changes.structure)
        kinds = {same(cell.document): _Cell.of(cell) for cell in changes.data or ()}
        cells[:] = [kinds.get(cell.uri, cell) for cell in cells]
        for content in changes.text_content or ():
            self._documents.change(content.document, content.changes)

    def close(self, params: types.DidCloseNotebookDocumentParams) -> None:
        cells = self._cells.pop(same(params.notebook_document.uri), [])
        listed = [same(identifier.uri) for identifier in params.cell_text_documents]
        for uri in {*listed, *(cell.uri for cell in cells)}:
            self._documents.close(uri)

    def with_cells_above(self, uri: str, cursor: Cursor) -> Cursor:
        """A cursor in a code cell, in the text that the cells above make with its own.

        `position` stays the cell's, and so does the text after the cursor.
        """
        above = self._above(same(uri), cursor.document.language)
        document = replace(cursor.document, text=above + cursor.document.text)
        return replace(cursor, document=document, offset=len(above) + cursor.offset)

    def _above(self, uri: str, language: str) -> str:
        code: list[str] = []
        room = MOST_ABOVE
        for cell in reversed(self._before(uri)):
            document = self._documents.get(cell.uri) if cell.code else None
            text = _program(document, language) if document is not None else ""
            room -= len(text)
            if room < 0:
                break
            code.append(text)
        return "".join(reversed(code))

    def _before(self, uri: str) -> Sequence[_Cell]:
        """The cells above a code cell, none for other documents."""
        for cells in self._cells.values():
            for number, cell in enumerate(cells):
                if cell.uri == uri:
                    return cells[:number] if cell.code else []
        return []

    def _restructure(
        self, cells: list[_Cell], structure: types.NotebookDocumentCellChangeStructure
    ) -> None:
        for item in structure.did_open or ():
            self._documents.open(item)
        array = structure.array
        end = array.start + array.delete_count
        cells[array.start : end] = [_Cell.of(cell) for cell in array.cells or ()]
        for identifier in structure.did_close or ():
            self._documents.close(identifier.uri)


def _program(document: OpenDocument, language: str) -> str:
    """A cell's code as the part of a program; "" if it is of another language, or is no whole
    statements: what it leaves open would take the next cell for its own."""
    text = document.plain.strip("\n")
    if document.language != language or not document.in_step or text.startswith(_CELL_MAGIC):
        return ""
    if language == "python":
        text = _MAGIC.sub("", text)
    row = language_row(language)
    lexer = Lexer(row)
    lexer.feed(text.rstrip())
    goes_on = lexer.stack or lexer.quote or (row.opener and lexer.last == row.opener)
    return "" if goes_on or not text.strip() else text.rstrip() + "\n\n"
