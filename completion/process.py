"""One run of vLLM, of Ray, or of ourselves: a process group of its own, its log, its end."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tandem import paths

MAX_LOG = 8 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_ERROR = re.compile(r"(?:^|[\s\]])((?:[\w.]+(?:Error|Exception)|vllm serve: error): .*)")
# pydantic's first line. What is wrong stands below it, after the field if it is one's, in a line
# or more up to the input's type.
_INVALID = re.compile(r"\d+ validation errors? for ")
_BELOW_LINES = 8
# Who said it, in front of a line.
_WHO = re.compile(r"^\(\w+ pid=\d+\) ?(?:ERROR \S+ \S+ \[[\w.]+:\d+\] ?)?")
_KIND = re.compile(r"^(?:Value error|Assertion failed), ")
# What the server says when the engine, whose own error stands above it, did not start.
_SECOND_HAND = re.compile(r"Engine core initialization failed|EngineDeadError|died unexpectedly")


class Process:
    """Started at once. It ends with us, even if we are killed."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        name: str = "vllm",
        cwd: Path | None = None,
    ) -> None:
        """`folder` is where it has its log, `name`.log, and where it runs, unless in `cwd`. Raises
        OSError."""
        paths.private_dir(folder)
        self.log = folder / f"{name}.log"
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._log = os.open(self.log, flags, 0o600)
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            cwd=cwd or folder,
            env=dict(environment),
            preexec_fn=_end_with_parent,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """It ends what runs first, as long as its settings say."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def close(self) -> None:
        """End it and all that it started, now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            os.close(self._log)

    def trim_log(self) -> None:
        """Begin it anew once it is long: it runs for months."""
        if os.fstat(self._log).st_size > MAX_LOG:
            os.ftruncate(self._log, 0)

    def last_words(self) -> str:
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - (1 << 18)))
            return cause(stream.read().decode("utf-8", "replace"))
        return ""


def cause(log: str) -> str:
    """The line of a log that says why it ended; empty if none does."""
    lines = log.splitlines()
    errors = [
        _whole(found[1].strip(), lines[number + 1 :])
        for number, line in enumerate(lines)
        if (found := _ERROR.search(line))
    ]
    first_hand = [line for line in errors if not _SECOND_HAND.search(line)]
    said = first_hand or errors or [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else ""


def _whole(error: str, below: Sequence[str]) -> str:
    """An error's line, or what pydantic has below it, as one."""
    if not _INVALID.search(error):
        return error
    words: list[str] = []
    for line in below[:_BELOW_LINES]:
        text, end, _ = _WHO.sub("", line).partition(" [type=")
        words.append(_KIND.sub("", text.strip()))
        if end:
            return " ".join(words)
    return error


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
