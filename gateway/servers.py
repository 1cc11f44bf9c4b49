"""Model servers that the gateway runs itself: `tandem serve` for each back end that says how.

Each has a process group and a log of its own, is started again after a crash (`Backoff`), and ends
with the gateway. One that does not start is told of and tried again now and then, for what was
wrong may be mended by somebody: a model that was not there, a GPU that was another's.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from completion.backoff import Backoff
from completion.process import Process
from gateway.config import Backend

# vLLM lets what runs end as long as its own settings say, and Ray's replicas need seconds to go.
END_SECONDS = 60.0
# Between tries of one that does not start.
RETRY_SECONDS = 300.0

Tell = Callable[[str], None]


class Servers:
    """`folder` is for logs, `place` where paths in their arguments begin. Use it in one thread."""

    def __init__(self, backends: Sequence[Backend], folder: Path, place: Path, tell: Tell) -> None:
        self._all = [_Server(one, folder, place, tell) for one in backends if one.serve is not None]

    def look(self) -> None:
        """Start what does not run and should. Call it each second."""
        for server in self._all:
            server.look()

    def answers(self, name: str) -> None:
        """The back end of this name does."""
        for server in self._all:
            if server.name == name:
                server.answers()

    async def end(self) -> None:
        """Let them end, and end what is left after a while."""
        for server in self._all:
            server.ask_to_end()
        until = time.monotonic() + END_SECONDS
        for server in self._all:
            await asyncio.to_thread(server.close, until)


class _Server:
    def __init__(self, backend: Backend, folder: Path, place: Path, tell: Tell) -> None:
        self.name = backend.name
        self._command = command(backend)
        self._folder, self._place, self._tell = folder, place, tell
        self._process: Process | None = None
        self._backoff = Backoff()
        self._is_ready = self._is_over = False
        self._not_before = 0.0
        self._trouble = ""

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.status is None

    def look(self) -> None:
        if self._process is None:
            if not self._is_over and time.monotonic() >= self._not_before:
                self._start()
        elif self._process.status is not None:
            self._crashed(self._process)
        else:
            self._process.trim_log()

    def answers(self) -> None:
        if self.runs and not self._is_ready:
            self._is_ready = True
            self._trouble = ""
            self._backoff.ready()
            self._tell(f"{self.name} serves.")

    def ask_to_end(self) -> None:
        self._is_over = True
        if self._process is not None:
            self._process.ask_to_end()

    def close(self, until: float = 0.0) -> None:
        """Blocking, while it runs and it is not `until` yet; then it is ended."""
        while self.runs and time.monotonic() < until:
            time.sleep(0.05)
        if self._process is not None:
            self._process.close()
            self._process = None

    def _start(self) -> None:
        self._is_ready = False
        try:
            self._process = Process(
                self._command, os.environ, self._folder, self.name, cwd=self._place
            )
        except OSError as error:
            self._put_off(f"cannot be started: {error}")
        else:
            if not self._trouble:
                self._tell(f"Starting {self.name}; its log: {self._process.log}")

    def _crashed(self, process: Process) -> None:
        said = process.last_words()
        self.close()
        if self._is_over:
            return
        pause = self._backoff.crashed()
        if pause is None:
            self._put_off(f"does not start: {said} Its log: {process.log}.")
            return
        self._not_before = time.monotonic() + pause
        self._tell(f"{self.name} ended ({said}). It starts again in {pause:g} s.")

    def _put_off(self, trouble: str) -> None:
        """Told once for each thing that is wrong."""
        self._not_before = time.monotonic() + RETRY_SECONDS
        if trouble != self._trouble:
            self._tell(f"{self.name} {trouble} It is tried every {RETRY_SECONDS / 60:g} minutes.")
        self._trouble = trouble


def command(backend: Backend) -> list[str]:
    """`tandem serve` at the back end's own address."""
    address = urlsplit(backend.url)
    given = [_at_home(word) for word in backend.serve or ()]
    # -P: a folder called tandem where it runs is not ours.
    serve = [sys.executable, "-P", "-m", "tandem", "serve", *given]
    return [*serve, "--host", str(address.hostname), "--port", str(address.port)]


def _at_home(word: str) -> str:
    return str(Path(word).expanduser()) if word.startswith("~/") else word
