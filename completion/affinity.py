"""Which replica a request goes to: the one that read its beginning before, unless that is busy.

Rendezvous hashing: each replica is scored by a hash of (key, its name), the highest wins, so that
a replica that leaves or joins moves only its own share. The bound on load follows "Consistent
Hashing with Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam, 2016): nobody gets more than
`SPREAD` times the mean, or than their slots if that is more.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

SPREAD = 1.25
# Characters of the beginning that decide where there is no document: a system prompt, a header.
PREFIX = 1024


class Replica(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def slots(self) -> int: ...
    @property
    def running(self) -> int: ...


R = TypeVar("R", bound=Replica)


def key_of(tenant: str, body: Mapping[str, Any]) -> str:
    """What stays the same while somebody works on the same thing.

    The document if it is named; else a prompt's beginning, or a chat's up to its first question.
    """
    told = body.get("tandem")
    document = told.get("document") if isinstance(told, dict) else None
    if document:
        return f"{tenant}\0document\0{document}"
    start = body.get("prompt", "")
    if "messages" in body:
        start = next(
            (
                json.dumps(body["messages"][: at + 1])
                for at, message in enumerate(body["messages"])
                if isinstance(message, dict) and message.get("role") == "user"
            ),
            "",
        )
    return f"{tenant}\0{str(start)[:PREFIX]}"


def order(key: str, replicas: Sequence[R]) -> list[R]:
    """All replicas, the best first: by score, those above the bound last."""
    if len(replicas) < 2:
        return list(replicas)
    running = sum(replica.running for replica in replicas)
    mean = math.ceil(SPREAD * (running + 1) / len(replicas))
    ranked = sorted(replicas, key=lambda replica: _score(key, replica.name), reverse=True)
    return sorted(ranked, key=lambda replica: replica.running >= max(replica.slots, mean))


def _score(key: str, name: str) -> bytes:
    data = key.encode("utf-8", "surrogatepass") + b"\0" + name.encode()
    return hashlib.blake2b(data, digest_size=8).digest()
