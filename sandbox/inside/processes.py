"""Child processes: adopt their orphans, and leave none behind."""

import contextlib
import ctypes
import os
import signal
import time

_DUMPABLE, _SUBREAPER = 4, 36  # PR_SET_…


def adopt_orphans() -> None:
    """A child's children become ours when it ends, however they detach themselves."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def shut() -> None:
    """No process of the same user may trace this one, or reach its memory and descriptors."""
    ctypes.CDLL(None).prctl(_DUMPABLE, 0, 0, 0, 0)


def unshut() -> None:
    """In a forked child: it may read its own /proc/self again."""
    ctypes.CDLL(None).prctl(_DUMPABLE, 1, 0, 0, 0)


def end_all(but: set[int], patience_s: float = 2.0) -> None:
    """Kill our children and theirs, except `but`; processes made meanwhile too."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        left = children() - but
        if not left:
            return
        for pid in left:
            for kill in (os.killpg, os.kill):
                # Not a group leader, gone already, or of another user.
                with contextlib.suppress(OSError):
                    kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if children() - but:
            time.sleep(0.0005)


def children() -> set[int]:
    """The ids of our direct children, zombies too."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return {int(pid) for pid in file.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return {int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name)}


def _parent(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1]) == os.getpid()
    except OSError:
        return False
