"""What a replay counts: each request as client and server saw it, and a row's figures from them.

A request is the client's (when it was sent, what came before the next key, what was taken) with
the server's trace event of the same document version. Requests that the next key cancelled have
no time of their own: latencies are those of answered requests, and `late` says how many were not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.common import percentile

# Stages in which the server waits for the model, or for the user to stop typing.
WAITS = ("generate", "score", "debounce", "wait")
MODEL = ("generate", "score")
_PARTS = ("total", "first_token")  # of other stages
SLOWEST = 0.02  # of the requests, by own time
NO_EVENT = "cancelled before it began"
SHOWN, LATE = "suggestion", "late"


@dataclass
class Asked:
    """One request. `wall_ms` is None if the next key came before the answer; `client_ms` of it the
    client took to write the request and to read the answer.

    `text` is what would have been inserted, "" for nothing. `new`: more than the rest of what was
    on display. `right`: characters of it, from the start, that the file has there. `accepted`
    characters were taken, by `presses` keys, and stand for `saved` keys. `around` is what stood
    before and after it, if there are `mistakes` in it.
    """

    file: str
    version: int
    wall_ms: float | None = None
    client_ms: float = 0.0
    text: str = ""
    new: bool = False
    right: int = 0
    accepted: int = 0
    presses: int = 0
    saved: int = 0
    mistakes: list[str] = field(default_factory=list)
    around: tuple[str, str] = ("", "")
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def stages(self) -> dict[str, float]:
        return self.event.get("stages_ms", {})

    @property
    def details(self) -> dict[str, Any]:
        return self.event.get("details", {})

    @property
    def asked_model(self) -> bool:
        return any(name in self.stages for name in MODEL)

    @property
    def outcome(self) -> str:
        """A suggestion, or why there was none."""
        if self.text:
            return SHOWN
        if not self.event:
            return NO_EVENT
        if self.wall_ms is None:
            return LATE if self.asked_model else f"{LATE}, no model asked"
        return self.event["reason"] or "nothing to say"

    @property
    def own_ms(self) -> float | None:
        """What the language server took for itself: all but waiting for the model or for the
        user. Its reading and writing and the pipe are in it."""
        if self.served_ms is None or not self.event:
            return None
        return max(0.0, self.served_ms - sum(self.stages.get(name, 0.0) for name in WAITS))

    @property
    def served_ms(self) -> float | None:
        """From the request in the pipe to the answer in it."""
        return None if self.wall_ms is None else self.wall_ms - self.client_ms


@dataclass
class Sitting:
    """One file typed in one row. `keys` are those it takes without help, `pressed` those that it
    took, slips and accepting ones among them; `put_in` are keys of prose, which nobody pressed."""

    file: str
    keys: int
    pressed: int
    asked: list[Asked]
    put_in: int = 0

    @property
    def net(self) -> int:
        """Keys saved less keys that accepting cost."""
        return sum(one.saved - one.presses for one in self.asked)

    def rows(self, name: str) -> Iterable[dict[str, Any]]:
        """What was suggested and what became of it, for who learns what to show."""
        for one in self.asked:
            if one.text:
                yield {
                    "id": one.event.get("id", ""),
                    "row": name,
                    "file": self.file,
                    "language": one.details.get("language", ""),
                    "shown": one.text,
                    "new": one.new,
                    "accepted": one.accepted > 0,
                    "characters": one.accepted,
                    "right": one.right,
                    "mistakes": one.mistakes,
                    "around": one.around,
                    "wall_ms": one.wall_ms,
                    "stages_ms": one.stages,
                    "details": one.details,
                }


def figures(sittings: Sequence[Sitting]) -> dict[str, Any]:
    """Of one row. Shares are None where there is nothing to take them of."""
    asked = [one for sitting in sittings for one in sitting.asked]
    keys = sum(sitting.keys for sitting in sittings)
    net = sum(sitting.net for sitting in sittings)
    answered = [one for one in asked if one.wall_ms is not None]
    shown = sum(one.new for one in asked)
    accepted = sum(one.accepted > 0 for one in asked)
    known = [one.served_ms for one in answered if one.text and one.event and not one.asked_model]
    cached, prompt = _cached(asked)
    return {
        "files": len(sittings),
        "keys": keys,
        "pressed": sum(sitting.pressed for sitting in sittings),
        "put_in": sum(sitting.put_in for sitting in sittings),
        "requests": len(asked),
        "answered": len(answered),
        "with_suggestion": sum(bool(one.text) for one in asked),
        "shown": shown,
        "accepted": accepted,
        "accepted_of_shown": _share(accepted, shown),
        "accepted_characters": sum(one.accepted for one in asked),
        "net_keys": net,
        "net_share": _share(net, keys),
        "late_share": _share(len(asked) - len(answered), len(asked)),
        "without_model": _share(sum(not one.asked_model for one in asked), len(asked)),
        "answered_without_model": len(known),
        "outcomes": dict(Counter(one.outcome for one in asked).most_common()),
        "mistakes": dict(Counter(name for one in asked for name in one.mistakes)),
        "total_ms": _spread([one.wall_ms for one in answered]),
        "own_ms": _spread([one.own_ms for one in answered]),
        "typed_through_ms": _spread(known),
        "stages_ms": _stages(answered),
        "own_by_stage": _own_by_stage(answered),
        "kv_reuse": _share(cached, prompt),
    }


def _cached(asked: Sequence[Asked]) -> tuple[int, int]:
    """Prompt tokens that the engine had read already, and all of them."""
    usages = [one.details.get("usage") or {} for one in asked if one.asked_model]
    cached = sum(
        (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0) for usage in usages
    )
    return cached, sum(usage.get("prompt_tokens", 0) for usage in usages)


def _stages(asked: Sequence[Asked]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for one in asked for name in one.stages)
    found = {}
    for name in names:
        spread = _spread([one.stages[name] for one in asked if name in one.stages])
        assert spread is not None
        found[name] = spread
    return found


def _own_by_stage(asked: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """Where the server's own time goes: mean ms by stage of all answered requests, and of those
    that took the most of it. `between stages` is in the server, `outside` its reading and writing,
    and the pipe."""
    known = sorted(
        (one for one in asked if one.own_ms is not None), key=lambda one: one.own_ms or 0
    )
    slowest = known[len(known) - max(1, round(len(known) * SLOWEST)) :]
    return {"all": _means(known), "slowest": _means(slowest)} if known else {}


def _means(asked: Sequence[Asked]) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for one in asked:
        inside = {name: ms for name, ms in one.stages.items() if name not in _PARTS}
        total = one.stages.get("total", sum(inside.values()))
        for name, ms in inside.items():
            sums[name] += ms
        sums["between stages"] += total - sum(inside.values())
        sums["outside"] += (one.served_ms or 0.0) - total
    return {name: ms / len(asked) for name, ms in sums.items() if name not in WAITS}


def _spread(values: Iterable[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    return {"n": len(known), **{name: percentile(known, at) for name, at in shares.items()}}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
