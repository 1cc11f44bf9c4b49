"""Engines that the benchmark asks the same things: ours, and what people run today.

Each is a process of its own, asked one thing at a time. `python -m benchmarks.peers` fetches
those that are no Python package of ours into a folder outside the repository.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import platformdirs

from benchmarks.common import REPOSITORY

FETCH = "python -m benchmarks.peers"


class Missing(Exception):
    """A peer that this machine does not have; the message says how to get it."""


@dataclass(frozen=True)
class Answer:
    """What came for one prompt, and when: milliseconds since it was asked.

    `cached_tokens` is the part of the prompt that was not computed again.
    """

    text: str
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    first_ms: float
    total_ms: float

    @property
    def token_ms(self) -> float:
        """Of each token after the first; asserts that there are any."""
        assert self.tokens > 1, "one token says nothing of the next"
        return (self.total_ms - self.first_ms) / (self.tokens - 1)

    @property
    def reuse(self) -> float:
        return self.cached_tokens / self.prompt_tokens


class Peer(Protocol):
    """An engine that is ready. Greedy always."""

    name: str
    pid: int
    heals: bool

    def answer(
        self, prompt: str | Sequence[int], tokens: int, heal: str = "", prediction: str = ""
    ) -> Answer:
        """At most `tokens` tokens; fewer where the model ends the text."""
        ...

    def close(self) -> None: ...


class Worker:
    """A peer behind its own program's standard input and output: a JSON object a line.

    The program says `{}` when it is ready, and `{"missing": ...}` if it cannot be.
    """

    heals = False

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
        )
        self.pid = self._process.pid
        ready = self._read()
        if "missing" in ready:
            self.close()
            raise Missing(ready["missing"])

    def answer(
        self, prompt: str | Sequence[int], tokens: int, heal: str = "", prediction: str = ""
    ) -> Answer:
        """Predictions are of no use to these; healing is not asked of them."""
        assert not heal
        assert self._process.stdin is not None
        sent = prompt if isinstance(prompt, str) else list(prompt)
        began = time.perf_counter()
        self._process.stdin.write(json.dumps({"prompt": sent, "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        told = self._read()
        return Answer(total_ms=(time.perf_counter() - began) * 1000, **told)

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"missing": f"its program ended with status {self._process.wait()}"}
        return json.loads(line)


def folder() -> Path:
    """Where fetched peers are; nothing of ours, so it does not follow TANDEM_HOME."""
    return Path(platformdirs.user_cache_dir("tandem-benchmarks"))
