"""What the counts of some days say: rates, each beside what it covers, and times.

A rate is None where there is nothing that it could be the rate of.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from tandem import daily
from tandem.daily import Days, Sums

FORMAT = 1
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
OUTCOMES = ("accepted", "typed", "rejected", "ignored")
HOWS = ("whole", "line", "word")


@dataclass(frozen=True)
class Kept:
    """Of `judged` accepted characters so many still stood; `coverage`: the share of all accepted
    ones that could be judged."""

    kept: int
    judged: int
    share: float | None
    coverage: float | None


@dataclass(frozen=True)
class Part:
    """A language's or a day's share of it all.

    `shown` requests were answered; those that only went on with a suggestion on display, or came
    too `late`, leave `suggestions`. `concluded`: those of them with an outcome. `acceptance`:
    the share of these that was accepted, in whole or in part. `without_model`: the share of
    requests that was answered or dropped before the model was asked.
    """

    name: str
    requests: int
    shown: int
    suggestions: int
    late: int
    concluded: int
    outcomes: dict[str, int]
    how: dict[str, int]
    accepted_characters: int
    typed_characters: int
    without_model: float | None
    shown_share: float | None
    concluded_share: float | None
    acceptance: float | None
    kept_30s: Kept
    kept_5min: Kept


@dataclass(frozen=True)
class Times:
    """Milliseconds of one stage; `count` requests went through it."""

    stage: str
    count: int
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Report:
    """`first` and `last` day; `elsewhere`: requests by others than editors, not counted here."""

    first: str
    last: str
    all: Part
    languages: list[Part]
    days: list[Part]
    times: list[Times]
    cache: dict[str, int]
    reasons: dict[str, int]
    why: dict[str, dict[str, int]]
    elsewhere: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return {"v": FORMAT, **asdict(self)}


def report(days: Days, last: date, count: int) -> Report:
    """Of the `count` days up to `last`."""
    wanted = {(last - timedelta(days=n)).isoformat() for n in range(count)}
    chosen = {day: days[day] for day in sorted(days) if day in wanted}
    whole = _sum(sums for languages in chosen.values() for sums in languages.values())
    names = {name for languages in chosen.values() for name in languages if name}
    by_language = [
        _part(name, _sum(languages.get(name, {}) for languages in chosen.values()))
        for name in names
    ]
    return Report(
        first=min(chosen, default=last.isoformat()),
        last=last.isoformat(),
        all=_part("all", whole),
        languages=sorted(by_language, key=lambda part: (-part.requests, part.name)),
        days=[_part(day, _sum(languages.values())) for day, languages in chosen.items()],
        times=_times(whole),
        cache=_largest(whole.get("cache", {})),
        reasons=_largest(whole.get("reasons", {})),
        why={
            outcome: _largest(whole[f"why {outcome}"])
            for outcome in OUTCOMES
            if f"why {outcome}" in whole
        },
        elsewhere=_largest(whole.get("elsewhere", {})),
    )


def _sum(many: Iterable[Sums]) -> Sums:
    result: Sums = {}
    for sums in many:
        daily.add(result, sums)
    return result


def _part(name: str, sums: Sums) -> Part:
    n, characters = sums.get("n", {}), sums.get("characters", {})
    outcomes = {outcome: sums.get("outcomes", {}).get(outcome, 0) for outcome in OUTCOMES}
    requests, shown, late = n.get("requests", 0), n.get("shown", 0), n.get("late", 0)
    suggestions = max(shown - n.get("continued", 0) - late, 0)
    concluded, accepted = sum(outcomes.values()), characters.get("accepted", 0)
    return Part(
        name=name,
        requests=requests,
        shown=shown,
        suggestions=suggestions,
        late=late,
        concluded=concluded,
        outcomes=outcomes,
        how={how: sums.get("how", {}).get(how, 0) for how in HOWS},
        accepted_characters=accepted,
        typed_characters=characters.get("typed", 0),
        without_model=_share(requests - n.get("asked", 0), requests),
        shown_share=_share(shown, requests),
        concluded_share=_share(concluded, suggestions),
        acceptance=_share(outcomes["accepted"], concluded),
        kept_30s=_kept(sums.get("kept_30s", {}), accepted),
        kept_5min=_kept(sums.get("kept_5min", {}), accepted),
    )


def _kept(sums: dict[str, int], accepted: int) -> Kept:
    kept, judged = sums.get("kept", 0), sums.get("judged", 0)
    return Kept(kept, judged, _share(kept, judged), _share(judged, accepted))


def _share(part: int, whole: int) -> float | None:
    """At most 1: an outcome may fall on the day, or into the days, after its request."""
    return min(part / whole, 1.0) if whole else None


def _times(sums: Sums) -> list[Times]:
    found = []
    for group, buckets in sums.items():
        if group.startswith("ms "):
            values = [daily.percentile(buckets, share) for share in PERCENTILES.values()]
            assert not any(map(math.isnan, values)), "an empty group"
            found.append(Times(group[3:], sum(buckets.values()), *(round(v, 2) for v in values)))
    # Stages in the order of a request are those that most requests go through.
    return sorted(found, key=lambda times: (times.stage.startswith("total"), -times.count))


def _largest(numbers: dict[str, int]) -> dict[str, int]:
    return dict(sorted(numbers.items(), key=lambda item: (-item[1], item[0])))
