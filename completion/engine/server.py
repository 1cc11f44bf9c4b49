"""The process around the engine: socket, loading, signals, idle end.

The socket opens first and answers /health while the model loads. SIGTERM and SIGINT cancel
what runs and end the process cleanly; a model that cannot be loaded ends it with an error.
"""

import asyncio
import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from completion import models
from completion.engine import app, background, shipped
from completion.engine.background import Address
from completion.engine.guard import Guard
from completion.engine.served import ServedModel
from tandem.config import Config
from tandem.errors import EngineError, UsageError

STOP_SECONDS = 5


@dataclass(frozen=True)
class Listening:
    """An open socket and how a client on this machine reaches it."""

    socket: socket.socket
    port: int
    url: str
    remote: bool


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

    guarded = Guard(app.build(served), token, listening.port, listening.remote)
    server = _Server(
        uvicorn.Config(
            guarded,
            http="h11",  # strict about what other parsers let through: two Hosts, two lengths
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            callback_notify=tick,
            timeout_notify=1,
        ),
        served,
    )
    threading.Thread(target=served.load, name="loader", daemon=True).start()
    server.run(sockets=[listening.socket])
    if served.error:
        raise EngineError(served.error)


def listen(host: str, port: int, allow_remote: bool = False) -> Listening:
    """Open the socket; port 0 takes a free one. Raises UsageError."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(f"There is no host {host}: {error}.", "Use 127.0.0.1.") from None
    remote = not ipaddress.ip_address(place[0]).is_loopback
    if remote and not allow_remote:
        raise UsageError(
            f"{host} can be reached by other machines.",
            "If that is meant, add --allow-remote; anybody with the token can then use the model.",
        )
    try:
        opened = socket.create_server(place[:2], family=family)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}, port {port}: {error.strerror}.",
            "Choose another with --port; 0 takes a free one.",
        ) from None
    # asyncio sends small answers at once only where it is told that this is TCP. Else the second
    # event of a stream waits 40 ms for the first one's acknowledgement.
    opened = socket.socket(family, opened.type, socket.IPPROTO_TCP, fileno=opened.detach())
    port = opened.getsockname()[1]
    name = f"[{place[0]}]" if family == socket.AF_INET6 else place[0]
    return Listening(opened, port, f"http://{name}:{port}/v1", remote)


class _Server(uvicorn.Server):
    """uvicorn, but signals end it without killing it, and the model stops first."""

    def __init__(self, config: uvicorn.Config, served: ServedModel) -> None:
        super().__init__(config)
        self._served = served

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, which would skip our clean-up.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams end when their jobs are cancelled; only then can connections close in time.
        await asyncio.to_thread(self._served.stop)
        await super().shutdown(sockets)


def _run_foreground(config: Config, host: str, port: int, allow_remote: bool) -> None:
    served = _model(config)
    token, file = background.user_token()
    listening = listen(host, port, allow_remote)
    print(f"Serving {served.name} at {listening.url}", flush=True)
    print(f"The bearer token is in {file}. Ctrl-C ends the server.", flush=True)
    serve(served, listening, token)


def _run_background(config: Config) -> None:
    served = _model(config)
    token = secrets.token_urlsafe(32)
    limit = config.engine.idle_minutes * 60

    def on_tick() -> bool:
        background.trim_log()
        return served.idle_seconds() > limit

    with background.registered(background.files_for(config)) as announce:
        listening = listen("127.0.0.1", 0)
        announce(Address(listening.url, token, os.getpid(), served.name))
        serve(served, listening, token, on_tick)


def _model(config: Config) -> ServedModel:
    found = models.resolve(config.model)
    difference = shipped.of(found)
    template = difference.template if difference else found.manifest.template
    return ServedModel(found.name, found.folder, template, config.engine, difference)
