"""Context of other files through the real language server: found, fresh, and told in the trace."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from rich.console import Console

from lsp.client import Editor
from tandem import trace_cli
from tandem.requests import requests
from tests.lsp_client import StartEditor, events, until
from tests.repositories import MadeRepository

# What is known of a place has the context of its time.
EACH_ASKS = {"completion": {"cache": False}}
BILLING = '''"""Invoices."""


class Invoice:
    """What a customer owes."""

    def __init__(self, customer: str, cents: int) -> None:
        self.customer = customer
        self.cents = cents

    def overdue_fee(self, days: int) -> int:
        """Cents to add for so many days."""
        return days * self.cents // 1000
'''
WORK = (
    "from shop.billing import Invoice\n\n\ndef total(name):\n    bill = Invoice(\n    return bill\n"
)
AFTER_INVOICE = (4, len("    bill = Invoice("))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = MadeRepository(tmp_path / "project")
    made.write({"shop/__init__.py": "", "shop/billing.py": BILLING, "work.py": WORK})
    return made.folder


async def indexed(editor: Editor) -> None:
    """Wait until the repository is read, as an editor's user sees it."""
    while not any("indexed" in told[-1].get("message", "") for told in editor.progress.values()):
        await editor._next()


async def with_both_open(
    start: StartEditor, repository: Path, text: str = WORK
) -> tuple[Editor, Path, Path]:
    """An editor with `work.py`, which says `text`, and `billing.py`, once they are indexed."""
    editor, work = await start(options=EACH_ASKS), repository / "work.py"
    billing = repository / "shop" / "billing.py"
    editor.open(work.as_uri(), text)
    editor.open(billing.as_uri(), BILLING)
    await indexed(editor)
    return editor, work, billing


def context_of(file: Path) -> list[dict[str, Any]]:
    return events(file)[-1]["details"]["context"]


async def until_shown(
    editor: Editor, work: Path, symbol: str, column: int = AFTER_INVOICE[1], source: str = ""
) -> None:
    """Ask until a piece is there: the index is written by another thread, and on a busy machine
    what comes late is left out. The test's timeout is the limit."""
    while True:
        await editor.inline(work.as_uri(), AFTER_INVOICE[0], column)
        for one in context_of(work):
            if symbol in one["symbol"] and source in one["source"]:
                return
        await asyncio.sleep(0.05)


async def test_a_name_of_another_file_brings_its_signature_and_the_trace_says_why(
    start: StartEditor, repository: Path
) -> None:
    editor, work = await start(options=EACH_ASKS), repository / "work.py"
    editor.open(work.as_uri(), WORK)
    await indexed(editor)
    await until_shown(editor, work, "Invoice")
    [piece] = [one for one in context_of(work) if one["symbol"] == "Invoice"]
    assert piece["file"] == "shop/billing.py"
    assert piece["source"] == "callees"
    assert "imported from shop.billing" in piece["reason"]
    assert piece["tokens"] > 0
    assert events(work)[-1]["details"]["context_ms"]["total"] > 0
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(trace_cli.table(requests(events(work))))
    told = console.export_text()
    assert "shop/billing.py Invoice: imported from shop.billing" in told


async def test_before_the_index_is_there_completions_go_without_and_say_so(
    start: StartEditor, repository: Path
) -> None:
    editor, work = await start(options=EACH_ASKS), repository / "work.py"
    editor.open(work.as_uri(), WORK)
    await editor.inline(work.as_uri(), *AFTER_INVOICE)
    details = events(work)[-1]["details"]
    assert details["context"] or details["context_left_out"]["all"] == "no index yet"


async def test_an_unsaved_change_in_another_file_counts_at_once(
    start: StartEditor, repository: Path
) -> None:
    editor, work, billing = await with_both_open(start, repository)
    at = BILLING.split("\n").index("class Invoice:")
    renamed = "class Receipt:\n    pass\n\n\n"
    editor.change(billing.as_uri(), (types.Position(at, 0), types.Position(at, 0), renamed))
    other = WORK.replace("Invoice", "Receipt")
    end = types.Position(100, 0)
    editor.change(work.as_uri(), (types.Position(0, 0), end, other))
    await until_shown(editor, work, "Receipt")
    assert "Receipt" not in billing.read_text()


