"""A starlette application on a port of its own, in a thread."""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute


@contextlib.contextmanager
def served(routes: Sequence[BaseRoute]) -> Iterator[str]:
    """Yields its address, without a slash at the end."""
    settings = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
