"""What the request log adds up to: requests, hit rates, tokens, cost, by user, model or back end."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.ledger import Entry

By = Literal["user", "tenant", "model", "backend"]


@dataclass
class Sums:
    """Of one user, tenant, model or back end. Times in milliseconds."""

    requests: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    from_cache: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    saved: float = 0.0
    retried: int = 0
    stood_in: int = 0
    firsts: list[float] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        self.requests += 1
        self.ends[entry.end] = self.ends.get(entry.end, 0) + 1
        self.saved += entry.number("saved")
        if entry.cache_hit:
            self.from_cache += 1
            return
        self.prompt_tokens += int(entry.number("prompt_tokens"))
        self.cached_tokens += int(entry.number("cached_tokens"))
        self.completion_tokens += int(entry.number("completion_tokens"))
        self.cost += entry.number("cost")
        self.retried += entry.number("tries") > 1
        self.stood_in += bool(entry.details.get("stands_in"))
        if entry.first_ms is not None:
            self.firsts.append(entry.first_ms)

    @property
    def answer_hits(self) -> float:
        """The share of requests that were answered from the gateway's cache."""
        return self.from_cache / self.requests if self.requests else 0.0

    @property
    def prefix_hits(self) -> float:
        """The share of prompt tokens that back ends had read before."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    def first(self, share: float) -> float | None:
        """A percentile (nearest rank) of the time to the first byte."""
        ordered = sorted(self.firsts)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        p50, p95 = self.first(0.5), self.first(0.95)
        return {
            "requests": self.requests,
            "ends": self.ends,
            "answer_hit_rate": round(self.answer_hits, 4),
            "prefix_hit_rate": round(self.prefix_hits, 4),
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": round(self.cost, 6),
            "saved": round(self.saved, 6),
            "retried": self.retried,
            "stood_in": self.stood_in,
            "first_ms_p50": None if p50 is None else round(p50, 2),
            "first_ms_p95": None if p95 is None else round(p95, 2),
        }


def sums(entries: Iterable[Entry], by: By) -> tuple[dict[str, Sums], Sums]:
    """By name, the one with most requests first; and all together."""
    groups: dict[str, Sums] = {}
    whole = Sums()
    for entry in entries:
        groups.setdefault(_group(entry, by) or "(none)", Sums()).add(entry)
        whole.add(entry)
    ordered = sorted(groups.items(), key=lambda item: -item[1].requests)
    return dict(ordered), whole


def _group(entry: Entry, by: By) -> str:
    match by:
        case "user":
            return entry.user
        case "model":
            return entry.model
        case "backend":
            return entry.backend
        case "tenant":
            return str(entry.details.get("tenant") or "")
