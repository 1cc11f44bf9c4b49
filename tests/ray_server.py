"""`tandem serve --backend ray` with two replicas of the embedded engine, for tests marked `ray`.

`make test-ray` makes its environment and says where it is in TANDEM_TEST_RAY.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.serving import Serving

START_SECONDS = 300.0


class RayServer(Serving):
    """In user folders of its own, with the model `tiny`."""

    def __init__(self, home: Path, settings: str) -> None:
        file = home / "fleet.toml"
        file.write_text(f'environment = "{os.environ["TANDEM_TEST_RAY"]}"\n{settings}')
        super().__init__(home, "tiny", ["--backend", "ray", "--config", str(file)])

    def ready(self) -> "RayServer":
        self.says("Serving at", 1, START_SECONDS)
        return self

    def replicas(self) -> list[psutil.Process]:
        """Those that hold a model."""
        return self.called(":Engine")

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=f"{self.url}/", headers=headers, timeout=60, trust_env=False, **options
        )

    def ask(self, prompt: str, model: str = "tiny", **fields: Any) -> httpx.Response:
        body = {"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0, **fields}
        with self.client() as client:
            return client.post("completions", json=body)


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
