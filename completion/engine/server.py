"""The process around the engine: socket, loading, signals, idle end.

The socket opens first and answers /health while the model loads. SIGTERM and SIGINT cancel
what runs and end the process cleanly; a model that cannot be loaded ends it with an error.
"""

import asyncio
import os
import secrets
import threading
from collections.abc import Callable

from completion import models, turns
from completion.engine import app, background, shipped
from completion.engine.background import Address
from completion.engine.guard import Guard, only
from completion.engine.listening import Listening, Server, listen
from completion.engine.served import ServedModel
from tandem.config import Config
from tandem.errors import EngineError


def run(
    config: Config,
    host: str = "127.0.0.1",
    port: int = 0,
    background: bool = False,
    allow_remote: bool = False,
) -> None:
    """Serve `config.model` until a signal comes, or until idle if in the `background`.

    Raises ModelError, UsageError for a host or port we cannot listen on, EngineError if the
    model cannot be loaded.
    """
    if background:
        _run_background(config)
    else:
        _run_foreground(config, host, port, allow_remote)


def serve(
    served: ServedModel,
    listening: Listening,
    token: str,
    on_tick: Callable[[], bool] = lambda: False,
) -> None:
    """Answer on the socket until a signal comes or `on_tick`, asked each second, says to end.

    Raises EngineError if the model cannot be loaded.
    """

    async def tick() -> None:
        server.should_exit |= served.status == "failed" or on_tick()

    async def stop() -> None:
        await asyncio.to_thread(served.stop)

    guarded = Guard(app.build(served), only(token), listening.port, listening.remote)
    server = Server(guarded, tick, stop)
    threading.Thread(target=served.load, name="loader", daemon=True).start()
    turns.shorten()
    server.run(sockets=[listening.socket])
    if served.error:
        raise EngineError(served.error)


def _run_foreground(config: Config, host: str, port: int, allow_remote: bool) -> None:
    served = served_model(config)
    token, file = background.user_token()
    listening = listen(host, port, allow_remote)
    print(f"Serving {served.name} at {listening.url}", flush=True)
    print(f"The bearer token is in {file}. Ctrl-C ends the server.", flush=True)
    serve(served, listening, token)


def _run_background(config: Config) -> None:
    served = served_model(config)
    token = secrets.token_urlsafe(32)
    limit = config.engine.idle_minutes * 60

    def on_tick() -> bool:
        background.trim_log()
        return served.idle_seconds() > limit

    with background.registered(background.files_for(config)) as announce:
        listening = listen("127.0.0.1", 0)
        announce(Address(listening.url, token, os.getpid(), served.name))
        serve(served, listening, token, on_tick)


def served_model(config: Config) -> ServedModel:
    """Not loaded yet. Raises ModelError."""
    found = models.resolve(config.model)
    difference = shipped.of(found)
    template = difference.template if difference else found.manifest.template
    return ServedModel(found.name, found.folder, template, config.engine, difference)
