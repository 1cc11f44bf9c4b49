"""`tandem memory`: what fixed what in a repository, to look at and to forget."""

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem.errors import UsageError

if TYPE_CHECKING:
    from sandbox.episodes import Episode

app = typer.Typer(no_args_is_help=True)
_AGE = re.compile(r"(\d{1,6})([hdw])")
_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}

Repository = Annotated[Path, typer.Option("--repository", "-C", help="Its top folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_episodes(repository: Repository = Path(), as_json: AsJson = False) -> None:
    """Show what is remembered of a repository, the newest last."""
    from rich.console import Console
    from rich.table import Table

    from tandem.visible import printable

    found = _known(repository)
    if as_json:
        typer.echo(json.dumps({"v": 1, "episodes": [one.as_json() for one in found]}))
        return
    if not found:
        typer.echo("Nothing is remembered here yet. It is written by: tandem fix --apply")
        return
    table = Table("id", "day", "file", "symptom", "change", box=None, padding=(0, 2, 0, 0))
    for one in found:
        day = time.strftime("%Y-%m-%d", time.localtime(one.time))
        symptom = str(one.symptoms[0]) if one.symptoms else ""
        table.add_row(*map(printable, (one.id, day, one.path, symptom, one.pattern)))
    Console().print(table)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="An episode's id.")],
    repository: Repository = Path(),
    as_json: AsJson = False,
) -> None:
    """Show one episode whole: its symptoms, its rules, its patch."""
    from rich.console import Console
    from rich.syntax import Syntax

    from tandem.visible import printable, visible

    one = next((one for one in _known(repository) if one.id == id), None)
    if one is None:
        raise UsageError(f"There is no episode {id}.", "See: tandem memory list")
    if as_json:
        typer.echo(json.dumps(one.as_json()))
        return
    console = Console()
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.time))
    console.print(printable(f"{one.id}  {when}  run {one.run}  {one.template}", "bold"))
    for symptom in one.symptoms:
        console.print(printable(f"failed with  {symptom}"))
        if symptom.assertion:
            console.print(printable(f"    at  {symptom.assertion}"))
    for rule in one.rules:
        console.print(printable(f"rule, {rule.kind}:"))
        console.print(printable(f"{rule.old}\n  →\n{rule.new or '(nothing)'}", "dim"))
    console.print(Syntax(visible(one.diff).rstrip(), "diff", background_color="default"))


@app.command()
def forget(
    id: Annotated[str, typer.Argument(help="An episode's id.")] = "",
    repository: Repository = Path(),
    everything: Annotated[bool, typer.Option("--all", help="All of this repository.")] = False,
    older: Annotated[str, typer.Option(metavar="AGE", help="Than 12h, 30d, 8w.")] = "",
) -> None:
    """Remove one episode, those older than an age, or all of a repository."""
    from sandbox import episodes

    if bool(id) + everything + bool(older) != 1:
        raise UsageError("Say what to forget.", "An id, --older 30d, or --all.")
    count = episodes.forget(_folder(repository), id, _before(older) if older else None)
    typer.echo(f"Forgotten: {count} episode{'' if count == 1 else 's'}.")


def _before(age: str) -> float:
    match = _AGE.fullmatch(age)
    if match is None:
        raise UsageError(f"{age!r} is no age.", "Try: --older 30d")
    return time.time() - int(match[1]) * _SECONDS[match[2]]


def _known(repository: Path) -> "list[Episode]":
    from sandbox import episodes

    return episodes.known(_folder(repository))


def _folder(repository: Path) -> Path:
    if not repository.is_dir():
        raise UsageError(f"There is no folder {repository}.", "Name a repository's top folder.")
    return repository
