"""vLLM on the CPU, from a virtual environment that already has it."""

import os
import secrets
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.peers import Missing, folder
from benchmarks.peers.openai import Server

READY_SECONDS = 240
SERVED = "base"


class VLLM(Server):
    """Its prefix cache is on; the weights are in the width that the CPU is fast at."""

    def __init__(
        self, environment: Path, model: Path, threads: int, context: int, dtype: str
    ) -> None:
        """Raises Missing if it is not there or does not start."""
        python = environment / "bin" / "python"
        if not python.exists():
            raise Missing(f"there is no {python}; see --vllm")
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        self._rpc = tempfile.TemporaryDirectory(prefix="vllm-")
        token = secrets.token_urlsafe(16)
        self._process = subprocess.Popen(
            [
                *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
                *("--model", str(model), "--served-model-name", SERVED),
                *("--host", "127.0.0.1", "--port", str(port), "--dtype", dtype),
                *("--api-key", token, "--max-model-len", str(context), "--block-size", "32"),
                *("--enable-prefix-caching", "--enable-prompt-tokens-details"),
            ],
            env={
                **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_RPC_BASE_PATH": self._rpc.name,
                "VLLM_CACHE_ROOT": str(folder() / "vllm-cache"),
                "OMP_NUM_THREADS": str(threads),
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                **dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), "1"),
                **dict.fromkeys(("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"), "1"),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._rpc.name,
        )
        url = f"http://127.0.0.1:{port}"
        super().__init__(f"vLLM {dtype}", f"{url}/v1", token, self._process.pid, SERVED)
        try:
            self._wait(url)
        except Missing:
            self.close()
            raise

    def _wait(self, url: str) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise Missing(f"vLLM ended with status {self._process.returncode}")
            try:
                if self._http.get(f"{url}/health").status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        raise Missing(f"vLLM was not ready after {READY_SECONDS} s")

    def close(self) -> None:
        super().close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._rpc.cleanup()
