"""What the C library's allocator is told, so that what is freed goes back to the system.

A KV cache takes memory only as it is written, if the pages are fresh. glibc takes ever larger
blocks from its heaps after it has seen some freed, and a page of a heap stays ours once written.
"""

import ctypes
import sys

LARGE = 8 << 20  # bytes; such blocks are mapped and unmapped, each by itself
ARENAS = 2
# From malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def settle() -> bool:
    """Call it before the threads start that allocate. False where there is no glibc to tell."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, LARGE), (_ARENA_MAX, ARENAS))
    return all(mallopt(name, value) for name, value in settings)
