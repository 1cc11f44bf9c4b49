"""JSON lines over file descriptors, with a time limit and a cap on a line's length."""

import json
import os
import select
import time

LONGEST_LINE = 8 << 20


class Wire:
    """One line is one message. `receive` gives None at the end of the stream."""

    def __init__(self, reads: int, writes: int) -> None:
        self.reads = reads
        self.writes = writes
        self._held = b""

    def send(self, message: dict) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self.writes, data) :]

    def receive(self, timeout_s: float | None = None) -> dict | None:
        """TimeoutError when no whole line came in time; a line that is no JSON object is {}."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._held:
            if not self._fill(None if end is None else end - time.monotonic()):
                return None
        return self.ready()[0]

    def ready(self) -> list[dict]:
        """The next message that has come whole, if any, taken off."""
        line, newline, rest = self._held.partition(b"\n")
        if not newline:
            return []
        self._held = rest
        try:
            message = json.loads(line)
        except ValueError:
            message = {}
        return [message if isinstance(message, dict) else {}]

    def read(self) -> bool:
        """Take in what is there; False at the end of the stream or of our patience."""
        data = os.read(self.reads, 1 << 16)
        self._held += data
        return bool(data) and len(self._held) <= LONGEST_LINE

    def close(self) -> None:
        for end in {self.reads, self.writes} - {-1}:
            os.close(end)

    def _fill(self, timeout_s: float | None) -> bool:
        if timeout_s is not None and timeout_s <= 0:
            raise TimeoutError
        if not select.select([self.reads], [], [], timeout_s)[0]:
            raise TimeoutError
        return self.read()
