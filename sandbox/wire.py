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
WRITE_S = 60
STDOUT, STDERR = 1, 2


class Gone(Exception):
    """The connection ended, or what came over it makes no sense."""


class Stream:
    """stdout and stderr of one `docker exec`: pieces, each with a head of 8 bytes."""

    def __init__(self, raw: Any) -> None:
        # The SDK wraps the socket in a file object, or in nothing, as the transport is.
        self._kept = raw
        self._socket: socket.socket = getattr(raw, "_sock", raw)
        self.deadline = 0.0  # of time.monotonic(), for all that is read

    def piece(self) -> tuple[int, bytes]:
        """STDOUT or STDERR, and some bytes. Raises TimeoutError, or Gone after the last."""
        kind, length = struct.unpack("!BxxxI", self._exactly(8))
        return kind, self._exactly(length)

    def write(self, data: bytes) -> None:
        """Raises Gone if nobody takes it."""
        try:
            self._socket.settimeout(WRITE_S)
            self._socket.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from error

    def close(self) -> None:
        for each in (self._socket, self._kept):
            with contextlib.suppress(OSError):
                each.close()

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            rest = self.deadline - time.monotonic()
            if rest <= 0:
                raise TimeoutError
            try:
                self._socket.settimeout(rest)
                data = self._socket.recv(min(size, 1 << 20))
            except TimeoutError:
                raise
            except OSError as error:
                raise Gone(str(error)) from error
            if not data:
                raise Gone
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


class Wire(Stream):
    """Frames to a runner and from it."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._received = bytearray()
        self._complaint = b""  # the runner's last words

    def send(self, header: dict[str, Any], *blobs: bytes) -> None:
        """Raises Gone if nobody takes it."""
        self.write(pack(header, *blobs))

    def receive(self, timeout_s: float) -> Frame:
        """The next frame. Raises TimeoutError, or Gone if there is none or it is odd."""
        self.deadline = time.monotonic() + timeout_s
        try:
            header, blobs = unpack(self._read)
        except Gone as error:
            lines = self._complaint.decode("utf-8", "replace").strip().splitlines()
            last = lines[-1][-300:] if lines else ""
            raise Gone(last or str(error) or "it ended") from error
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise Gone(f"{type(error).__name__}: {error}") from error
        if not isinstance(header.get("op"), str):
            raise Gone(f"not a frame: {json.dumps(header)[:80]}")
        return header, blobs

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes of the runner's stdout."""
        if not isinstance(size, int) or not 0 <= size <= LARGEST:
            raise ValueError(f"{size} bytes in one piece")
        while len(self._received) < size:
            kind, data = self.piece()
            if kind == STDOUT:
                self._received += data
            else:
                self._complaint = (self._complaint + data)[-4096:]
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken
