"""`tandem lsp`: the command that editors run."""

from typing import Annotated

import typer


def lsp_command(
    tcp: Annotated[
        int | None,
        typer.Option(
            "--tcp",
            min=0,
            max=65_535,
            metavar="PORT",
            help="Serve one connection on 127.0.0.1:PORT instead of stdio; 0 takes a free port.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log into lsp.log in the state folder.")
    ] = False,
) -> None:
    """Serve an editor with suggestions (Language Server Protocol)."""
    # Here, not above: `tandem --help` should not wait for pygls.
    from lsp.transport import run

    run(tcp, debug=debug)
