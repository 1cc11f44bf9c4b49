"""The gateway's process: its socket, its log, and a clean end at SIGTERM and Ctrl-C."""

import logging
from collections.abc import Callable
from pathlib import Path

from completion import turns
from completion.engine.guard import Guard
from completion.engine.listening import Server, listen
from gateway import adapters, ledger, tokens
from gateway.app import Gateway
from gateway.config import Settings
from gateway.servers import Servers

HINT = "Ask your admin: tandem gateway token NAME."


def run(
    settings: Settings,
    tokens_file: Path | None = None,
    ledger_file: Path | None = None,
    tell: Callable[[str], None] = print,
    place: Path | None = None,
) -> None:
    """Serve until a signal comes, and run the back ends that say how; paths in their arguments
    begin at `place`, by default where we were started. Raises UsageError for an address we cannot
    listen on, and ConfigError for a token that cannot be read."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
    known = tokens.Tokens(tokens_file or tokens.default_file())
    file = ledger_file or ledger.default_file()
    servers = Servers(settings.backends, file.parent / "servers", place or Path.cwd(), tell)
    gateway = Gateway(settings, file, servers)
    listening = listen(settings.host, settings.port, settings.allow_remote)
    guarded = Guard(
        gateway.build(),
        known.user,
        listening.port,
        listening.remote,
        settings.max_body,
        settings.hosts,
        HINT,
        {adapters.PATH: gateway.adapters.most_bytes},
    )
    names = ", ".join(backend.name for backend in settings.backends)
    tell(f"The gateway is at {listening.url}, before {names}.")
    if listening.remote:
        tell("Other machines can reach it, and tokens travel in the clear: put TLS in front.")
    server = Server(guarded, gateway.tick, gateway.stop)
    turns.shorten()
    server.run(sockets=[listening.socket])
