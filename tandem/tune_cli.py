"""`tandem tune`: learn a repository, and use what was learned only if it wins."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tandem import config
from tandem.errors import TandemError


class Method(StrEnum):
    """How the repository is learned: LoRA, or LoRA over a base in 4 bits."""

    lora = "lora"
    qlora = "qlora"


def tune(
    repo: Annotated[Path, typer.Argument(help="A git repository with some history.")],
    method: Annotated[
        Method, typer.Option(help="qlora needs less memory and is slower.")
    ] = Method.lora,
    minutes: Annotated[float, typer.Option(help="How long all of it may take.")] = 25.0,
    rank: Annotated[int, typer.Option(min=1, max=256, help="LoRA's rank.")] = 16,
    name: Annotated[str, typer.Option(help="The adapter's name; by default the folder's.")] = "",
    seed: Annotated[int, typer.Option(help="Another seed draws other samples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Learn a repository from its older commits, and measure what that gave on newer ones.

    What was learned is used for this repository from then on, if it fills significantly more
    holes of newer commits than the base does. Ctrl-C stops; the same command goes on.
    """
    _demand_libraries(method)
    from finetune import gate
    from finetune import tune as tuning

    settings = config.load(repo)
    wanted = tuning.recipe(method.value, rank, minutes, seed)
    with progress_on_stderr() as tell:
        found = tuning.tune(repo, settings, wanted, name, tell)
    if as_json:
        print(json.dumps(tuning.summary(found), indent=1))
        return
    f = found.figures
    typer.echo(
        f"{found.adapter.name}: {found.tokens:,} tokens in {found.minutes:.0f} minutes.\n"
        f"Exact answers on {f.holes} holes of newer commits: {gate.points(f.gain_mean)} "
        f"(95%: {gate.points(f.gain_low)} to {gate.points(f.gain_high)}).\n"
        f"On {f.general_holes} holes in code of others: {gate.points(f.general_mean)}."
    )
    if found.refusals:
        typer.echo(f"Not in use: {'; '.join(found.refusals)}.")
        typer.echo(f"Use it all the same: tandem adapters use {found.adapter.name} --force")
    else:
        typer.echo("In use for this repository. Undo: tandem adapters rollback")
    typer.echo(f"Loss picture, log and report: {found.adapter.folder}")


def _demand_libraries(method: Method) -> None:
    needed = ["peft", "transformers", "accelerate", "matplotlib"]
    extra = "tune"
    if method is Method.qlora:
        needed, extra = [*needed, "bitsandbytes"], "qlora"
    missing = [library for library in needed if importlib.util.find_spec(library) is None]
    if missing:
        raise TandemError(
            f"Tuning needs {', '.join(missing)}.", f"pip install 'tandem-pair[{extra}]'"
        )


@contextmanager
def progress_on_stderr() -> Iterator[Callable[[str, int, int], None]]:
    """A bar with the time left on a terminal; elsewhere a line a stage and a tenth of it."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task, last = bar.add_task("starting", total=None), ""

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal last
            if _stage(stage) != last:  # the time left is that of this stage
                last = _stage(stage)
                bar.reset(task)
            bar.update(task, description=stage, completed=done, total=total or None)

        yield tell


def _lines() -> Callable[[str, int, int], None]:
    last = ("", -1)

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = (_stage(stage), 10 * done // total if total else 0)
        if now != last:
            last = now
            share = f" {100 * done // total}%" if total else ""
            print(f"tandem: {stage}{share}", file=sys.stderr, flush=True)

    return tell


def _stage(text: str) -> str:
    """A stage without the figures that change."""
    return text.split(",", 1)[0]
