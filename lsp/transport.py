"""Run the language server: over stdio for editors, over TCP for looking at it.

The process ends with its editor: at `exit`, at the end of the input, or when the process that
started it is gone. Only protocol messages reach stdout; whatever else writes there, native
libraries too, ends up on stderr.
"""

import asyncio
import logging
import os
import stat
import sys
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Event
from typing import Any

import psutil
from pygls.io_ import StdinAsyncReader, StdoutWriter, run_async

from completion import turns
from lsp.protocol import Protocol
from lsp.server import TandemServer
from tandem import paths, secrets
from tandem.errors import UsageError

HOST = "127.0.0.1"
PARENT_POLL_S = 2.0
# A key that comes while a thread looks something up waits so long for its turn; 5 ms is Python's.
TURN_S = 0.001
CLOSE_TIMEOUT_S = 5.0
LONGEST_LINE = 16 * 1024 * 1024  # bytes of input; a header has some 20
LOG_BYTES = 4 * 1024 * 1024
log = logging.getLogger(__name__)


def run(
    tcp: int | None = None, options: Mapping[str, Any] | None = None, debug: bool = False
) -> None:
    """Serve one editor, and end the process when that editor is gone.

    `tcp` is a port on 127.0.0.1 (0 takes a free one, named on stderr); None means stdio.
    """
    _log_to_file(debug or bool(os.environ.get("TANDEM_DEBUG")))
    sys.setswitchinterval(TURN_S)
    turns.shorten()
    server = TandemServer(options)
    try:
        asyncio.run(_stdio(server) if tcp is None else _tcp(server, tcp))
    except KeyboardInterrupt:
        _leave(130)


class _LoopReader:
    """A reader that lets a request's handler begin before the next message is read.

    A handler takes its snapshot of the text at its first step; messages that already lie in the
    stream's buffer would otherwise be handled before it.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        await asyncio.sleep(0)
        return await self._reader.readline()

    async def readexactly(self, n: int) -> bytes:
        return await self._reader.readexactly(n)


async def _stdio(server: TandemServer) -> None:
    if sys.stdin.isatty():
        print("This speaks the Language Server Protocol: let an editor start it.", file=sys.stderr)
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    server.protocol.set_writer(StdoutWriter(stdout))
    await _serve(server, await _stdin(server, stdout.fileno()))


async def _stdin(server: TandemServer, stdout: int) -> StdinAsyncReader | _LoopReader:
    """A thread's turn costs a key 1 ms on a busy machine, and a message has three reads: where the
    event loop can wait for the input itself, it does."""
    status = os.fstat(sys.stdin.fileno())
    can_wait = stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)
    # It makes the file non-blocking, which whoever writes to the same one could not bear.
    if os.name == "nt" or not can_wait or os.path.samestat(status, os.fstat(stdout)):
        return StdinAsyncReader(sys.stdin.buffer, server.thread_pool)
    stream = asyncio.StreamReader(LONGEST_LINE)
    make = lambda: asyncio.StreamReaderProtocol(stream)  # noqa: E731
    await asyncio.get_running_loop().connect_read_pipe(make, sys.stdin.buffer)
    return _LoopReader(stream)


async def _tcp(server: TandemServer, port: int) -> None:
    """Take the first connection and no other: what it is told holds the user's text."""
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
        asyncio.get_running_loop().create_future()
    )

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connected.done():
            writer.close()
        else:
            connected.set_result((reader, writer))

    try:
        listener = await asyncio.start_server(accept, HOST, port, limit=LONGEST_LINE)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"Cannot listen on {HOST}:{port}: {error}.", "Name another port; 0 takes a free one."
        ) from error
    print(f"tandem lsp on {HOST}:{listener.sockets[0].getsockname()[1]}", file=sys.stderr)
    reader, writer = await connected
    listener.close()
    server.protocol.set_writer(writer)  # pyright: ignore[reportArgumentType]
    await _serve(server, _LoopReader(reader))


async def _serve(server: TandemServer, reader: StdinAsyncReader | _LoopReader) -> None:
    watch = asyncio.create_task(_end_with_parent(server))
    try:
        await run_async(Event(), reader, server.protocol, log, server.report_server_error)
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        log.warning("the editor is gone: %s", error)
    except ValueError as error:
        log.warning("what comes in is no message: %s", error)
    except SystemExit:
        log.info("the editor said exit")
    watch.cancel()
    await _close(server)
    assert isinstance(server.protocol, Protocol)
    _leave(server.protocol.exit_code)


async def _close(server: TandemServer) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await asyncio.gather(
                server.outcomes.close(),
                server.sessions.close(),
                server.repositories.close(),
                server.close_chat(),
            )
    except Exception:
        log.exception("a session did not close")


async def _end_with_parent(server: TandemServer) -> None:
    """End when the editor's process ends, even if somebody else holds our stdin open."""
    while server.editor is None or _alive(server.editor):  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(PARENT_POLL_S)
    log.warning("the editor's process is gone")
    await _close(server)
    _leave(1)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _leave(code: int) -> None:
    """End now: a normal exit waits for threads that still read stdin or load a model."""
    logging.shutdown()
    os._exit(code)


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return secrets.redact(super().format(record))


def _log_to_file(debug: bool) -> None:
    """Log into the state folder with debug on; otherwise nowhere."""
    root = logging.getLogger()
    root.handlers.clear()
    if not debug:
        root.addHandler(logging.NullHandler())
        return
    file = _log_file()
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(_Redacted("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # Below warnings pygls writes whole messages, with the text in them, and httpx each poll.
    for chatty in ("pygls", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _log_file() -> Path:
    return paths.private_dir(paths.state_dir()) / "lsp.log"
