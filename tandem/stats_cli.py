"""`tandem stats`: how often suggestions come, how fast, and what becomes of them."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tandem import daily, paths
from tandem.errors import TandemError
from tandem.stats import HOWS, OUTCOMES, Kept, Part, Report, report
from tandem.visible import printable

REASONS = 12


def stats(
    days: Annotated[int, typer.Option(help="How many days, up to today.", min=1, max=400)] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots to this file.")] = None,
) -> None:
    """Show what became of suggestions: all counts are of this machine and stay on it."""
    try:
        counted = daily.count()
    except OSError as error:
        raise TandemError(
            f"The counts cannot be kept in {paths.daily_file()}: {error.strerror}.",
            "Free some space, or make the folder writable.",
        ) from error
    told = report(counted, date.today(), days)
    if html is not None:
        from tandem.page import save
        from tandem.stats_page import page

        save(page(told), html)
        typer.echo(f"Wrote {html}.")
    if as_json:
        print(json.dumps(told.to_json(), ensure_ascii=False))
    elif html is None:
        Console().print(tables(told))


def tables(told: Report) -> Group | Text:
    """A report for people."""
    if not told.all.requests:
        others = f" ({_list(told.elsewhere)} elsewhere)" if told.elsewhere else ""
        return printable(f"No requests from an editor in these days{others}. Nothing to count yet.")
    return Group(
        _summary(told),
        *([_parts("by language", told.languages)] if told.languages else []),
        *([_parts("by day", told.days)] if len(told.days) > 1 else []),
        _times(told),
        *([_numbers("silent because", told.reasons)] if told.reasons else []),
        *(_numbers(f"{outcome} because", why) for outcome, why in told.why.items()),
    )


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}%"


def kept(part: Kept) -> str:
    """A rate and what it covers."""
    return f"{percent(part.share)} of {part.judged} judged ({percent(part.coverage)} of accepted)"


def summary(told: Report) -> list[tuple[str, str]]:
    """The figures of all the days, each with its name and its coverage."""
    part = told.all
    hows = ", ".join(f"{how} {part.how[how]}" for how in HOWS)
    outcomes = ", ".join(f"{outcome} {part.outcomes[outcome]}" for outcome in OUTCOMES)
    rows = [
        ("days", f"{told.first} to {told.last}"),
        ("requests", f"{part.requests}, {percent(part.without_model)} without asking the model"),
        ("shown", f"{part.shown} answers, {percent(part.shown_share)} of requests"),
        ("suggestions", f"{part.suggestions}; {part.late} more came too late"),
        ("outcomes", f"{outcomes}; known of {percent(part.concluded_share)}"),
        ("acceptance", f"{percent(part.acceptance)} of {part.concluded} with an outcome"),
        ("accepted as", hows),
        ("characters", f"{part.accepted_characters} accepted, {part.typed_characters} typed"),
        ("kept after 30 s", kept(part.kept_30s)),
        ("kept after 5 min", kept(part.kept_5min)),
    ]
    if told.cache:
        rows.append(("from the cache", _list(told.cache)))
    if told.elsewhere:
        rows.append(("not counted", f"{_list(told.elsewhere)}: not from an editor"))
    return rows


def _summary(told: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in summary(told):
        table.add_row(printable(name, style="bold"), printable(text))
    return table


def _parts(title: str, parts: list[Part]) -> Table:
    headings = ("requests", "shown", "suggestions", "accepted", "typed", "characters", "5 min kept")
    table = _titled(title, *headings)
    for part in parts:
        table.add_row(
            printable(part.name),
            str(part.requests),
            percent(part.shown_share),
            str(part.suggestions),
            f"{part.outcomes['accepted']} ({percent(part.acceptance)})",
            str(part.outcomes["typed"]),
            str(part.accepted_characters),
            percent(part.kept_5min.share),
        )
    return table


def _times(told: Report) -> Table:
    table = _titled("milliseconds", "requests", "p50", "p90", "p99")
    for times in told.times:
        values = (f"{value:.1f}" for value in (times.p50, times.p90, times.p99))
        table.add_row(printable(times.stage), str(times.count), *values)
    return table


def _numbers(title: str, numbers: dict[str, int]) -> Table:
    table = _titled(title, "count", "share")
    whole = sum(numbers.values())
    for name, number in list(numbers.items())[:REASONS]:
        table.add_row(printable(name), str(number), percent(number / whole))
    return table


def _titled(title: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left", header_style="bold")
    table.add_column(f"\n{title}", vertical="bottom")
    for heading in headings:
        table.add_column(heading, justify="right", vertical="bottom")
    return table


def _list(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
