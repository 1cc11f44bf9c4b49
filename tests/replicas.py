"""Engines in the foreground, as `tandem serve` runs them, that can be killed and come back."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from completion.engine.background import Address
from tests.wire import free_port, wait_until


class Replica:
    """One engine at one port. All of a home know the same token."""

    def __init__(self, home: Path, model: str, engine: dict[str, str]) -> None:
        self.port = free_port()
        self._home = home
        self._command = [sys.executable, "-m", "tandem", "serve", "--port", str(self.port)]
        self._command += ["--model", model]
        settings = {f"TANDEM_ENGINE__{name.upper()}": value for name, value in engine.items()}
        kept = {k: v for k, v in os.environ.items() if "TANDEM_" not in k or k == "TANDEM_KERNELS"}
        self._environment = kept | {"TANDEM_HOME": str(home)} | settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def token_file(self) -> Path:
        return self._home / "state" / "engine" / "token"

    @property
    def address(self) -> Address:
        assert self._process
        return Address(self.url, self.token_file.read_text().strip(), self._process.pid, "")

    def start(self) -> None:
        """Without waiting for it."""
        with (self._home / f"{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment
            )

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{self.port}/health"
            return httpx.get(url, trust_env=False, timeout=5).status_code == 200
        return False


@contextlib.contextmanager
def replicas(home: Path, model: str, count: int, **engine: str) -> Iterator[list[Replica]]:
    """Running and ready. `engine` are settings of that section."""
    found = [Replica(home, model, engine) for _ in range(count)]
    try:
        for replica in found:
            replica.start()
        for replica in found:
            wait_until(replica.ready)
        yield found
    finally:
        for replica in found:
            replica.kill()
