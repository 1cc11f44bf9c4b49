"""When answers arrived, before the client took its own time to read them.

A client of the protocol in Python needs about a millisecond to turn an answer's bytes into objects
and to wake up who waits. That is no time of the server's.
"""

import time
from typing import Any

from pygls.protocol import JsonRPCProtocol


class Arrivals:
    """Of one client, from now on."""

    def __init__(self, protocol: JsonRPCProtocol) -> None:
        self._at: dict[Any, float] = {}  # by the id of a request
        self._begun: float | None = None
        self._structure, self._handle = protocol.structure_message, protocol.handle_message
        protocol.structure_message = self._structured
        protocol.handle_message = self._handled

    def take(self, id: int) -> float:
        """By `time.perf_counter`. Raises KeyError for what has not arrived."""
        return self._at.pop(id)

    def _structured(self, data: dict[str, Any]) -> Any:
        """Called for each object of a message, the innermost first."""
        if self._begun is None:
            self._begun = time.perf_counter()
        return self._structure(data)

    def _handled(self, message: Any) -> None:
        begun, self._begun = self._begun, None
        id = getattr(message, "id", None)
        if id is not None and begun is not None and not hasattr(message, "method"):
            self._at[id] = begun
        self._handle(message)
