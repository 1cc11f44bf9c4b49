"""The adapters that a gateway offers for repositories, and which one a file's repository gets.

The list is read again in the background while it is used, so that what a team pushes or rolls
back reaches editors that run; no completion waits for that. A repository's identity is read once,
and a completion waits for it only as long as nobody notices.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from completion import identity
from completion.client import Client, ServedModel
from tandem.errors import EngineError

REFRESH_S = 20.0
NOTICED_S = 0.2


class Offered:
    """For one base model at one server; `rows` are what it serves now."""

    def __init__(self, base: str, rows: Iterable[ServedModel]) -> None:
        self._base = base
        self._failed: dict[str, str] = {}
        self._identities: dict[Path, asyncio.Task[str]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._take(rows)

    async def model(self, client: Client, root: Path) -> tuple[str | None, str]:
        """The adapter's name, or why there is none if there is something to say."""
        if time.monotonic() - self._asked > REFRESH_S and self._asking is None:
            self._asking = asyncio.create_task(self._refresh(client))
        if not self._names:
            return None, ""
        known = await self._identity(root)
        if known is None:
            return None, "it is not known yet which repository this is"
        name = self._names.get(known)
        if name is None:
            return None, ""
        return (None, self._failed[name]) if name in self._failed else (name, "")

    def failed(self, name: str, error: EngineError) -> bool:
        """Leave it alone until the list is read again. Whether it is one of these."""
        if name not in self._names.values():
            return False
        self._failed[name] = str(error)
        return True

    def _take(self, rows: Iterable[ServedModel]) -> None:
        self._asked = time.monotonic()
        self._failed.clear()
        self._names = {
            row.repository: row.id for row in rows if row.repository and row.parent == self._base
        }

    async def _refresh(self, client: Client) -> None:
        try:
            # RuntimeError: the client was closed meanwhile.
            with contextlib.suppress(EngineError, RuntimeError):
                self._take(await client.models())
        finally:
            self._asked, self._asking = time.monotonic(), None
            # A clone may have become deep, a folder a repository.
            for root, task in [*self._identities.items()]:
                if task.done() and not task.result():
                    del self._identities[root]

    async def _identity(self, root: Path) -> str | None:
        task = self._identities.get(root)
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(identity.of, root))
            self._identities[root] = task
        done, _ = await asyncio.wait([task], timeout=NOTICED_S)
        return task.result() if done else None
