"""One HTTP connection of ours, and how long it may stand without getting anywhere.

uvicorn alone waits forever for the rest of a request's head, for a body that nobody reads, and for
a client to read its answer: whoever can reach the port, token or not, could hold all connections
that this process may have. Bodies that somebody reads have `wire.STALL_SECONDS`.
"""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Until a request's head is whole; and, once it is answered, until the next one's is.
HEAD_SECONDS = 10.0
# Without taking any of an answer that waits to be sent.
UNREAD_SECONDS = 30.0
# Connections without a request under way. One more, and the oldest of them is closed. Honest ones
# come in bursts: each of a team's requests may open one at the same moment.
MOST_SILENT = 1024
# Open files that this process asks for; some systems give it 1024, and both ends of the gateway
# and what it reads from disk need some.
FILES = 8192


class Connection(H11Protocol):
    """`_silent` ends the connection if it asks nothing, `_unread` if `_left` bytes to be sent
    become no fewer."""

    _silent: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _left = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = _cancelled(self._unread)  # since the last pause the client has read
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent, self._unread = _cancelled(self._silent), _cancelled(self._unread)
        super().connection_lost(exc)

    def _look(self) -> None:
        """Bytes that are no whole request do not buy a silent connection more time."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._silent = _cancelled(self._silent)
        elif self._silent is None and not self.transport.is_closing():
            self._silent = self.loop.call_later(HEAD_SECONDS, self._end)
            if len(self.connections) > MOST_SILENT:
                self._make_room()

    def _make_room(self) -> None:
        silent = [
            (one._silent.when(), one)
            for one in self.connections
            if isinstance(one, Connection) and one._silent is not None
        ]
        if len(silent) > MOST_SILENT:
            min(silent, key=lambda one: one[0])[1]._end()

    def _end(self) -> None:
        """After what has been answered, if it is still on its way."""
        self._silent = _cancelled(self._silent)
        self.transport.close()
        self._watch()

    def _watch(self) -> None:
        self._left = self.transport.get_write_buffer_size()
        if self._left and self._unread is None:
            self._unread = self.loop.call_later(UNREAD_SECONDS, self._still_unread)

    def _still_unread(self) -> None:
        before, self._unread = self._left, None
        if self.transport.get_write_buffer_size() < before:
            self._watch()
        else:
            self.transport.abort()


def allow_files() -> None:
    """As far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
