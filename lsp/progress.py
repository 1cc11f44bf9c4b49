"""Work-done progress of one piece of work, for clients that show it."""

import asyncio
import uuid

from lsprotocol import types
from pygls.lsp.server import LanguageServer

CREATE_TIMEOUT_S = 5.0


class Progress:
    """Begun once, reported any number of times, ended once; silent where nobody listens."""

    def __init__(self, server: LanguageServer, token: str = "") -> None:
        self._server = server
        self._token = token
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def begin(cls, server: LanguageServer, title: str) -> "Progress":
        window = server.client_capabilities.window
        if window is None or not window.work_done_progress:
            return cls(server)
        token = f"tandem-{uuid.uuid4().hex}"
        try:
            async with asyncio.timeout(CREATE_TIMEOUT_S):
                await server.work_done_progress.create_async(token)
        except Exception:
            # A client may refuse, or never answer: then there is nothing to show on.
            return cls(server)
        server.work_done_progress.begin(token, types.WorkDoneProgressBegin(title=title))
        return cls(server, token)

    def report(self, message: str) -> None:
        """Tell a step. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._report, message)

    def _report(self, message: str) -> None:
        if self._token:
            value = types.WorkDoneProgressReport(message=message)
            self._server.work_done_progress.report(self._token, value)

    def end(self, message: str) -> None:
        token, self._token = self._token, ""
        if token:
            self._server.work_done_progress.end(token, types.WorkDoneProgressEnd(message=message))
            self._server.work_done_progress.tokens.pop(token, None)
