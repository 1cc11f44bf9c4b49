"""`tandem doctor` and `tandem uninstall`."""

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is present, what is missing, and the command that mends it."""
    from tandem import doctor as check_up

    if not check_up.report(check_up.checks(), as_json):
        raise typer.Exit(1)


def uninstall(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """List what Tandem put outside the project, then remove it."""
    from tandem import uninstall as remover

    remover.run(yes)
