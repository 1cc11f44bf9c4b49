"""`tandem serve --backend ray` with replicas of the embedded engine, or of vLLM, for tests marked
`ray`.

`make test-ray` makes its environment and says where it is in TANDEM_TEST_RAY, `make test-ray-vllm`
in TANDEM_TEST_RAY_VLLM.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.serving import Serving
from tests.wire import wait_until

START_SECONDS = 600.0
# Two replicas of the embedded engine, in its exact form.
TWO = """cpus = 0.5
[scaling]
least = 2
most = 2
[engine]
threads = 1
context = 256
dtype = "float32"
queue = 64
"""
_STATUS = """
import sys, time, ray
from ray import serve
ray.init(address=sys.argv[1], namespace="serve", log_to_driver=False)
while True:
    found = serve.status().applications["tandem"].deployments[sys.argv[2]].replica_states
    print(found.get("RUNNING", 0), flush=True)
    time.sleep(0.5)
"""


class RayServer(Serving):
    """In user folders of its own."""

    def __init__(self, home: Path, settings: str, model: str, environment: str) -> None:
        self.python = f"{environment}/bin/python"
        file = home / "fleet.toml"
        file.write_text(f'environment = "{environment}"\n{settings}')
        super().__init__(home, model, ["--backend", "ray", "--config", str(file)])

    def ready(self) -> "RayServer":
        self.says("Serving at", 1, START_SECONDS)
        return self

    def replicas(self) -> list[psutil.Process]:
        """Those that hold a model."""
        return [*self.called(":tandem:Engine"), *self.called(":tandem:Replica")]

    @contextlib.contextmanager
    def counted(self, deployment: str) -> Iterator[list[int]]:
        """How many of its replicas Serve's status says to be running, a number whenever asked."""
        [raylet] = [one for one in self.children() if one.name() == "raylet"]
        [gcs] = [part for part in raylet.cmdline() if part.startswith("--gcs-address=")]
        asking = subprocess.Popen(
            [self.python, "-c", _STATUS, gcs.partition("=")[2], deployment],
            env=self.head().environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        counts: list[int] = []
        assert asking.stdout is not None
        lines = asking.stdout
        reader = threading.Thread(target=lambda: counts.extend(int(line) for line in lines))
        reader.start()
        try:
            yield counts
        finally:
            asking.kill()
            asking.wait()
            reader.join()

    def head(self) -> psutil.Process:
        return self.called("completion.fleet.head")[0]

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(
            base_url=f"{self.url}/", headers=headers, timeout=60, trust_env=False, **options
        )

    def ask(self, prompt: str | list[int], model: str = "", **fields: Any) -> httpx.Response:
        body = {"model": model or self.model, "prompt": prompt, "max_tokens": 16, "temperature": 0}
        body |= fields
        with self.client() as client:
            return client.post("completions", json=body)

    def ends_what_runs(self, prompt: str, tokens: int) -> None:
        """At a signal: an answer that is on its way comes to its end, then all processes go."""
        children = self.children()
        got: list[str] = []
        begun = threading.Event()
        body = {"model": self.model, "prompt": prompt, "max_tokens": tokens, "stream": True}

        def read() -> None:
            with (
                self.client() as client,
                client.stream("POST", "completions", json=body | {"ignore_eos": True}) as response,
            ):
                for line in response.iter_lines():
                    if line:
                        got.append(line)
                        begun.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(60)
        self.process.send_signal(signal.SIGTERM)
        reader.join()
        assert got[-1] == "data: [DONE]"
        assert self.process.wait(120) == 0
        wait_until(lambda: not any(child.is_running() for child in children))


@contextlib.contextmanager
def ray_server(
    home: Path, settings: str, model: str = "tiny", variable: str = "TANDEM_TEST_RAY"
) -> Iterator[RayServer]:
    """Running and ready."""
    if variable not in os.environ:
        target = variable.removeprefix("TANDEM_").replace("_", "-").lower()
        pytest.fail(f"{variable} names no environment with Ray; run: make {target}")
    server = RayServer(home, settings, model, os.environ[variable])
    try:
        yield server.ready()
    finally:
        server.end()
