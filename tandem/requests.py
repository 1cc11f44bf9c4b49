"""Requests as the trace tells them, each with what became of its suggestion."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tandem.errors import UsageError

OUTCOME = "outcome"
# Stages that lie within another one: no time on top.
WITHIN = {"first_token"}


@dataclass
class Request:
    """`event` is the request's; `outcomes` those about its suggestion, oldest first."""

    event: dict[str, Any]
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def details(self) -> dict[str, Any]:
        return self.event["details"]

    @property
    def place(self) -> str:
        """Where in which file; what is about no place is named by its kind and who asked."""
        if not self.event["file"]:
            return f"{self.event['kind']} from {self.event['source']}"
        return f"{self.event['file']}:{self.event['line']}:{self.event['column']}"

    @property
    def total(self) -> float:
        return float(self.event["stages_ms"].get("total", 0.0))

    @property
    def stages(self) -> dict[str, float]:
        """Milliseconds by stage, without the total."""
        stages = self.event["stages_ms"]
        return {str(name): float(ms) for name, ms in stages.items() if name != "total"}

    @property
    def rules(self) -> list[str]:
        """Names of the rules that decided."""
        found = self.details.get("rules") or []
        return [value(one) for one in (found if isinstance(found, list) else [found])]

    @property
    def candidates(self) -> list[dict[str, Any]]:
        found = self.details.get("candidates") or []
        return [one if isinstance(one, dict) else {"text": value(one)} for one in found]

    @property
    def context(self) -> list[str]:
        """What other files gave to the prompt, each piece with its reason, and what gave none."""
        told = [
            f"{piece['file']} {piece['symbol']}: {piece['reason']} ({piece['tokens']} tokens)"
            for piece in self.details.get("context") or []
        ]
        left_out = self.details.get("context_left_out") or {}
        if left_out:
            why = ", ".join(f"{source} ({reason})" for source, reason in left_out.items())
            told.append(f"nothing from {why}")
        return told

    @property
    def outcome(self) -> str:
        """What became of the suggestion, in one line; "" while nobody knows."""
        return "; ".join(_outcome(event["details"], self.event["id"]) for event in self.outcomes)


def requests(events: Iterable[dict[str, Any]]) -> list[Request]:
    """Oldest first. A suggestion that went on with another shares its outcomes."""
    found: dict[str, Request] = {}
    for event in events:
        if event["kind"] != OUTCOME:
            found[event["id"]] = Request(event)
    for event in events:
        if event["kind"] == OUTCOME:
            details = event["details"]
            for id in (details.get("of"), *details.get("also", ())):
                if id in found:
                    found[id].outcomes.append(event)
    return list(found.values())


def find(found: Iterable[Request], id: str) -> Request:
    """The request whose id begins so. Raises UsageError when there is none, or more than one."""
    matching = [request for request in found if request.event["id"].startswith(id)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise UsageError(f"The trace has no request {id}.", "See: tandem trace --json")
    raise UsageError(f"{len(matching)} requests have an id that begins with {id}.", "Give more.")


def value(one: Any) -> str:
    """A value of an event's details, in one line."""
    if isinstance(one, float):
        return f"{one:.3g}"
    if isinstance(one, dict):
        return ", ".join(f"{name} {value(part)}" for name, part in one.items())
    if isinstance(one, list | tuple):
        return ", ".join(map(value, one))
    return str(one)


def _outcome(details: dict[str, Any], id: str) -> str:
    if details.get("outcome") == "kept":
        found = [name for name in ("kept_30s", "kept_5min") if name in details]
        times = " and ".join(name.removeprefix("kept_") for name in found)
        closed = ", when it was closed" if details.get("closed") else ""
        kept = details[found[0]] if found else "?"
        return f"{kept} of {details.get('characters')} characters kept after {times}{closed}"
    parts = [str(details.get("outcome"))]
    if details.get("how"):
        parts.append(f"({details['how']}, {details['characters']} characters)")
    if details.get("why"):
        parts.append(f"({details['why']})")
    if details.get("typed"):
        parts.append(f"{details['typed']} typed")
    if details.get("of") != id:
        parts.append(f"as part of {details.get('of')}")
    return " ".join(parts)
