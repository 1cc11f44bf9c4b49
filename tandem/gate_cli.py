"""`tandem gate`: what decides whether a suggestion is shown, and learning it anew from your log."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem import trace
from tandem.errors import TandemError, UsageError

if TYPE_CHECKING:
    from completion.display import Gate

app = typer.Typer(no_args_is_help=True)


@app.command()
def train(
    source: Annotated[
        Path | None, typer.Option("--from", help="A trace file; default: this machine's trace.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Learn from what you accepted and what you left, and judge that on your newest suggestions.

    The new gate counts from then on if more of what it shows is accepted, beyond chance, and it
    hides at most 12% of the characters that you would have accepted. Nothing leaves this machine.
    """
    from completion import display, display_log

    if source is not None and not source.is_file():
        raise UsageError(f"{source} is no file.", "Name a trace file, JSON lines.")
    gate = display_log.train(trace.read(file=source))
    refusals = display_log.refusals(gate.figures)
    if not refusals:
        try:
            gate.save(display.own_file())
        except OSError as error:
            raise TandemError(
                f"{display.own_file()} cannot be written: {error.strerror}.", "Run: tandem doctor"
            ) from error
    if as_json:
        typer.echo(
            json.dumps({"v": 1, "in_use": not refusals, "why_not": refusals, **_facts(gate)})
        )
        return
    _tell(gate)
    if refusals:
        typer.echo(f"Not in use: {'; '.join(refusals)}.")
    else:
        typer.echo("In use from now on. Undo: tandem gate reset")


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the gate in use: its weights, what it was learned from, what it costs."""
    from completion import display

    gate = display.current()
    if as_json:
        weights = {"weights": dict(gate.weights), "bias": gate.bias}
        typer.echo(json.dumps({"v": 1, **_facts(gate), **weights}))
        return
    for name, weight in sorted(gate.weights.items(), key=lambda item: -abs(item[1])):
        typer.echo(f"{name:16} {weight:+.2f}")
    _tell(gate)


@app.command()
def reset() -> None:
    """Forget what was learned on this machine; the gate that came with Tandem counts again."""
    from completion import display

    if not display.own_file().exists():
        typer.echo("Nothing was learned on this machine.")
        return
    display.own_file().unlink()
    typer.echo("The gate that came with Tandem is in use.")


def _tell(gate: "Gate") -> None:
    f, facts = gate.figures, gate.trained
    where = ", ".join(facts.get("repositories", ())) or "your own log"
    typer.echo(
        f"Learned from {facts['shown']:,} suggestions ({facts['accepted']:,} accepted) of {where}.\n"
        f"Shows what is accepted with a chance of {gate.threshold:.0%} or more, and one in 20 of the"
        " rest to learn from.\n"
        f"On {f.shown:,} others: {f.hidden / max(1, f.shown):.0%} hidden, accepted of what is shown"
        f" {f.gain:+.0%} (95%: {f.low:+.0%} to {f.high:+.0%}).\n"
        f"It hides {f.lost:.1%} of what you would have accepted, in characters."
    )


def _facts(gate: "Gate") -> dict[str, object]:
    return {
        "trained": dict(gate.trained),
        "threshold": gate.threshold,
        "held_out": vars(gate.figures),
    }
