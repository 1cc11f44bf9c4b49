"""`tandem serve`: the embedded engine for other programs, OpenAI-compatible."""

from typing import Annotated

import typer

from tandem import config as settings
from tandem.errors import UsageError

DEFAULT_PORT = 8017


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = DEFAULT_PORT,
    model: Annotated[str, typer.Option(help="A model in the store, or a folder.")] = "",
    background: Annotated[
        bool, typer.Option(help="Start the engine that editors share, and return.")
    ] = False,
    allow_remote: Annotated[
        bool, typer.Option(help="Let other machines in; they need the token too.")
    ] = False,
) -> None:
    """Serve the model over OpenAI-compatible HTTP, until Ctrl-C."""
    from completion.engine import background as engine
    from completion.engine import server

    config = settings.load(options={"model": model} if model else None)
    if not background:
        server.run(config, host, port, allow_remote=allow_remote)
        return
    if config.endpoint:
        raise UsageError(
            f"The model is served at {config.endpoint}.", "Unset `endpoint` to use the engine."
        )
    address = engine.ensure(config, progress=typer.echo)
    typer.echo(f"Serving {address.model} at {address.url}, process {address.pid}.")
