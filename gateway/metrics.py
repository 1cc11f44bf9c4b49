"""Counts and times since the start, in Prometheus' text format (version 0.0.4).

Labels are names from the settings and words of ours, never what a client sent: no prompt, no user.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from gateway.backend import Backend
from gateway.cache import Cache
from gateway.outcome import Outcome

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STATES = ("closed", "half open", "open")
Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Of seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        at = next((n for n, limit in enumerate(BUCKETS) if seconds <= limit), len(BUCKETS))
        self._counts[at] += 1
        self._sum += seconds

    def lines(self, name: str) -> Iterable[str]:
        total = 0
        for limit, count in zip((*BUCKETS, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{limit}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What has ended."""

    def __init__(self) -> None:
        self._requests: Counter[Labels] = Counter()
        self._tokens: Counter[Labels] = Counter()
        self._cache: Counter[str] = Counter()
        self._retries = self._stood_in = 0
        self._first, self._total = Histogram(), Histogram()

    def add(self, outcome: Outcome) -> None:
        ended = ("kind", outcome.kind), ("backend", outcome.backend), ("end", outcome.end)
        self._requests[ended] += 1
        if outcome.cache_hit:
            return
        for direction, count in (
            ("prompt", outcome.prompt_tokens),
            ("cached", outcome.cached_tokens),
            ("completion", outcome.completion_tokens),
        ):
            self._tokens[("backend", outcome.backend), ("kind", direction)] += count
        self._retries += max(0, outcome.tries - 1)
        self._stood_in += outcome.stands_in
        if outcome.first_ms is not None:
            self._first.add(outcome.first_ms / 1000)
        self._total.add(outcome.total_ms / 1000)

    def looked_up(self, hit: bool) -> None:
        self._cache["hit" if hit else "miss"] += 1

    def text(self, backends: Sequence[Backend], cache: Cache) -> str:
        """All of it, with what the back ends and the cache are like now."""
        lines: list[str] = []

        def family(name: str, kind: str, help: str, rows: Iterable[str]) -> None:
            lines.extend((f"# HELP {name} {help}", f"# TYPE {name} {kind}", *rows))

        def counts(name: str, counter: Counter[Labels]) -> list[str]:
            return [f"{name}{_labels(key)} {value}" for key, value in sorted(counter.items())]

        name = "tandem_gateway_requests_total"
        family(name, "counter", "Requests that ended.", counts(name, self._requests))
        name = "tandem_gateway_tokens_total"
        family(name, "counter", "Tokens of back ends' answers.", counts(name, self._tokens))
        name = "tandem_gateway_cache_lookups_total"
        lookups = [f'{name}{{result="{r}"}} {self._cache[r]}' for r in ("hit", "miss")]
        family(name, "counter", "Deterministic requests, looked for in the cache.", lookups)
        name = "tandem_gateway_retries_total"
        family(name, "counter", "Times another back end was asked.", [f"{name} {self._retries}"])
        name = "tandem_gateway_stand_ins_total"
        family(name, "counter", "Answers of another model.", [f"{name} {self._stood_in}"])
        for name, help, histogram in (
            ("tandem_gateway_first_byte_seconds", "To the first byte.", self._first),
            ("tandem_gateway_duration_seconds", "To the end.", self._total),
        ):
            family(name, "histogram", help, histogram.lines(name))
        name = "tandem_gateway_running"
        running = [f"{name}{_labels((('backend', b.name),))} {b.running}" for b in backends]
        family(name, "gauge", "Requests under way.", running)
        name = "tandem_gateway_breaker"
        states = [
            f"{name}{_labels((('backend', b.name), ('state', state)))} "
            f"{int(b.breaker.state == state)}"
            for b in backends
            for state in _STATES
        ]
        family(name, "gauge", "1 for the state that a circuit breaker is in.", states)
        name = "tandem_gateway_cache_bytes"
        family(name, "gauge", "Memory of cached answers.", [f"{name} {cache.bytes}"])
        return "\n".join(lines) + "\n"


def _labels(pairs: Labels) -> str:
    told = (f'{name}="{_escaped(value)}"' for name, value in pairs)
    return "{" + ",".join(told) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
