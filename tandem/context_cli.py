"""`tandem context`: the pieces of other files that a completion at a place would see, and why."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from completion.counting import counter_for
from completion.document import Document, language_of, read_text
from completion.index import Index, Indexer
from completion.pieces import Context
from completion.retrieve import Retriever
from tandem import config, progress
from tandem.complete_cli import offset_of
from tandem.errors import UsageError
from tandem.workspace import root_of


def run(file: Path, line: int, column: int, tokens: int | None, as_json: bool) -> None:
    """Raises UsageError for a file or place that is not there."""
    text, _ = read_text(file)
    file = file.resolve()
    offset = offset_of(text, line, column)
    root = root_of(file) or file.parent
    settings = config.load(root_of(file))
    budget = settings.completion.context_tokens if tokens is None else tokens
    if not budget:
        raise UsageError(
            "completion.context_tokens is 0, so no context is used.", "Name some: --tokens 320"
        )
    with progress.on_stderr() as tell:
        Indexer(root).update(partial(tell, "reading the repository"))
    index = Index(root)
    try:
        count = counter_for(settings)
        retriever = Retriever(index, count, time_box_ms=float("inf"))
        document = Document(file, language_of(file), text)
        retriever.context(document, offset, budget)
        # The first look pays for loading grammars and the database's pages; an editor has those.
        fresh = Retriever(index, count, time_box_ms=float("inf"))
        context = fresh.context(document, offset, budget)
    finally:
        index.close()
    if as_json:
        print(json.dumps(_as_json(context), ensure_ascii=False, indent=1))
    else:
        _show(context, budget)


def _as_json(context: Context) -> dict[str, object]:
    return {
        "v": 1,
        "pieces": [asdict(piece) for piece in context.pieces],
        "tokens": context.tokens,
        "ms": {name: round(ms, 3) for name, ms in context.ms.items()},
        "left_out": context.left_out,
    }


def _show(context: Context, budget: int) -> None:
    console = Console()
    for piece in context.pieces:
        where = f"{piece.path}:{piece.first + 1}"
        name = f" {piece.symbol}" if piece.symbol else ""
        console.print(
            Text.assemble(
                (where, "bold"),
                (name, "cyan"),
                (f"  {piece.source}: {piece.reason}", "green"),
                (f"  {piece.tokens} tokens", "dim"),
            ),
            soft_wrap=True,
        )
        lexer = "diff" if piece.source == "edits" else language_of(Path(piece.path))
        console.print(Syntax(piece.text, lexer, background_color="default", word_wrap=True))
        console.print()
    times = ", ".join(f"{name} {ms:.1f}" for name, ms in context.ms.items() if name != "total")
    total = context.ms.get("total", 0.0)
    console.print(
        f"{len(context.pieces)} pieces, {context.tokens} of {budget} tokens, {total:.1f} ms ({times})",
        style="dim",
        markup=False,
        soft_wrap=True,
    )
    for source, reason in context.left_out.items():
        console.print(f"{source}: nothing ({reason})", style="yellow", markup=False)
