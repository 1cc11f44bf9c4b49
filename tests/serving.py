"""A `tandem serve` process in user folders of its own: what vLLM's and Ray's tests share."""

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from completion.engine.background import Address
from tests.lsp_client import REPOSITORY, environment
from tests.wire import free_port, wait_until


class Serving:
    """Started at once, on a free port; `end` it, which may take END_SECONDS by itself."""

    END_SECONDS = 60.0

    def __init__(
        self,
        home: Path,
        model: str,
        arguments: Sequence[str],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.home, self.model = home, model
        self.log = home / "serve.log"
        command = [sys.executable, "-m", "tandem", "serve", "--model", model, *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                stdout=log,
                stderr=log,
                env={**environment(home), **(variables or {})},
                cwd=REPOSITORY,
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def token(self) -> str:
        return (self.home / "state" / "engine" / "token").read_text().strip()

    @property
    def address(self) -> Address:
        return Address(self.url, self.token, self.process.pid, self.model)

    def said(self) -> str:
        return self.log.read_text("utf-8")

    def says(self, text: str, times: int, seconds: float) -> None:
        """Wait until it has said so, so often."""

        def is_said() -> bool:
            assert self.process.poll() is None, self.said()
            return self.said().count(text) >= times

        wait_until(is_said, seconds)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def called(self, name: str) -> list[psutil.Process]:
        """Those of its processes in whose command line this stands."""
        return [child for child in self.children() if name in _title(child)]

    def end(self) -> None:
        """With all that it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            whole = [psutil.Process(self.process.pid), *self.children()]
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.END_SECONDS)
            for one in whole:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
