"""`tandem trace`: why each request showed what it showed, or nothing."""

import json
import time
from pathlib import PurePath
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tandem import trace as events


def trace(
    last: Annotated[int, typer.Option(help="How many of the newest requests.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one event a line.")] = False,
) -> None:
    """Show what each request did, stage by stage, and the reason for each silence."""
    rows = events.read(last)
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    if not rows:
        typer.echo("No requests yet. Try: tandem complete FILE --line N --col M")
        return
    Console().print(table(rows))


def table(rows: list[dict[str, Any]]) -> Table:
    """Events, oldest first, as a table for people."""
    result = Table(box=None, pad_edge=False)
    for heading in ("time", "where", "total", "stages", "shown or why not"):
        result.add_column(heading, justify="right" if heading == "total" else "left")
    for row in rows:
        stages = dict(row["stages_ms"])
        total = stages.pop("total", 0.0)
        result.add_row(
            time.strftime("%H:%M:%S", time.localtime(row["time"])),
            Text(f"{PurePath(row['file']).name}:{row['line']}:{row['column']}"),
            f"{total:.0f} ms",
            Text(" ".join(f"{name} {ms:.0f}" for name, ms in stages.items()), style="dim"),
            Text("\n").join([_outcome(row), *_context(row["details"])]),
        )
    return result


def _outcome(row: dict[str, Any]) -> Text:
    if row["shown"] is None:
        return Text(row["reason"], style="yellow")
    first, *rest = row["shown"].split("\n")
    more = f"  (+{len(rest)} lines)" if rest else ""
    return Text(first + more, style="green")


def _context(details: dict[str, Any]) -> list[Text]:
    """What other files gave to the prompt, each piece with its reason, and what gave nothing."""
    pieces = details.get("context") or []
    told = [
        f"{piece['file']} {piece['symbol']}: {piece['reason']} ({piece['tokens']} tokens)"
        for piece in pieces
    ]
    left_out = details.get("context_left_out") or {}
    if left_out:
        why = ", ".join(f"{source} ({reason})" for source, reason in left_out.items())
        told.append(f"nothing from {why}")
    return [Text(f"  {line}", style="dim") for line in told]
