"""The memories of one session: one for each repository that is typed in, kept at its server."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from completion.client import Client
from completion.document import Document
from completion.memory import Memory
from completion.repository import Repositories, Repository


@dataclass
class _Kept:
    memory: Memory
    client: Client
    repository: Repository
    task: asyncio.Task[None]


class Memories:
    """Sent in the background from the first question about a repository on, once that is indexed."""

    def __init__(self, repositories: Repositories | None) -> None:
        self._repositories = repositories
        self._kept: dict[Path, _Kept] = {}

    def name_for(self, client: Client, document: Document) -> str:
        """What to ask this server for; "" where it has nothing of the document's repository yet."""
        repository = self._of(document)
        if repository is None or not repository.index.exists:
            return ""
        kept = self._kept.get(repository.root)
        if kept is None or kept.client is not client:
            kept = self._keep(repository, client)
        return kept.memory.name_for(document)

    def told(self, document: Document, usage: dict[str, Any]) -> None:
        """What the server said of an answer that it was asked to mix a memory into."""
        repository = self._of(document)
        kept = self._kept.get(repository.root) if repository is not None else None
        if kept is not None and (usage.get("tandem") or {}).get("memory") == "unknown":
            kept.memory.lost()

    async def close(self) -> None:
        kept, self._kept = list(self._kept.values()), {}
        for one in kept:
            self._leave(one)
        await asyncio.gather(*(one.task for one in kept), return_exceptions=True)

    def _of(self, document: Document) -> Repository | None:
        if self._repositories is None:
            return None
        return self._repositories.of(document.path, document.root)

    def _keep(self, repository: Repository, client: Client) -> _Kept:
        """The server may be another one than before."""
        before = self._kept.pop(repository.root, None)
        if before is not None:
            self._leave(before)
        memory = Memory(repository.root)
        repository.watch(memory)
        task = asyncio.create_task(memory.follow(client))
        made = self._kept[repository.root] = _Kept(memory, client, repository, task)
        return made

    def _leave(self, kept: _Kept) -> None:
        kept.task.cancel()
        kept.repository.unwatch(kept.memory)
