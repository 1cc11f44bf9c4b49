"""`tandem tune`: learn a repository, and use what was learned only if it wins."""

import importlib.util
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tandem import config, progress
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
    with progress.on_stderr() as tell:
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
