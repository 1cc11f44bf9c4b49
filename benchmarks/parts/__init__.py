"""The parts of the engine's benchmark; each measures one thing and hands back a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.openai import Server


@dataclass(frozen=True)
class Part:
    """Rows for people, figures for programs."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    figures: dict[str, Any] = field(default_factory=dict)


def ratio(value: float, other: float | None) -> str:
    """How `value` stands to a peer's; a dash where there is no peer."""
    return f"{value / other:.2f} x" if other else "-"


__all__ = ["Part", "Server", "ratio"]
