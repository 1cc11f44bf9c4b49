"""Requests that are being worked on, by document: they end when it is closed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from completion import silence
from lsp.documents import OpenDocument

T = TypeVar("T")


class Requests:
    """Of one language server."""

    def __init__(self) -> None:
        self._running: dict[OpenDocument, set[asyncio.Task[Any]]] = {}

    async def run(self, document: OpenDocument, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` gives; None if the document was closed meanwhile.

        Raises asyncio.CancelledError if the request itself is cancelled.
        """
        task = asyncio.ensure_future(work)
        running = self._running.setdefault(document, set())
        running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return None
        finally:
            running.discard(task)
            if not running:
                self._running.pop(document, None)

    def closed(self, document: OpenDocument) -> None:
        """End what is asked about a document, with this as the reason."""
        for task in self._running.pop(document, ()):
            task.cancel(silence.CLOSED)
