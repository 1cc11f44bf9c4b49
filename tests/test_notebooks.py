"""Notebooks: the order of their cells, and the code above a cell as context for it."""

from pathlib import Path

import pytest
from lsprotocol import types

from lsp.documents import Documents
from lsp.notebooks import MOST_ABOVE, Notebooks
from tests.test_lsp_bad_input import BODY, Served, events, served

__all__ = ["served"]  # a fixture

BOOK = "file:///w/book.ipynb"
CODE, MARKUP = types.NotebookCellKind.Code, types.NotebookCellKind.Markup


def uri(number: int) -> str:
    return f"vscode-notebook-cell:/w/book.ipynb#W{number}"


def cell(number: int, kind: types.NotebookCellKind = CODE) -> types.NotebookCell:
    return types.NotebookCell(kind, uri(number))


def item(number: int, text: str, language: str = "python") -> types.TextDocumentItem:
    return types.TextDocumentItem(uri(number), language, 1, text)


def opening(*texts: str, **languages: str) -> types.DidOpenNotebookDocumentParams:
    items = [item(n, text, languages.get(f"c{n}", "python")) for n, text in enumerate(texts)]
    kinds = [MARKUP if one.language_id == "markdown" else CODE for one in items]
    cells = [cell(n, kind) for n, kind in enumerate(kinds)]
    return types.DidOpenNotebookDocumentParams(
        types.NotebookDocument(BOOK, "jupyter-notebook", 1, cells), items
    )


def change(cells: types.NotebookDocumentCellChanges) -> types.DidChangeNotebookDocumentParams:
    return types.DidChangeNotebookDocumentParams(
        types.VersionedNotebookDocumentIdentifier(2, BOOK),
        types.NotebookDocumentChangeEvent(cells=cells),
    )


def closing(*numbers: int) -> types.DidCloseNotebookDocumentParams:
    cells = [types.TextDocumentIdentifier(uri(number)) for number in numbers]
    return types.DidCloseNotebookDocumentParams(types.NotebookDocumentIdentifier(BOOK), cells)


class Book:
    """An open notebook."""

    def __init__(self, *texts: str, **languages: str) -> None:
        self.documents = Documents()
        self.notebooks = Notebooks(self.documents)
        self.notebooks.open(opening(*texts, **languages))

    def seen(self, number: int) -> str:
        """What a cursor at the end of a cell is asked about, up to there."""
        document = self.documents.get(uri(number))
        assert document is not None
        plain = document.at(types.Position(999, 0))
        cursor = self.notebooks.with_cells_above(uri(number), plain)
        assert cursor.position == plain.position
        assert cursor.document.text[cursor.offset :] == ""
        return cursor.document.text


def test_a_cell_is_seen_after_the_code_cells_above() -> None:
    book = Book("import os", "# Title", "x = 1\n", "print(", c1="markdown")
    assert book.seen(3) == "import os\n\nx = 1\n\nprint("
    assert book.seen(0) == "import os"


def test_a_markup_cell_is_seen_alone() -> None:
    assert Book("import os", "# Title", c1="markdown").seen(1) == "# Title"


def test_cells_of_another_language_are_left_out() -> None:
    assert Book("SELECT 1", "x = 1", "y", c0="sql").seen(2) == "x = 1\n\ny"


def test_magic_of_the_notebook_is_left_out() -> None:
    book = Book("%matplotlib inline\nimport os\n!pip install 'x\n", "%%bash\nls (", "y")
    assert book.seen(2) == "import os\n\ny"


@pytest.mark.parametrize("broken", ["print(", 'x = """', "def f(x):", "if x: # why\n  y = ["])
def test_a_cell_that_leaves_something_open_is_left_out(broken: str) -> None:
    assert Book("import os", broken, "y").seen(2) == "import os\n\ny"


def test_the_nearest_cells_are_seen_where_all_are_too_many() -> None:
    long = "x = 1\n" * (MOST_ABOVE // 12)
    assert Book("import os", long, long + "z = 1", "y").seen(3) == f"{long}z = 1\n\ny"


def test_cells_that_come_go_and_move_change_what_is_above() -> None:
    book = Book("a = 1", "b = 1", "c")
    array = types.NotebookCellArrayChange(0, 2, [cell(1), cell(7), cell(0)])
    structure = types.NotebookDocumentCellChangeStructure(array, did_open=[item(7, "new = 1")])
    book.notebooks.change(change(types.NotebookDocumentCellChanges(structure)))
    assert book.seen(2) == "b = 1\n\nnew = 1\n\na = 1\n\nc"
    array = types.NotebookCellArrayChange(1, 1)
    closed = [types.TextDocumentIdentifier(uri(7))]
    structure = types.NotebookDocumentCellChangeStructure(array, did_close=closed)
    book.notebooks.change(change(types.NotebookDocumentCellChanges(structure)))
    assert book.seen(2) == "b = 1\n\na = 1\n\nc"
    assert book.documents.get(uri(7)) is None


def test_a_cell_that_becomes_markup_is_no_longer_seen() -> None:
    book = Book("a = 1", "b")
    book.notebooks.change(change(types.NotebookDocumentCellChanges(data=[cell(0, MARKUP)])))
    assert book.seen(1) == "b"


def test_an_edit_of_a_cell_is_seen_below() -> None:
    book = Book("a = 1", "b")
    here = types.Position(0, 5)
    edit = types.TextDocumentContentChangePartial(types.Range(here, here), "00")
    identifier = types.VersionedTextDocumentIdentifier(2, uri(0))
    content = types.NotebookDocumentCellContentChanges(identifier, [edit])
    book.notebooks.change(change(types.NotebookDocumentCellChanges(text_content=[content])))
    assert book.seen(1) == "a = 100\n\nb"


def test_an_impossible_place_of_a_change_is_clamped() -> None:
    book = Book("a = 1", "b")
    structure = types.NotebookDocumentCellChangeStructure(types.NotebookCellArrayChange(90, 9))
    book.notebooks.change(change(types.NotebookDocumentCellChanges(structure)))
    assert book.seen(1) == "a = 1\n\nb"


def test_a_closed_notebook_closes_all_its_cells_and_then_changes_nothing() -> None:
    book = Book("a = 1", "b")
    book.notebooks.close(closing(0))
    assert (book.documents.get(uri(0)), book.documents.get(uri(1))) == (None, None)
    book.notebooks.change(change(types.NotebookDocumentCellChanges(data=[cell(0)])))
    book.notebooks.close(closing(0))


# Through the server


async def test_a_cell_is_completed_with_the_cells_above_at_its_own_place(served: Served) -> None:
    editor = await served.editor()
    editor.client.notebook_document_did_open(opening("limit = 7\n", "# Title", "def f(n):\n"))
    [found] = await editor.inline(uri(2), 1, 0, invoked=True)
    here = types.Position(1, 0)
    assert (found.insert_text, found.range) == (BODY, types.Range(here, here))
    assert "limit = 7\n\n" in served.recorder.prompts[-1]
    editor.client.notebook_document_did_close(closing(0, 1, 2))
    assert await editor.inline(uri(2), 1, 0, invoked=True) == []
    assert events(Path("/w/book.ipynb"))[-1]["reason"] == "document not open"


async def test_a_cell_that_comes_as_a_plain_document_is_completed(served: Served) -> None:
    editor = await served.editor()
    editor.open(uri(9), "def f(n):\n")
    [found] = await editor.inline(uri(9), 1, 0, invoked=True)
    assert found.insert_text == BODY
