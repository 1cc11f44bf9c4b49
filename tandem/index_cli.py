"""`tandem index`: build the index of a workspace, or bring it up to date."""

import json
import threading
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem import progress

if TYPE_CHECKING:
    from completion.index import Stats


def index(
    path: Annotated[Path, typer.Argument(help="The workspace's folder.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and follow each change.")] = False,
) -> None:
    """Index a workspace: what its files define, import and say.

    Editors do this by themselves. Left out are binary, generated, minified and large files, what
    .gitignore and .tandemignore name, and secrets. Killed on its way, it goes on the next time.
    """
    from completion.index import Indexer
    from completion.index.watch import watch as follow

    indexer = Indexer(path)
    with progress.on_stderr(sizes=True) as tell:
        stats = indexer.update(partial(tell, "reading source"))
    _show(stats, as_json)
    if watch:
        typer.echo("Watching for changes; Ctrl-C ends it.", err=True)
        follow(indexer, threading.Event(), partial(_show_change, as_json=as_json))


def _show(stats: "Stats", as_json: bool) -> None:
    if as_json:
        print(json.dumps({"v": 1, **asdict(stats)}), flush=True)
        return
    if stats.note:
        typer.echo(f"tandem: {stats.note}", err=True)
    typer.echo(
        f"{stats.files:,} files, {stats.symbols:,} symbols, {stats.chunks:,} chunks of"
        f" {stats.source / 1e6:.1f} MB source in {stats.size / 1e6:.1f} MB.\n"
        f"{stats.changed:,} read, {stats.removed:,} removed in {stats.seconds:.2f} s."
    )
    if stats.skipped:
        typer.echo(
            "Left out: " + ", ".join(f"{n:,} {reason}" for reason, n in stats.skipped.items())
        )


def _show_change(stats: "Stats", as_json: bool) -> None:
    if as_json:
        _show(stats, as_json)
    else:
        typer.echo(
            f"{stats.changed:,} read, {stats.removed:,} removed in {1000 * stats.seconds:.0f} ms."
        )
