"""`tandem audit`: whether the log of a fix run is as the run wrote it, and the run once more."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from tandem.errors import UsageError

app = typer.Typer(no_args_is_help=True)
CHANGED = 1


@app.command()
def verify(
    log: Annotated[
        str | None, typer.Argument(help="A file or a run's id; default: newest.")
    ] = None,
    head: Annotated[str, typer.Option(help="The head that an earlier verify printed.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that no line of a log was changed, added or taken away. Exit code 1 if one was."""
    from sandbox import audit

    file = _file(log)
    found = audit.verify(file)
    intact, why = found.intact, found.why
    if intact and head and head != found.head:
        intact, why = False, "its head is not the one given"
    if as_json:
        typer.echo(json.dumps({"v": 1, **vars(found), "intact": intact, "why": why}))
    elif intact:
        typer.echo(f"{found.id} is intact: {found.lines} lines, sealed. Head: {found.head}")
    else:
        where = f"line {found.line}: " if found.line else ""
        typer.echo(f"{found.id} is NOT intact: {where}{why}. {found.lines} lines are well.")
    if not intact:
        raise typer.Exit(CHANGED)


@app.command("list")
def list_logs(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the logs on this machine, the newest last, and whether each is intact."""
    from sandbox import audit

    files = audit.all_files()
    verdicts = [audit.verify(file) for file in files]
    if as_json:
        typer.echo(json.dumps({"v": 1, "logs": [vars(one) for one in verdicts]}))
        return
    if not files:
        typer.echo("No logs yet. They are written by: tandem fix")
    for file, one in zip(files, verdicts, strict=True):
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
        typer.echo(f"{day}  {one.id}  {one.lines} lines  {'intact' if one.intact else one.why}")


@app.command()
def replay(
    run: Annotated[str, typer.Argument(help="A run's id, of `tandem fix --agent`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take an agent's steps once more, with no model and no sandbox. Exit code 1 if the patch that
    they give is another one than it was."""
    from sandbox.agent.replay import replay as replay_of
    from sandbox.allowed import shown
    from sandbox.fixrun import RunFolder

    made = replay_of(RunFolder.known(run))
    if as_json:
        typer.echo(json.dumps({"v": 1, "attempts": [vars(one) for one in made]}))
    else:
        for one in made:
            verdict = {True: "the same patch", False: "ANOTHER patch", None: "not at its end"}
            typer.echo(f"attempt {one.attempt}: {verdict[one.same]}. {shown(one.why)}")
            typer.echo(shown(one.diff), nl=False)
    if any(one.same is False for one in made):
        raise typer.Exit(CHANGED)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's id or its log's file; default: newest.")] = "",
    html: Annotated[Path | None, typer.Option(help="Write one page to this file.")] = None,
) -> None:
    """Show a run from the order to the verdict. Exit code 1 if its log was changed."""
    from sandbox import story

    told = story.read(run)
    if html is not None:
        from tandem.page import save
        from tandem.run_page import page

        save(page(told), html)
        typer.echo(f"Wrote {html}.")
    else:
        from rich.console import Console

        from tandem.run_text import rendered

        Console().print(rendered(told))
    if not told.intact:
        typer.echo(f"tandem: the log of {told.id} is not intact: {told.why}", err=True)
        raise typer.Exit(CHANGED)


def _file(log: str | None) -> Path:
    from sandbox import audit

    if log is None:
        files = audit.all_files()
        if not files:
            raise UsageError("There are no logs yet.", "They are written by: tandem fix")
        return files[-1]
    return Path(log) if Path(log).is_file() else audit.file_of(log)
