"""Which replica a request goes to: the one that read its beginning before, or has its adapter.

The gateway's own rule (`completion.affinity`), for Ray Serve's replicas. Ray Serve LLM brings a
router of its own for vLLM, which keeps a tree of prompts.
"""

from dataclasses import dataclass
from typing import Any

from ray.serve.request_router import (  # pyright: ignore[reportMissingImports]
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from completion import affinity


@dataclass(frozen=True)
class Candidate:
    """A replica as `affinity` wants it."""

    replica: RunningReplica
    running: int

    @property
    def name(self) -> str:
        return self.replica.replica_id.unique_id

    @property
    def slots(self) -> int:
        return 1


class PrefixRouter(RequestRouter):
    """`ways` counts what this router has under way, by replica: what it hears from replicas comes
    too late for requests that arrive together."""

    def initialize_state(self, **options: Any) -> None:
        self.ways: dict[str, int] = {}

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """The best first, each a rank of its own: a replica that is full passes it on."""
        arguments = pending_request.args if pending_request is not None else []
        key = arguments[0].key if arguments and hasattr(arguments[0], "key") else ""
        found = [
            Candidate(one, self.ways.get(one.replica_id.unique_id, 0)) for one in candidate_replicas
        ]
        return [[one.replica] for one in affinity.order(key, found)]

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        name = replica_id.unique_id
        self.ways[name] = self.ways.get(name, 0) + 1

    def on_request_completed(
        self, replica_id: ReplicaID, internal_request_id: str, *_: Any
    ) -> None:
        name = replica_id.unique_id
        self.ways[name] = max(0, self.ways.get(name, 0) - 1)
