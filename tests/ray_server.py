"""`tandem serve --backend ray` with two replicas of the embedded engine, for tests marked `ray`.

`make test-ray` makes its environment and says where it is in TANDEM_TEST_RAY.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from completion.engine.background import Address
from completion.engine.listening import listen
from tests.lsp_client import REPOSITORY, environment
from tests.wire import wait_until

START_SECONDS = 300.0


class RayServer:
    """In user folders of its own, with the model `tiny`."""

    def __init__(self, home: Path, settings: str) -> None:
        opened = listen("127.0.0.1", 0)
        self.port = opened.port
        opened.socket.close()
        self.home = home
        self.log = home / "serve.log"
        file = home / "fleet.toml"
        file.write_text(f'environment = "{os.environ["TANDEM_TEST_RAY"]}"\n{settings}')
        command = [sys.executable, "-m", "tandem", "serve", "--backend", "ray", "--model", "tiny"]
        command += ["--config", str(file), "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment(home), cwd=REPOSITORY
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def token(self) -> str:
        return (self.home / "state" / "engine" / "token").read_text().strip()

    @property
    def address(self) -> Address:
        return Address(self.url, self.token, self.process.pid, "tiny")

    def said(self) -> str:
        return self.log.read_text("utf-8")

    def ready(self) -> "RayServer":
        def is_up() -> bool:
            assert self.process.poll() is None, self.said()
            return "Serving at" in self.said()

        wait_until(is_up, START_SECONDS)
        return self

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def replicas(self) -> list[psutil.Process]:
        """Those that hold a model."""
        return [one for one in self.children() if ":Engine" in _title(one)]

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=f"{self.url}/", headers=headers, timeout=60, trust_env=False, **options
        )

    def ask(self, prompt: str, model: str = "tiny", **fields: Any) -> httpx.Response:
        body = {"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0, **fields}
        with self.client() as client:
            return client.post("completions", json=body)

    def end(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            whole = [psutil.Process(self.process.pid), *self.children()]
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            for one in whole:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()


@contextlib.contextmanager
def ray_server(home: Path, settings: str) -> Iterator[RayServer]:
    """Running and ready."""
    if "TANDEM_TEST_RAY" not in os.environ:
        pytest.fail("TANDEM_TEST_RAY names no environment with Ray; run: make test-ray")
    server = RayServer(home, settings)
    try:
        yield server.ready()
    finally:
        server.end()


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
