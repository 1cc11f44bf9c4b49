"""Frames to and from the runner in a container, over the socket of one `docker exec`.

What comes back is not trusted: sizes are capped, and anything odd ends the connection.
"""

import contextlib
import json
import socket
import struct
import time
from typing import Any

from sandbox.frames import Frame, pack, unpack

LARGEST = 64 << 20  # bytes of one header or blob
STDOUT, STDERR = 1, 2


class Gone(Exception):
    """The connection ended, or what came over it makes no sense."""


class Wire:
    """One connection. Docker sends stdout and stderr in pieces, each with a head of 8 bytes."""

    def __init__(self, raw: Any) -> None:
        # The SDK wraps the socket in a file object, or in nothing, as the transport is.
        self._kept = raw
        self._socket: socket.socket = getattr(raw, "_sock", raw)
        self._received = bytearray()
        self.complaint = b""  # the runner's last words
        self._deadline = 0.0

    def send(self, header: dict[str, Any], *blobs: bytes) -> None:
        """Raises Gone if nobody takes it."""
        try:
            self._socket.settimeout(60)
            self._socket.sendall(pack(header, *blobs))
        except OSError as error:
            raise Gone(str(error)) from error

    def receive(self, timeout_s: float) -> Frame:
        """The next frame. Raises TimeoutError or Gone."""
        self._deadline = time.monotonic() + timeout_s
        try:
            header, blobs = unpack(self._read)
        except TimeoutError:
            raise
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise Gone(f"{type(error).__name__}: {error}") from error
        if not isinstance(header, dict) or not isinstance(header.get("op"), str):
            raise Gone(f"not a frame: {json.dumps(header)[:80]}")
        return header, blobs

    def close(self) -> None:
        for each in (self._socket, self._kept):
            with contextlib.suppress(OSError):
                each.close()

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes of the runner's stdout."""
        if not isinstance(size, int) or not 0 <= size <= LARGEST:
            raise ValueError(f"{size} bytes in one piece")
        while len(self._received) < size:
            kind, length = struct.unpack("!BxxxI", self._exactly(8))
            data = self._exactly(length)
            if kind == STDOUT:
                self._received += data
            else:
                self.complaint = (self.complaint + data)[-4096:]
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            rest = self._deadline - time.monotonic()
            if rest <= 0:
                raise TimeoutError
            self._socket.settimeout(rest)
            data = self._socket.recv(min(size, 1 << 20))
            if not data:
                raise Gone(self.complaint.decode("utf-8", "replace")[-500:] or "it ended")
            parts.append(data)
            size -= len(data)
        return b"".join(parts)
