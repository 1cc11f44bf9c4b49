"""`tandem fix --swebench` and `tandem swebench evaluate`: SWE-bench's format, on this machine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem import paths, progress
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:
    from sandbox.swebench.predict import Solve

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """One command; without this typer would make it the group itself."""


def predict(
    instances: Path, repos: Path | None, out: Path | None, oracle_tests: bool, solve: "Solve"
) -> None:
    """Write a prediction for each instance that has none yet; `solve` mends one of them."""
    from sandbox.swebench import instance
    from sandbox.swebench import predict as predicting

    if out is None:
        raise UsageError("--swebench writes predictions.", "Add --out preds.jsonl")
    found = instance.read(instances)
    folder = _repos(repos)
    if not out.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {out.absolute().parent}.", "Make it first.")
    known = instance.read_predictions(out) if out.exists() else {}
    done = sum(one.id in known for one in found)
    if done:
        _tell(f"{done} of {len(found)} have a line in {out} and are passed over.")
    patched = 0
    for one in predicting.predict(found, folder, out, solve, oracle_tests):
        done += 1
        patched += one.patched
        told = "a patch" if one.patched else one.why
        _tell(f"{done} of {len(found)}: {one.id}: {told}")
    typer.echo(f"{patched} patches in this run; predictions are in {out}.")


@app.command()
def evaluate(
    predictions: Annotated[
        str, typer.Argument(help="A file of predictions, or gold: the instances' own fixes.")
    ],
    instances: Annotated[Path, typer.Argument(help="A file of instances.")],
    repos: Annotated[Path | None, typer.Option(help="The folder with the clones.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole report there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run the named tests with each patch, in fresh containers, and say which are resolved."""
    from sandbox.swebench import evaluate as evaluating
    from sandbox.swebench import instance

    found = instance.read(instances)
    folder = _repos(repos)
    gold = predictions == instance.GOLD
    told = evaluating.of_gold(found) if gold else instance.read_predictions(Path(predictions))
    outcomes = []
    with progress.on_stderr() as tell:
        for one in evaluating.evaluate(found, told, folder):
            outcomes.append(one)
            tell("judging", len(outcomes), len(found))
    report = evaluating.report(outcomes, told, found)
    if out is not None:
        _save(report, out)
    if as_json:
        typer.echo(json.dumps(report))
        return
    for one in outcomes:
        typer.echo(f"{one.id}  {one.status}{f': {one.why}' if one.why else ''}")
    typer.echo(f"{report['resolved_instances']} of {len(found)} resolved.")


def _save(report: dict[str, object], out: Path) -> None:
    try:
        with paths.atomic_write(out, permissions=0o644) as stream:
            json.dump(report, stream, indent=1)
    except OSError as error:
        raise TandemError(f"Cannot write {out}: {error.strerror}.", "Name another file.") from error


def _repos(repos: Path | None) -> Path:
    if repos is None:
        raise UsageError("Base commits come from clones.", "Add --repos FOLDER")
    if not repos.is_dir():
        raise UsageError(f"There is no folder {repos}.", "Name the folder with the clones.")
    return repos


def _tell(line: str) -> None:
    typer.echo(f"tandem: {line}", err=True)
