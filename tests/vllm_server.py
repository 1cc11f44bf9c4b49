"""A real vLLM on the CPU behind `tandem serve --backend vllm`, for tests marked `vllm`.

`make test-vllm` makes its environment and says where it is in TANDEM_TEST_VLLM.
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
from completion.vllm import metrics
from tests.lsp_client import REPOSITORY, environment
from tests.wire import wait_until

# Kernels are compiled at start, on a machine that may be busy.
START_SECONDS = 900.0


class VLLM:
    """One `tandem serve --backend vllm` in user folders of its own."""

    def __init__(self, home: Path, model: str, settings: str) -> None:
        opened = listen("127.0.0.1", 0)
        self.port = opened.port
        opened.socket.close()
        self.home, self.model = home, model
        self.log = home / "serve.log"
        file = home / "vllm.toml"
        place = os.environ["TANDEM_TEST_VLLM"]
        # Eager: nothing is compiled, which takes longer here than all tests do.
        top = f'environment = "{place}"\ndtype = "float32"\neager = true\ncache_gb = 1\n'
        file.write_text(top + settings)
        command = [sys.executable, "-m", "tandem", "serve", "--backend", "vllm", "--model", model]
        command += ["--config", str(file), "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                # Two threads that spin for each other are slower than one on a busy machine.
                env=environment(home) | {"OMP_NUM_THREADS": "1"},
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

    def ready(self, starts: int = 1) -> "VLLM":
        """Wait until it has said so often that it serves."""

        def is_up() -> bool:
            assert self.process.poll() is None, self.said()
            return self.said().count("Serving ") >= starts

        wait_until(is_up, START_SECONDS)
        return self

    def engines(self) -> list[psutil.Process]:
        """vLLM's own processes that hold the model."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "EngineCore" in _title(child)]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def counts(self) -> metrics.Counts:
        return metrics.read(self.get("/metrics").text)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self._at(path), headers=self._headers(), timeout=60, trust_env=False)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(
            self._at(path), json=body, headers=self._headers(), timeout=600, trust_env=False
        )

    def complete(self, prompt: str | list[int], **fields: Any) -> dict[str, Any]:
        """Greedy."""
        body = {"model": self.model, "prompt": prompt, "max_tokens": 24, "temperature": 0}
        response = self.post("/v1/completions", body | fields)
        assert response.status_code == 200, response.text
        return response.json()

    def text(self, prompt: str | list[int], **fields: Any) -> str:
        return self.complete(prompt, **fields)["choices"][0]["text"]

    def end(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            whole = [psutil.Process(self.process.pid), *self.children()]
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(120)
            for one in whole:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()

    def _at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@contextlib.contextmanager
def vllm(home: Path, model: str, settings: str = "") -> Iterator[VLLM]:
    """Running and ready."""
    if "TANDEM_TEST_VLLM" not in os.environ:
        pytest.fail("TANDEM_TEST_VLLM names no environment with vLLM; run: make test-vllm")
    server = VLLM(home, model, settings)
    try:
        yield server.ready()
    finally:
        server.end()


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