async def test_a_saved_file_is_read_again(start: StartEditor, repository: Path) -> None:
    text = WORK.replace("import Invoice", "import Receipt").replace("Invoice(", "Receipt(")
    editor, work, billing = await with_both_open(start, repository, text)
    await editor.inline(work.as_uri(), *AFTER_INVOICE)
    assert "Receipt" not in [one["symbol"] for one in context_of(work)]
    billing.write_text(BILLING.replace("class Invoice", "class Receipt"))
    editor.client.text_document_did_save(
        types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(billing.as_uri()))
    )
    await until_shown(editor, work, "Receipt")


async def test_a_file_changed_by_another_program_is_read_again(
    start: StartEditor, repository: Path
) -> None:
    editor, work = await start(options=EACH_ASKS), repository / "work.py"
    editor.open(work.as_uri(), WORK.replace("billing import Invoice", "till import Till"))
    await indexed(editor)
    till = repository / "shop" / "till.py"
    till.write_text("class Till:\n    def __init__(self, drawer: int) -> None: ...\n")
    editor.client.workspace_did_change_watched_files(
        types.DidChangeWatchedFilesParams(
            [types.FileEvent(till.as_uri(), types.FileChangeType.Created)]
        )
    )
    text = WORK.replace("billing import Invoice", "till import Till").replace("Invoice(", "Till(")
    editor.change(work.as_uri(), (types.Position(0, 0), types.Position(100, 0), text))
    await until_shown(editor, work, "Till", len("    bill = Till("))


async def test_what_was_edited_elsewhere_is_in_the_next_file_s_context(
    start: StartEditor, repository: Path
) -> None:
    editor, work, billing = await with_both_open(start, repository)
    row = BILLING.split("\n").index("        return days * self.cents // 1000")
    start_of, end = types.Position(row, 15), types.Position(row, 19)
    editor.change(billing.as_uri(), (start_of, end, "weeks"))
    await editor.inline(billing.as_uri(), row, 20)
    await until_shown(editor, work, "", source="edits")


@pytest.mark.parametrize("name", [".env", "private/keys.py"])
async def test_edits_of_secret_and_ignored_files_stay_out(
    start: StartEditor, repository: Path, name: str
) -> None:
    (repository / ".tandemignore").write_text("private/\n")
    hidden = repository / name
    hidden.parent.mkdir(exist_ok=True)
    hidden.write_text("owner = 'ada'\n")
    editor, work = await start(options=EACH_ASKS), repository / "work.py"
    editor.open(work.as_uri(), WORK)
    editor.open(hidden.as_uri(), "owner = 'ada'\n")
    await indexed(editor)
    for text in ("class Invoice: pass\n", "own = 1\n"):
        editor.change(hidden.as_uri(), (types.Position(0, 0), types.Position(0, 0), text))
    await editor.inline(hidden.as_uri(), 0, 3)
    await until_shown(editor, work, "Invoice")
    assert name not in [one["file"] for one in context_of(work)]


async def test_where_the_cache_cannot_be_written_the_index_lives_in_the_server(
    home: Path, start: StartEditor, repository: Path
) -> None:
    folder = home / "cache" / "index"
    before = folder.with_name("index-before")
    if folder.exists():
        folder.rename(before)
    folder.write_text("a file where the folder should be")
    try:
        editor, work = await start(options=EACH_ASKS), repository / "work.py"
        editor.open(work.as_uri(), WORK)
        await indexed(editor)
        await until_shown(editor, work, "Invoice")
    finally:
        folder.unlink()
        if before.exists():
            before.rename(folder)


async def test_context_can_be_switched_off(start: StartEditor, repository: Path) -> None:
    editor = await start(options={"completion": {"context_tokens": 0}})
    work = repository / "work.py"
    editor.open(work.as_uri(), WORK)
    await editor.inline(work.as_uri(), *AFTER_INVOICE)
    assert "context" not in events(work)[-1]["details"]
    assert not any("project" in told[0].get("title", "") for told in editor.progress.values())


async def test_the_server_ends_while_it_reads_the_repository(
    start: StartEditor, repository: Path
) -> None:
    for number in range(300):
        (repository / f"file{number}.py").write_text(BILLING * 20)
    editor, work = await start(options=EACH_ASKS), repository / "work.py"
    editor.open(work.as_uri(), WORK)
    await until(lambda: len(editor.progress) > 1)
    assert await editor.close() == 0
