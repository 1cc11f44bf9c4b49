"""The test server as a plain process on this machine, for small programs of our own only.

Code of repositories and candidates runs in containers; these programs are in our tests.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from sandbox import tester
from sandbox.suite import Suite
from sandbox.tester import TestServer


class LocalProcess:
    """Like `sandbox.container.Process`, without a container."""

    def __init__(self, folder: Path) -> None:
        here = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {
            **os.environ,
            "PATH": here,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONHASHSEED": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-c", tester.BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=env,
            start_new_session=True,
        )
        self._held = b""

    def send(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def receive(self, timeout_s: float) -> bytes:
        assert self.process.stdout
        end = time.monotonic() + timeout_s
        while b"\n" not in self._held:
            out = self.process.stdout.fileno()
            if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError
            data = os.read(out, 1 << 16)
            if not data:
                raise OSError("the server ended")
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def serve(folder: Path, suite: Suite) -> TestServer:
    """A server for the tests in `folder`."""
    told = tester.settings(suite, folder, str(folder))
    return TestServer(lambda: LocalProcess(folder), told)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
