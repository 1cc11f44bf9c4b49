"""Repositories of the open documents: told of every edit, indexed in the background."""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from pygls.lsp.server import LanguageServer

from completion.document import Document
from completion.repository import MANY_FILES, Repositories, Repository
from lsp.documents import OpenDocument
from lsp.progress import Progress
from lsp.settings import Settings

log = logging.getLogger(__name__)


class OpenRepositories:
    """Of one language server. `all` is what sessions look context up in."""

    def __init__(self, server: LanguageServer, settings: Settings) -> None:
        self.all = Repositories()
        self._server = server
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[Path] = set()

    def opened(self, document: OpenDocument) -> None:
        """The first document of a repository has its index brought up to date."""
        repository = self._of(document.path)
        if repository is None:
            return
        repository.opened(
            Document(document.path, document.language, document.plain, document.version)
        )
        if repository.root in self._begun:
            return
        config = self._settings.of(document.path).completion
        if config.enabled and config.context_tokens:
            self._begun.add(repository.root)
            self._build(repository)

    def changing(self, document: OpenDocument) -> None:
        repository = self._of(document.path)
        if repository is not None:
            repository.before_change(document.path, lambda: document.plain)

    def saved(self, document: OpenDocument) -> None:
        repository = self._of(document.path)
        if repository is not None:
            repository.saved(document.path)

    def closed(self, document: OpenDocument) -> None:
        repository = self._of(document.path)
        if repository is not None:
            repository.closed(document.path)

    def changed_on_disk(self, files: Iterable[Path]) -> None:
        """As a checkout does it, or another program."""
        changed: dict[Repository, list[Path]] = {}
        for file in files:
            repository = self._of(file)
            # What lies in .git changes with every command and is no code.
            if repository is not None and ".git" not in file.parts:
                changed.setdefault(repository, []).append(file)
        for repository, found in changed.items():
            if repository.root not in self._begun:
                continue
            if len(found) > MANY_FILES:
                self._build(repository)
            else:
                repository.update(found)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.all.close)

    def _of(self, file: Path) -> Repository | None:
        return self.all.of(file, self._settings.folder_of(file))

    def _build(self, repository: Repository) -> None:
        task = asyncio.create_task(self._built(repository))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _built(self, repository: Repository) -> None:
        progress = await Progress.begin(self._server, f"Tandem: reading {repository.root.name}")
        outcome = "stopped"
        try:
            outcome = f"{repository.root.name} {await repository.build(progress.report)}"
        except OSError as error:
            outcome = f"the index was not built: {error}"
            log.warning("%s", outcome)
        finally:
            progress.end(outcome)
