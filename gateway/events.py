"""A stream's server-sent events, as they pass: cut whole, and read where they tell something.

Most events are passed on unread. `"usage"` and `"error"` in quotes cannot stand in an answer's
text, where JSON escapes the quotes, so that a look for these bytes finds all events to be read.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

MAX_EVENT = 4 * 1024 * 1024
MAX_DROPPED = 10_000  # of comments and the like, which take time, too
_END = re.compile(rb"\r?\n\r?\n")
_DONE = b"[DONE]"


class TooLong(Exception):
    """What a back end says does not end."""


@dataclass
class Events:
    """`usage` is the last that was told, `events` how many had text, `dropped` how many were not
    passed on, `done` whether the stream said that it ends. `error` is what an event told, and is not
    passed on; `first` is the first event that is."""

    wants_usage: bool
    usage: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    dropped: int = 0
    done: bool = False
    error: dict[str, Any] | None = None
    first: dict[str, Any] | None = None
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, piece: bytes) -> bytes:
        """What may go on to the client. Raises TooLong."""
        data = self._rest
        # What was looked through stays so: an event may come byte by byte.
        looked = max(0, len(data) - len(b"\r\n\r"))
        data += piece
        passed: list[bytes] = []
        start = 0
        for end in _END.finditer(data, looked):
            event = bytes(data[start : end.start()])
            if self._reads(event):
                passed.append(event + b"\n\n")
            else:
                self.dropped += 1
            start = end.end()
        del data[:start]
        if len(data) > MAX_EVENT or self.dropped > MAX_DROPPED:
            raise TooLong
        return b"".join(passed)

    def _reads(self, event: bytes) -> bool:
        """Whether an event goes on."""
        if self.error is not None or self.done:
            return False
        if not event.startswith(b"data:"):
            return False  # comments and names, which OpenAI's streams do not need
        bare = b'"usage"' not in event and b'"error"' not in event
        if bare:
            self.done = event[5:].strip() == _DONE
            self.events += not self.done
            if self.done or self.first is not None:
                return True
        try:
            told = json.loads(event[5:])
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            self.error = {"message": "The server sent a broken stream.", "code": "broken_stream"}
            return False
        if self.first is None:
            self.first = told
        if bare:
            return True
        if told.get("error"):
            error = told["error"]
            self.error = error if isinstance(error, dict) else {"message": str(error)}
            return False
        if isinstance(told.get("usage"), dict):
            self.usage = told["usage"]
        self.events += bool(told.get("choices"))
        return self.wants_usage or bool(told.get("choices"))
