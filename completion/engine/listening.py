"""The socket, and the server on it: shared by the engine and the gateway.

SIGTERM and SIGINT end it cleanly.
"""

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from completion.engine.connections import Connection, allow_files
from tandem.errors import UsageError

STOP_SECONDS = 5


@dataclass(frozen=True)
class Listening:
    """An open socket and how a client on this machine reaches it."""

    socket: socket.socket
    port: int
    url: str
    remote: bool


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


class Server(uvicorn.Server):
    """uvicorn, but signals end it without killing it. `tick` is called each second; `stop`
    before connections close: it ends what they wait for."""

    def __init__(
        self,
        application: ASGIApp,
        tick: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        settings = uvicorn.Config(
            application,
            # h11's: strict about what other parsers let through, such as two Hosts or two lengths.
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # a warning is what any stranger can fill a disk with
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            callback_notify=tick,
            timeout_notify=1,
        )
        super().__init__(settings)
        allow_files()
        self._stop_first = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, which would skip our clean-up.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams end when their work is cancelled; only then can connections close in time.
        await self._stop_first()
        await super().shutdown(sockets)
