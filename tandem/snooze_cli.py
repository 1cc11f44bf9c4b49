"""`tandem snooze`: no suggestions for a while, in all editors at once."""

import time
from typing import Annotated

import typer

from tandem.errors import TandemError, UsageError


def snooze(
    minutes: Annotated[float | None, typer.Argument(help="How long; 30 if left out.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Suggest again.")] = False,
) -> None:
    """Keep all editors quiet for a while. Asking for a suggestion by its key still gives one."""
    from completion import snooze as file

    try:
        if off:
            was = file.unsnooze()
            typer.echo("Suggestions are on again." if was else "Suggestions were not snoozed.")
            return
        minutes = file.USUAL_MINUTES if minutes is None else minutes
        if not 0 < minutes <= file.LONGEST_MINUTES:
            raise UsageError(
                f"{minutes:g} minutes cannot be snoozed.",
                f"Take more than 0 and at most {file.LONGEST_MINUTES} minutes (a week).",
            )
        until = file.snooze(minutes)
    except OSError as error:
        raise TandemError(
            f"The state folder cannot be written: {error.strerror}.", "Run: tandem doctor"
        ) from error
    when = time.strftime("%a %H:%M", time.localtime(until))
    typer.echo(f"No suggestions until {when}. Undo: tandem snooze --off")
