"""A fix run as a server drives it: begun, watched and stopped from elsewhere.

    driven = Driven.begin(repository, tell=print)
    report = await driven.finished()   # cancelling ends the search

The command line does the same for itself (tandem/fix_cli.py), with bars and Ctrl-C.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sandbox import assistant, audit
from sandbox.agent.team import Team
from sandbox.approval import Nobody
from sandbox.fix import Fix, order_of
from sandbox.fixrun import RunFolder
from sandbox.report import Report
from tandem import config
from tandem.errors import UsageError

Tell = Callable[[str, int, int], None]


class Driven:
    """One run. `tell` hears of stages as `Fix` says them, `note` gets lines for a person."""

    def __init__(self, folder: RunFolder, tell: Tell, note: Callable[[str], None]) -> None:
        self.id = folder.id
        self._folder = folder
        self._tell = tell
        self._note = note
        self._fix: Fix | None = None
        self._stopped = False

    @classmethod
    def begin(
        cls,
        repository: Path,
        *,
        test: str = "",
        issue: str = "",
        seconds: float = 600.0,
        model: bool = True,
        tell: Tell = lambda stage, done, total: None,
        note: Callable[[str], None] = lambda line: None,
    ) -> "Driven":
        """Make a run's folder. Raises UsageError if there is no such repository."""
        if not repository.is_dir():
            raise UsageError(f"There is no folder {repository}.", "Name a repository's top folder.")
        order = order_of(repository, test=test, issue=issue, seconds=seconds, model=model)
        return cls(RunFolder.new(order), tell, note)

    def run(self) -> Report:
        """Work to the end; for a thread. Raises TandemError as `Fix.run` does."""
        with audit.start(self.id) as log:
            log.append("order", **vars(self._folder.order()))
            settings = config.load(Path(self._folder.order().repository))
            # Nobody is asked on the way, so what wants a person is left undone; the patch has one.
            team = Team.of(self._folder, log, settings, Nobody(), self._note)
            helper = assistant.of(self._folder.order(), self._note)
            self._fix = Fix(self._folder, log, self._tell, self._note, helper, team)
            if self._stopped:
                self._fix.stop()
            report = self._fix.run()
            log.seal()
        return report

    async def finished(self) -> Report:
        """`run`, in a thread of its own. Cancelling ends the search soon."""
        try:
            return await asyncio.to_thread(self.run)
        except asyncio.CancelledError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the search soon; `run` then gives a report of what was found. From any thread."""
        self._stopped = True
        if self._fix is not None:
            self._fix.stop()
