"""A real vLLM on the CPU behind `tandem serve --backend vllm`, for tests marked `vllm`.

`make test-vllm` makes its environment and says where it is in TANDEM_TEST_VLLM.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from completion.vllm import metrics
from tests.serving import Serving

# Kernels are compiled at start, on a machine that may be busy.
START_SECONDS = 900.0


class VLLM(Serving):
    """One `tandem serve --backend vllm` in user folders of its own."""

    END_SECONDS = 120.0

    def __init__(self, home: Path, model: str, settings: str, dtype: str = "float32") -> None:
        file = home / "vllm.toml"
        place = os.environ["TANDEM_TEST_VLLM"]
        # Eager: nothing is compiled, which takes longer here than all tests do.
        top = f'environment = "{place}"\ndtype = "{dtype}"\neager = true\ncache_gb = 1\n'
        file.write_text(top + settings)
        # Two threads that spin for each other are slower than one on a busy machine.
        arguments = ["--backend", "vllm", "--config", str(file)]
        super().__init__(home, model, arguments, {"OMP_NUM_THREADS": "1"})

    def ready(self, starts: int = 1) -> "VLLM":
        """Wait until it has said so often that it serves."""
        self.says("Serving ", starts, START_SECONDS)
        return self

    def engines(self) -> list[psutil.Process]:
        """vLLM's own processes that hold the model."""
        return self.called("EngineCore")

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

    def _at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@contextlib.contextmanager
def vllm(home: Path, model: str, settings: str = "", dtype: str = "float32") -> Iterator[VLLM]:
    """Running and ready."""
    if "TANDEM_TEST_VLLM" not in os.environ:
        pytest.fail("TANDEM_TEST_VLLM names no environment with vLLM; run: make test-vllm")
    server = VLLM(home, model, settings, dtype)
    try:
        yield server.ready()
    finally:
        server.end()
