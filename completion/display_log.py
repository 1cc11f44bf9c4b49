"""The display gate learned from one's own trace: what was shown, and what became of it.

Events of kind "completion" have what was known (`details.features`), those of kind "outcome" what
became of it: `of` is the completion's id, `outcome` accepted, rejected or ignored, `characters`
how many were accepted. The newest suggestions are kept back to judge what the older ones taught.
"""

import time
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from completion import display
from completion.display import Figures, Gate
from completion.display_learning import LOST, Row, learn
from tandem.errors import TandemError

LEAST_SHOWN, LEAST_ACCEPTED = 200, 40
LEAST_HELD_OUT = 10  # accepted ones
HELD_OUT = 0.25
_OUTCOMES = ("accepted", "rejected", "ignored")
_NOT_SEEN = ("late",)


def train(events: Iterable[Mapping[str, Any]]) -> Gate:
    """A gate from the shipped one and the log. Raises TandemError if the log says too little."""
    rows = rows_of(events)
    accepted = sum(row.characters > 0 for row in rows)
    if len(rows) < LEAST_SHOWN or not LEAST_ACCEPTED <= accepted < len(rows):
        raise TandemError(
            f"The log has {len(rows)} suggestions with an outcome, {accepted} of them accepted;"
            f" {LEAST_SHOWN} and {LEAST_ACCEPTED} are needed.",
            "Go on working; the gate that came with Tandem is in use meanwhile.",
        )
    older, newer = _split(rows)
    if _accepted(newer) < LEAST_HELD_OUT or not 0 < _accepted(older) < len(older):
        raise TandemError(
            f"Of the newest {len(newer)} suggestions {_accepted(newer)} were accepted,"
            f" of the others {_accepted(older)}: too few to judge by.",
            "Go on working; the gate that came with Tandem is in use meanwhile.",
        )
    facts = {"how": "log", "on": time.strftime("%Y-%m-%d")}
    return learn(older, newer, facts, display.shipped())


def refusals(figures: Figures) -> list[str]:
    """Why a gate must not be used; none if it may."""
    found = []
    if not figures.low > 0:
        found.append(
            f"on your newest suggestions the share accepted changes {figures.gain:+.0%}"
            f" (95%: {figures.low:+.0%} to {figures.high:+.0%}), which is not above zero"
        )
    if figures.lost > LOST:
        found.append(
            f"it would hide {figures.lost:.0%} of what you accepted; at most {LOST:.0%} may be"
        )
    return found


def rows_of(events: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The suggestions of a log that the user has seen, in order of time, by hours of work."""
    made: dict[str, tuple[float, dict[str, float]]] = {}
    became: dict[str, int] = {}
    for event in events:
        details = event.get("details")
        if not isinstance(details, Mapping):
            continue
        if event.get("kind") == "completion" and event.get("shown"):
            known = _features(details.get("features"))
            if known:
                made[str(event.get("id"))] = (_number(event.get("time")), known)
        elif event.get("kind") == "outcome" and details.get("why") not in _NOT_SEEN:
            outcome = details.get("outcome")
            if outcome in _OUTCOMES:
                taken = _number(details.get("characters")) if outcome == "accepted" else 0
                became[str(details.get("of"))] = max(0, int(taken))
    rows = [
        (at, Row(known, became[id], int(at // 3600)))
        for id, (at, known) in made.items()
        if id in became
    ]
    return [row for _, row in sorted(rows, key=lambda one: one[0])]


def _split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The older ones and the newest HELD_OUT, whole hours where there are several."""
    hours = [list(its) for _, its in groupby(rows, lambda row: row.group)]
    newer: list[Row] = []
    while len(hours) > 1 and len(newer) + len(hours[-1]) / 2 < HELD_OUT * len(rows):
        newer = hours.pop() + newer
    if not newer:
        cut = int(len(rows) * (1 - HELD_OUT))
        return rows[:cut], rows[cut:]
    return [row for hour in hours for row in hour], newer


def _accepted(rows: list[Row]) -> int:
    return sum(row.characters > 0 for row in rows)


def _features(known: Any) -> dict[str, float]:
    if not isinstance(known, Mapping):
        return {}
    return {str(name): _number(value) for name, value in known.items()}


def _number(value: Any) -> float:
    """A log may hold anything: 0 for what is no number of a sane size."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e11 else 0.0
