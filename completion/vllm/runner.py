"""Runs vLLM until a signal comes: health, adapters, a new start after a crash.

One thread looks every half second. What cannot be changed in a running vLLM (more adapters than
it has slots, speculation that does not pay) is a new start, when nothing runs. SIGTERM and Ctrl-C
let running requests end first; a second one ends them, too.
"""

import os
import secrets as random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from completion.backoff import Backoff
from completion.ending import Ending
from completion.process import Process
from completion.vllm import command, served
from completion.vllm.acceptance import Judge, Remembered
from completion.vllm.command import Plan
from completion.vllm.control import Control
from completion.vllm.environment import Environment
from completion.vllm.loaded import LoadedAdapters
from completion.vllm.served import Model
from completion.vllm.settings import Settings
from tandem.errors import EngineError

TICK_SECONDS = 0.5
LOOK_SECONDS = 5.0  # between two looks at health, adapters and counts
# A ready server that answers nothing for this long hangs.
SILENT_SECONDS = 60.0
# How long a new start waits for a moment in which nothing runs.
PATIENCE_SECONDS = 600.0
# vLLM ends within its own `--shutdown-timeout` and what its processes need to go.
MARGIN_SECONDS = 15.0

Tell = Callable[[str], None]
End = Literal["stopped", "again", "crashed"]


class Runner:
    """`token` is what users show; `remote` whether others than this machine may."""

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        model: Model,
        port: int,
        token: str,
        folder: Path,
        remote: bool = False,
        tell: Tell = print,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._model = model
        self._port = port
        self._token = token
        self._key = random.token_urlsafe(32)
        self._remote = remote
        self._folder = folder
        self._tell = tell
        self._ending = Ending(tell)
        self._name = settings.name or model.name
        self._control = Control(port, token, self._key)
        self._adapters = LoadedAdapters(self._control, folder / "adapters", tell)
        self._judge = Judge(settings.speculation, environment.cpu)
        self._verdicts = Remembered()
        self._backoff = Backoff()

    def run(self) -> None:
        """Blocking, until a signal. Raises EngineError if vLLM does not start, TandemError for
        settings or a model that it cannot start with."""
        with self._ending.signals():
            try:
                while self._once() != "stopped":
                    pass
            finally:
                self._control.close()

    def _once(self) -> End:
        """One run of vLLM, and the pause after a crash."""
        self._model.made(_telling(self._tell))  # a newer version of us may have removed it
        plan = self.plan()
        process = Process(
            command.arguments(plan),
            command.inherited(os.environ)
            | command.variables(plan, self._folder)
            | command.secrets(plan, self._token, self._key, self._remote),
            self._folder,
        )
        self._tell(f"Starting vLLM {self._environment.version}; its log: {process.log}")
        try:
            end = self._watch(plan, process)
        finally:
            said = process.last_words()
            process.close()
        if end != "crashed":
            return end
        self._adapters.crashed()
        pause = self._backoff.crashed()
        if pause is None:
            raise EngineError(f"vLLM does not start: {said}", f"Its log: {process.log}")
        self._tell(f"vLLM ended ({said}). It starts again in {pause:g} s.")
        return "stopped" if self._ending.wait(pause) else "crashed"

    def plan(self) -> Plan:
        """What the next start is. Tells which adapters are left out, and why."""
        found = self._adapters.find(self._model, self._settings.adapters)
        wanted = self._settings.speculation
        speculate = wanted.method != "off"
        if speculate and (verdict := self._verdicts.against(self._name, wanted)):
            speculate = wanted.least_accepted == 0
            if not speculate:
                told = f"Speculation ({wanted.method}) stays off: on {verdict.day} {verdict}."
                self._tell(f"{told} To try again, remove {self._verdicts.file}.")
        return Plan(
            self._settings,
            self._environment,
            self._name,
            self._model.folder,
            self._port,
            tuple(found),
            speculate,
            served.lends(self._model, self._settings.adapters, self._environment.cpu),
        )

    def _watch(self, plan: Plan, process: Process) -> End:
        """Until it ends, or has to."""
        if not self._until_ready(process):
            return self._drained(process) if self._ending.asked else "crashed"
        self._control.warm_up(plan.name)
        self._adapters.begin(plan)
        self._backoff.ready()
        self._tell(f"Serving {plan.name} at http://{self._settings.host}:{self._port}/v1")
        heard = looked = time.monotonic()
        wanted_since = 0.0
        while not self._ending.wait(TICK_SECONDS):
            now = time.monotonic()
            if process.status is not None:
                return "crashed"
            if now - looked < LOOK_SECONDS:
                continue
            looked = now
            process.trim_log()
            healthy = self._control.healthy()
            heard = now if healthy is not None else heard
            if healthy is False or now - heard > SILENT_SECONDS:
                self._tell("vLLM does not answer any more.")
                return "crashed"
            if not wanted_since and self._needs_new_start(plan):
                wanted_since = now
            if wanted_since:
                counts = self._control.counts()
                if (counts and counts.idle) or now - wanted_since > PATIENCE_SECONDS:
                    self._drained(process)
                    return "again"
        return self._drained(process)

    def _until_ready(self, process: Process) -> bool:
        until = process.began + self._settings.start_minutes * 60
        while not self._ending.wait(TICK_SECONDS):
            if process.status is not None:
                return False
            if self._control.healthy():
                return True
            if time.monotonic() > until:
                self._tell(f"vLLM was not ready after {self._settings.start_minutes:g} minutes.")
                return False
        return False

    def _needs_new_start(self, plan: Plan) -> bool:
        if self._adapters.follow(self._model, self._settings.adapters):
            self._tell("vLLM starts again with the new adapters, once nothing runs.")
            return True
        wanted = self._settings.speculation
        if not plan.speculate or not (counts := self._control.counts()):
            return False
        if (verdict := self._judge.look(counts)) is None:
            return False
        self._verdicts.keep(plan.name, wanted, verdict)
        self._tell(f"Speculation ({wanted.method}) is turned off: {verdict}.")
        return True

    def _drained(self, process: Process) -> End:
        """Let running requests end, at most so long."""
        process.ask_to_end()
        most = self._settings.drain_seconds + MARGIN_SECONDS
        self._ending.let_end(lambda: process.status is not None, most)
        return "stopped"


def _telling(tell: Tell) -> Callable[[str, int, int], None]:
    """Each stage of an export once."""
    seen: set[str] = set()

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in seen:
            seen.add(stage)
            tell(f"Preparing the model for vLLM: {stage}")

    return progress
