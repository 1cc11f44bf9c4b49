"""A command in a sandbox: how it ended, or a talk with it while it lasts."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.wire import LARGEST, Gone, Wire
from tandem.errors import SandboxError

if TYPE_CHECKING:
    from sandbox.container import Sandbox

GRACE_S = 15  # what the runner may take to end a command that is out of time


@dataclass(frozen=True)
class Ran:
    """One command in a sandbox.

    `exit_code` is None for a command that was killed; `killed` then says why: "time", "memory",
    "output", or "sandbox" when it took the sandbox with it. A negative exit code is the signal
    that ended it. Of stdout and stderr the head and the tail are kept, and between them a line
    says how much was cut. `seconds` is its wall time inside.
    """

    exit_code: int | None
    killed: str
    stdout: bytes
    stderr: bytes
    seconds: float


class Process:
    """A command that is talked to by lines; see `Sandbox.open`."""

    def __init__(self, sandbox: "Sandbox", wire: Wire) -> None:
        self._sandbox, self._wire = sandbox, wire
        self._received = bytearray()
        self._ran: Ran | None = None

    def send(self, data: bytes) -> None:
        """Write to its stdin. Raises SandboxError if it has ended."""
        self._must_run()
        try:
            self._wire.send({"op": "input"}, data)
        except Gone:
            self._ran = self._sandbox.lost(self._wire)
            self._must_run()

    def receive(self, timeout_s: float) -> bytes:
        """Its next line of stdout, without the line's end.

        Raises TimeoutError after `timeout_s`, and SandboxError if it has ended.
        """
        deadline = time.monotonic() + timeout_s
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > LARGEST:
                self.close()
            self._must_run()
            self._take(max(0.0, deadline - time.monotonic()))
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def close(self) -> Ran:
        """Kill it if it runs, and say how it ended; `stdout` is what nobody received."""
        try:
            if self._ran is None:
                self._wire.send({"op": "close"})
            while self._ran is None:
                self._take(GRACE_S)
        except (Gone, TimeoutError):
            self._ran = self._sandbox.lost(self._wire)
        return replace(self._ran, stdout=bytes(self._received))

    def _take(self, timeout_s: float) -> None:
        try:
            header, blobs = self._wire.receive(timeout_s)
            if header["op"] == "output":
                self._received += b"".join(blobs)
            else:
                self._ran = self._sandbox.ended(header, blobs)
        except Gone:
            self._ran = self._sandbox.lost(self._wire)

    def _must_run(self) -> None:
        if self._ran is not None:
            words = self._ran.stderr.decode("utf-8", "replace").strip()[-300:]
            how = self._ran.killed or f"exit code {self._ran.exit_code}"
            raise SandboxError(f"The command has ended: {how}.", words)
