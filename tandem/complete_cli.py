"""`tandem complete`: one suggestion for a place in a file."""

import asyncio
import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from completion.document import Document, language_of, read_text
from completion.repository import Repositories
from completion.session import Completion, Session
from tandem import config
from tandem.errors import UsageError
from tandem.workspace import root_of


def run(file: Path, line: int, column: int, as_json: bool) -> None:
    text, newline = read_text(file)
    offset = offset_of(text, line, column)
    document = Document(file.resolve(), language_of(file), text)
    settings = config.load(root_of(file.resolve()))
    for notice in settings.notices:
        Console(stderr=True).print(notice, style="yellow", markup=False)
    completion = asyncio.run(_complete(settings, document, offset))
    items = [item.replace("\n", newline) for item in completion.items]
    if as_json:
        fields = {
            "items": items,
            "timing_ms": completion.timing_ms,
            "model": completion.model,
            "reason": completion.reason,
            "id": completion.id,
        }
        print(json.dumps(fields, ensure_ascii=False, indent=1))
    elif items:
        print(items[0])
    else:
        Console(stderr=True).print(Text(f"No suggestion: {completion.reason}.", style="dim"))


def offset_of(text: str, line: int, column: int) -> int:
    """Character offset of a 1-based line and 0-based column. Raises UsageError past the end."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise UsageError(f"Line {line} does not exist.", f"The file has lines 1 to {len(lines)}.")
    length = len(lines[line - 1])
    if not 0 <= column <= length:
        raise UsageError(
            f"Column {column} does not exist.", f"Line {line} has columns 0 to {length}."
        )
    return sum(len(before) + 1 for before in lines[: line - 1]) + column


async def _complete(settings: config.Config, document: Document, offset: int) -> Completion:
    repositories = Repositories()
    session = Session(settings, "cli", repositories)
    console = Console(stderr=True)
    try:
        with console.status("Looking for the engine") as status:
            await session.start(lambda text: status.update(text))
            return await session.complete(document, offset)
    finally:
        await session.close()
        repositories.close()
