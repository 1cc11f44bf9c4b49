"""A fix run as a server drives it: begun, watched and stopped from elsewhere, applied after a yes.

    driven = Driven.begin(repository, tell=print)
    report = driven.run()          # in a thread; `stop` ends it soon
    write(driven.id, "who said yes")

The command line does the same for itself (tandem/fix_cli.py), with bars and Ctrl-C.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import apply, assistant, audit, patch
from sandbox.agent.team import Team
from sandbox.apply import Applied
from sandbox.approval import Nobody
from sandbox.fix import Fix, order_of
from sandbox.fixrun import RunFolder
from sandbox.report import Report
from tandem import config
from tandem.errors import ModelError, UsageError

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
        seconds: float = 600.0,
        model: bool = True,
        tell: Tell = lambda stage, done, total: None,
        note: Callable[[str], None] = lambda line: None,
    ) -> "Driven":
        """Make a run's folder. Raises UsageError if there is no such repository."""
        if not repository.is_dir():
            raise UsageError(f"There is no folder {repository}.", "Name a repository's top folder.")
        order = order_of(repository, test=test, seconds=seconds, model=model)
        return cls(RunFolder.new(order), tell, note)

    def run(self) -> Report:
        """Work to the end; for a thread. Raises TandemError as `Fix.run` does."""
        with audit.start(self.id) as log:
            log.append("order", **vars(self._folder.order()))
            settings = config.load(Path(self._folder.order().repository))
            # Nobody is asked on the way, so what wants a person is left undone; the patch has one.
            team = Team.of(self._folder, log, settings, Nobody(), self._note)
            self._fix = Fix(self._folder, log, self._tell, self._note, self._assistant(), team)
            if self._stopped:
                self._fix.stop()
            report = self._fix.run()
            log.seal()
        return report

    def stop(self) -> None:
        """End the search soon; `run` then gives a report of what was found. From any thread."""
        self._stopped = True
        if self._fix is not None:
            self._fix.stop()

    def _assistant(self) -> assistant.Assistant | None:
        order = self._folder.order()
        if not order.model:
            return None
        try:
            return assistant.load(config.load(Path(order.repository)).model)
        except ModelError as error:
            self._note(f"without a model: {error.message}")
            return None


def reported(id: str) -> dict[str, Any]:
    """What a run's report says. Raises UsageError if there is no such run, or it has not ended."""
    file = RunFolder.known(id).root / "report.json"
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"The run {id} has not ended.", "Wait for it.") from error


def patched(id: str) -> dict[str, tuple[str | None, str | None]]:
    """The texts of a run's best patch by path, old and new; None for no file.

    Raises UsageError if the run found none.
    """
    found = reported(id)["found"]
    if not found:
        raise UsageError(f"The run {id} found no patch.", "There is nothing to apply.")
    diffs = patch.parse(found[0]["diff"])
    copy = RunFolder.known(id).copy()
    old = {one.path: copy.text(one.path) for one in diffs if not one.made}
    new = patch.apply(diffs, old)
    return {path: (old.get(path), text) for path, text in new.files.items()}


def write(id: str, approved_by: str) -> Applied:
    """Apply a run's best patch to its repository, and say in its log who said yes.

    Raises TandemError, with every file as it was, if a file has changed since the run began.
    """
    texts = patched(id)
    old = {path: before for path, (before, _) in texts.items() if before is not None}
    new = patch.Patch({path: after for path, (_, after) in texts.items()})
    repository = Path(RunFolder.known(id).order().repository)
    with audit.go_on(id) as log:
        log.append("approved", by=approved_by, files=sorted(texts))
        done = apply.apply(repository, new, old, id)
        log.append("applied", files=list(done.files), ref=done.ref)
        log.seal()
    return done
