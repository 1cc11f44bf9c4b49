"""Answers that are known: exact repeats of deterministic requests, each tenant's for itself.

The key is a hash of all that decides an answer, the tenant first; a text under another tenant's key
cannot be asked for. Bounded in bytes and in age; the one not asked for longest goes first.
"""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Larger answers are rare, and would push many small ones out.
LARGEST = 256 * 1024
# What each entry takes besides its bytes.
_OVERHEAD = 300
# They steer who answers when, not what.
_NO_MATTER = ("user", "tandem", "cache_salt")


@dataclass(frozen=True)
class Known:
    """An answer as it was sent, and the tokens that it took then."""

    body: bytes
    content_type: bytes
    backend: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    at: float = 0.0


def key_of(tenant: str, kind: str, version: str, body: Mapping[str, Any]) -> bytes | None:
    """None if the answer may be another one next time. `version` is the model's."""
    if body.get("temperature") != 0 or body.get("n") not in (None, 1):
        return None
    asked = {name: value for name, value in body.items() if name not in _NO_MATTER}
    text = json.dumps([tenant, kind, version, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


class Cache:
    """`limit` in bytes, `seconds` until an answer is too old."""

    def __init__(
        self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._entries: OrderedDict[bytes, Known] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Known | None:
        known = self._entries.get(key)
        if known is None:
            return None
        if self._clock() - known.at > self._seconds:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return known

    def put(self, key: bytes, known: Known) -> None:
        if len(known.body) > LARGEST:
            return
        if key in self._entries:
            self._drop(key)
        self._entries[key] = Known(**{**vars(known), "at": self._clock()})
        self.bytes += len(known.body) + _OVERHEAD
        while self.bytes > self._limit:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        self.bytes -= len(self._entries.pop(key).body) + _OVERHEAD
