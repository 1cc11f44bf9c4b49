"""Frames between the host and the runner in a container: a header, and blobs that it measures.

Both sides use this file, so it needs nothing but the standard library.
"""

import json
import os
import struct
from collections.abc import Callable
from typing import Any

Frame = tuple[dict[str, Any], list[bytes]]


class Closed(Exception):
    """The other side is gone."""


def pack(header: dict[str, Any], *blobs: bytes) -> bytes:
    """A frame: 4 bytes with the header's length, the header as JSON, the blobs that it measures."""
    head = json.dumps({**header, "sizes": [len(blob) for blob in blobs]}).encode()
    return b"".join([struct.pack("!I", len(head)), head, *blobs])


def unpack(read: Callable[[int], bytes]) -> Frame:
    """The next frame; `read` returns exactly as many bytes as it is asked for.

    Raises ValueError, KeyError, TypeError or struct.error for what is no frame.
    """
    (length,) = struct.unpack("!I", read(4))
    header = json.loads(read(length))
    if not isinstance(header, dict):
        raise ValueError("a header is an object")
    return header, [read(size) for size in header["sizes"]]


def read_exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        data = os.read(descriptor, min(size, 1 << 20))
        if not data:
            raise Closed
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
