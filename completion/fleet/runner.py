"""Runs Ray Serve until a signal comes. Ray itself starts replicas that ended again."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from completion.ending import Ending
from completion.fleet import app_file, door
from completion.fleet.adapters import ListedAdapters
from completion.fleet.environment import Environment
from completion.fleet.settings import Settings
from completion.process import Process
from tandem import paths
from tandem.errors import EngineError

MIDDLEWARES = "completion.fleet.door:middlewares"
TICK_SECONDS = 0.2
LOOK_SECONDS = 5.0  # between two looks at the adapters
MARGIN_SECONDS = 20.0
_ROOT = str(Path(__file__).resolve().parents[2])


def variables(
    settings: Settings, token: str, port: int, remote: bool, adapters: ListedAdapters
) -> dict[str, str]:
    """What Ray's processes have besides ours: the door's token, and nobody is told of anything."""
    told = {"token": token, "port": port, "remote": remote, "hosts": settings.hosts}
    lends = adapters.lends()
    told |= {"listing": str(adapters.file), "lends": lends and lends.model_dump(mode="json")}
    before = os.environ.get("PYTHONPATH")
    return {
        door.TOLD: json.dumps(told),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": MIDDLEWARES,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([_ROOT, *([before] if before else [])]),
        **({} if settings.address else _alone()),
    }


class Runner:
    """`told` is the application's file; `folder` is for it and the log."""

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        told: dict,
        port: int,
        token: str,
        remote: bool,
        folder: Path,
        adapters: ListedAdapters,
        tell: Callable[[str], None] = print,
    ) -> None:
        told = {**told, "http_options": {**told["http_options"], "port": port}}
        self._settings = settings
        self._environment = environment
        self._told = told
        self._variables = variables(settings, token, port, remote, adapters)
        self._url = f"http://{settings.host}:{port}/v1"
        self._folder = folder
        self._adapters = adapters
        self._tell = tell
        self._ending = Ending(tell)

    def run(self) -> None:
        """Blocking, until a signal. Raises EngineError if Ray ends before that."""
        self._adapters.begin()
        paths.private_dir(self._folder)
        file = self._folder / "app.json"
        with paths.atomic_write(file) as stream:
            stream.write(app_file.text(self._told))
        command = [str(self._environment.python), "-P", "-m", "completion.fleet.head", str(file)]
        command += [self._settings.address] if self._settings.address else []
        with self._ending.signals():
            process = Process(command, {**os.environ, **self._variables}, self._folder, "ray")
            try:
                self._tell(f"Starting Ray {self._environment.ray}; its log: {process.log}")
                self._watch(process)
            finally:
                started = _below(process.pid)
                process.close()
                for one in started:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()

    def _watch(self, process: Process) -> None:
        ready = False
        looked = time.monotonic()
        until = time.monotonic() + self._settings.start_minutes * 60
        while not self._ending.wait(TICK_SECONDS):
            if process.status is not None:
                raise EngineError(
                    f"Ray Serve ended: {process.last_words()}", f"Its log: {process.log}"
                )
            if time.monotonic() - looked > LOOK_SECONDS:
                self._adapters.look()
                looked = time.monotonic()
            if ready:
                process.trim_log()  # not before: the line that says so is looked for in it
            elif app_file.READY in process.log.read_text("utf-8", "replace").splitlines():
                ready = True
                self._tell(f"Serving at {self._url}")
            elif time.monotonic() > until:
                minutes = f"{self._settings.start_minutes:g}"
                raise EngineError(f"No replica answered after {minutes} minutes.", str(process.log))
        process.ask_to_end()
        most = self._settings.drain_seconds + MARGIN_SECONDS
        self._ending.let_end(lambda: process.status is not None, most)


def _alone() -> dict[str, str]:
    """For a Ray of this machine alone: its own ports are on the loopback, and who opens one has to
    know a key, or every user of the machine could run code there."""
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux, too: the node's address is 127.0.0.1
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


def _below(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []
