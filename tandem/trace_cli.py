"""`tandem trace`: why each request showed what it showed, or nothing, and what became of it."""

import json
import time
from pathlib import Path, PurePath
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tandem import trace as events
from tandem.requests import WITHIN, Request, find, requests, value
from tandem.visible import printable

BAR = 40


def trace(
    id: Annotated[str | None, typer.Argument(help="One request, in full.")] = None,
    last: Annotated[int, typer.Option(help="How many of the newest requests.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one event a line.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
) -> None:
    """Show what each request did, stage by stage, and the reason for each silence."""
    found = requests(events.read())
    found = [find(found, id)] if id is not None else found[-last:]
    if html is not None:
        from tandem.page import save
        from tandem.trace_page import page

        save(page(found), html)
        typer.echo(f"Wrote {html}.")
    if as_json:
        for request in found:
            for event in (request.event, *request.outcomes):
                line = json.dumps(event, ensure_ascii=False)
                # Half a character cannot be written, but as an escape it is JSON still.
                print(line.encode("utf-8", "backslashreplace").decode())
    elif html is not None:
        return
    elif not found:
        typer.echo("No requests yet. Try: tandem complete FILE --line N --col M")
    elif id is not None:
        Console().print(full(found[0]))
    else:
        Console().print(table(found))


def table(rows: list[Request]) -> Table:
    """Requests, oldest first, as a table for people."""
    result = Table(box=None, pad_edge=False)
    for heading in ("time", "where", "total", "stages", "shown or why not"):
        result.add_column(heading, justify="right" if heading == "total" else "left")
    for row in rows:
        event = row.event
        result.add_row(
            _clock(event["time"]),
            # A file by its name alone: the table is narrow.
            printable(PurePath(row.place).name if event["file"] else row.place),
            f"{row.total:.0f} ms",
            printable(" ".join(f"{name} {ms:.0f}" for name, ms in row.stages.items()), style="dim"),
            printable("\n").join([_shown(row), *_notes(row)]),
        )
    return result


def full(row: Request) -> Group:
    """One request with all that the trace has of it."""
    event, parts = row.event, []
    head = Table(box=None, pad_edge=False, show_header=False)
    day = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["time"]))
    for name, text in (
        ("id", event["id"]),
        ("time", day),
        ("kind", f"{event['kind']} from {event['source']}"),
        ("where", row.place),
        ("model", event["model"]),
        ("outcome", row.outcome or "not known"),
    ):
        head.add_row(printable(name, style="bold"), printable(text))
    parts += [head, _heading("stages"), _bars(row)]
    if row.context:
        parts += [_heading("context"), *(printable(line) for line in row.context)]
    for number, candidate in enumerate(row.candidates, 1):
        rest = {name: one for name, one in candidate.items() if name != "text" and one}
        parts += [_heading(f"candidate {number}"), printable(candidate.get("text", ""))]
        parts += [printable(f"{name}: {value(one)}", style="dim") for name, one in rest.items()]
    if row.rules:
        parts += [_heading("rules that decided"), *(printable(rule) for rule in row.rules)]
    if event["shown"] is None:
        parts += [_heading("nothing shown"), printable(event["reason"], style="yellow")]
    else:
        parts += [_heading("shown"), printable(event["shown"], style="green")]
    told = {"context", "context_left_out", "candidates", "rules"}
    rest = {name: one for name, one in row.details.items() if name not in told}
    if rest:
        parts += [_heading("details")]
        parts += [printable(f"{name}: {value(one)}") for name, one in rest.items()]
    return Group(*parts)


def _heading(text: str) -> Text:
    return printable(f"\n{text}", style="bold")


def _bars(row: Request) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    longest = max(row.total, *row.stages.values(), 0.01)
    for name, ms in {**row.stages, "total": row.total}.items():
        style = "dim" if name in WITHIN or name == "total" else ""
        bar = "█" * round(BAR * ms / longest)
        table.add_row(
            printable(name, style=style), f"{ms:.2f} ms", printable(bar, style=style or "cyan")
        )
    return table


def _shown(row: Request) -> Text:
    if row.event["shown"] is None:
        return printable(row.event["reason"], style="yellow")
    first, *rest = row.event["shown"].split("\n")
    more = f"  (+{len(rest)} lines)" if rest else ""
    return printable(first + more, style="green")


def _notes(row: Request) -> list[Text]:
    """What the prompt had from elsewhere, what else could have been shown, which rules decided,
    and what became of it."""
    told = row.context
    if row.candidates:
        told.append(f"{len(row.candidates)} candidates")
    if row.rules:
        told.append(f"rules: {', '.join(row.rules)}")
    if row.details.get("cache"):
        told.append(f"from the cache: {value(row.details['cache'])}")
    if row.outcome:
        told.append(row.outcome)
    return [printable(f"  {line}", style="dim") for line in told]


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
