"""A server that another one forked, and hands jobs to: its process and the wire to it."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox.inside import processes
from sandbox.inside.watch import GRACE_S
from sandbox.inside.wire import Wire

if TYPE_CHECKING:
    from sandbox.inside.serve import Server

NOT_HERE = "not here"  # why a job ended at once that another server has to do


@dataclass
class Beside:
    """`files` of the repository are loaded in it: it cannot see them changed."""

    pid: int
    wire: Wire
    files: set[str]

    def lend(self, job: dict, wire: Wire) -> Literal["done", "elsewhere", "died", "silent"]:
        """Hand a job on, and to `wire` what it says. After "died" or "silent" it is closed;
        silent: before it said anything."""
        end = time.monotonic() + job["all_s"] + 10 * GRACE_S
        said = False
        try:
            self.wire.send(job)
            while (message := self.wire.receive(end - time.monotonic())) is not None:
                if message.get("ev") == "end" and message.get("why") == NOT_HERE:
                    return "elsewhere"
                wire.send(message)
                said = True
                if message.get("ev") == "end":
                    return "done"
        except (TimeoutError, BrokenPipeError):
            pass
        self.wire.close()
        return "died" if said else "silent"


def fork(server: "Server", begin: Callable[[], None], timeout_s: float) -> Beside | None:
    """A server in a forked process: `begin` says there when it is ready, and serves.

    None if it is not ready in time.
    """
    (reads, their_writes), (their_reads, writes) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):  # the end of its pipe says so
            server.wire.close()
            os.close(reads)
            os.close(writes)
            os.setsid()
            server.wire = Wire(their_reads, their_writes)
            begin()
        os._exit(0)
    os.close(their_reads)
    os.close(their_writes)
    wire = Wire(reads, writes)
    try:
        ready = wire.receive(timeout_s)
    except TimeoutError:
        ready = None
    if ready and "files" in ready:
        return Beside(pid, wire, set(ready["files"]))
    wire.close()
    processes.end_all(but=set())
    return None
