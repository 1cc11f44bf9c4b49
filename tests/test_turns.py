"""Short turns at the processor, as the kernel tells of them."""

import ctypes
import os
import platform
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from completion import turns

COMMAND = [sys.executable, "-m", "tandem", "lsp"]
GET = {"x86_64": 315, "aarch64": 275}  # sched_getattr(2)
MACHINE = platform.machine()
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or MACHINE not in GET, reason="of Linux on two kinds of processors"
)


def slice_ns(process: int) -> int:
    attributes = ctypes.create_string_buffer(48)
    done = ctypes.CDLL(None).syscall(GET[MACHINE], process, attributes, 48, 0)
    assert done == 0
    return struct.unpack("<IIQiIQQQ", attributes.raw)[5]


def usual_ns() -> int:
    """Of a process that nobody has asked for anything; 0 where the kernel does not tell."""
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        return slice_ns(started.pid)
    finally:
        started.communicate(b"\n")


@pytest.fixture
def kernel() -> None:
    if usual_ns() == 0:
        pytest.skip("this kernel has one slice for all (Linux 6.12 and later do not)")


@pytest.mark.usefixtures("kernel")
def test_a_thread_takes_short_turns_and_what_it_starts_does_not() -> None:
    found: list[int] = []

    def look() -> None:
        found.append(os.sched_getscheduler(0) == os.SCHED_OTHER)
        found.append(turns.shorten())
        found.append(slice_ns(0))
        found.append(usual_ns())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    is_usual, taken, own, child = found
    assert is_usual == taken
    if taken:
        assert own == turns.SLICE_NS < child
    assert slice_ns(os.getpid()) == child


@pytest.mark.usefixtures("kernel")
def test_the_language_server_takes_short_turns(empty_home: Path) -> None:
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        pytest.skip("these tests run as batch")
    server = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 60
        while slice_ns(server.pid) != turns.SLICE_NS:
            assert time.monotonic() < give_up
            assert server.poll() is None
            time.sleep(0.05)
    finally:
        server.communicate()
