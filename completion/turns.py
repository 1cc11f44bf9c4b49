"""Short turns at the processor: what answers a key does not wait for what computes.

The model computes on all cores. On Linux a thread that wakes up may have to wait there until the
running one's slice of 1 to 3 ms is over, at each of the four or five times that a request hands
over between threads. Since Linux 6.12 a thread may ask for shorter slices of its own; one that
wakes up then goes before those with longer ones. Its share of the time stays what it was. What the
thread starts does not inherit that: the engine is a child of the language server.
"""

import ctypes
import logging
import os
import platform
import struct

SLICE_NS = 100_000  # the kernel takes nothing shorter
_RESET_ON_FORK = 1
# struct sched_attr, as it was at first: sched_setattr(2)
_ATTRIBUTES = struct.Struct("<IIQiIQQQ")
_CALL = {"x86_64": 314, "aarch64": 274}
log = logging.getLogger(__name__)


def shorten() -> bool:
    """This thread's. Whether the kernel took it; an older one does, and leaves all as it was."""
    call = _CALL.get(platform.machine())
    if platform.system() != "Linux" or call is None:
        return False
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False  # somebody gave it another place, on purpose
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    policy, flags = os.SCHED_OTHER, _RESET_ON_FORK
    asked = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, flags, nice, 0, SLICE_NS, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(call, 0, asked, 0):
        log.debug("no short turns: %s", os.strerror(ctypes.get_errno()))
        return False
    return True
