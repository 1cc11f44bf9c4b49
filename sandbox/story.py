"""All that is known of a run, read back: its log, and what its folder holds while that is kept.

The log is chained and `intact` says whether it is as it was written. The folder's files (the
report, what was tried, an agent's trajectory) are not part of the chain: nobody vouches for them.
What is missing or damaged is named in `lacks`, and the rest is told all the same.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import audit, fixrun
from sandbox.agent_step import Step
from tandem.errors import UsageError

MOST = 5_000  # steps, and events


@dataclass(frozen=True)
class Event:
    """One line of the log; `at` is in seconds since the first one."""

    at: float
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Spent:
    """What the chat model of a run took. `cost` is in the currency of the model's prices."""

    answers: int
    prompt: int
    completion: int
    cost: float


@dataclass(frozen=True)
class Story:
    """`tried` counts by template how far candidates came; `began` is in seconds since 1970."""

    id: str
    intact: bool
    why: str
    began: float
    order: Mapping[str, Any]
    events: tuple[Event, ...]
    report: Mapping[str, Any]
    tried: Mapping[str, Counter[str]]
    steps: tuple[Step, ...]
    lacks: tuple[str, ...] = field(default=())

    @property
    def seconds(self) -> float:
        return self.events[-1].at if self.events else 0.0

    @property
    def ended(self) -> str:
        """ "" for a run that did not come to its end."""
        ended = self.report.get("ended") or next(
            (one.data.get("ended") for one in self.events if one.name == "report"), ""
        )
        return str(ended or "")

    @property
    def spent(self) -> Spent:
        usages = [step.usage for step in self.steps if step.usage]
        prompt, completion, cost = (
            sum(usage.get(name, 0.0) for usage in usages)
            for name in ("prompt", "completion", "cost")
        )
        return Spent(len(usages), int(prompt), int(completion), cost)

    def of(self, name: str) -> list[Event]:
        """The events of one name."""
        return [one for one in self.events if one.name == name]

    def items(self, name: str) -> list[Any]:
        """A list of the report; [] if there is none."""
        found = self.report.get(name)
        return found if isinstance(found, list) else []

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The objects of such a list."""
        return objects(self.items(name))


def objects(told: object) -> list[dict[str, Any]]:
    """Those of a list that are objects; [] for what is no list."""
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def read(run: str = "") -> Story:
    """The story of a run, by id or by the file of its log; "" is the newest.

    Raises UsageError if there is no log of it.
    """
    file = _file(run)
    verdict = audit.verify(file)
    rows = list(_objects(file))[:MOST]
    began = next((float(row["time"]) for row in rows if _is_number(row.get("time"))), 0.0)
    events = tuple(_event(row, began) for row in rows)
    folder = fixrun.folder_of(verdict.id)
    lacks: list[str] = []
    if folder is None:
        lacks.append("its folder: only the newest runs keep theirs")
    order = next((one.data for one in events if one.name == "order"), {})
    report = _object(folder / "report.json", lacks) if folder else {}
    tried: dict[str, Counter[str]] = {}
    steps: tuple[Step, ...] = ()
    if folder:
        order = order or _object(folder / "order.json", lacks)
        for row in _objects(folder / "tried.jsonl"):
            candidate = row.get("candidate")
            name = candidate.get("template") if isinstance(candidate, dict) else None
            tried.setdefault(str(name or "unknown"), Counter())[str(row.get("stage"))] += 1
        steps = tuple(map(Step.of, _objects(folder / "trajectory.jsonl")))[:MOST]
    return Story(
        verdict.id,
        verdict.intact,
        f"line {verdict.line}: {verdict.why}" if verdict.line else verdict.why,
        began,
        order,
        events,
        report,
        tried,
        steps,
        tuple(lacks),
    )


def _file(run: str) -> Path:
    if not run:
        files = audit.all_files()
        if not files:
            raise UsageError("There are no logs yet.", "They are written by: tandem fix")
        return files[-1]
    file = Path(run) if Path(run).is_file() else audit.file_of(run)
    if not file.is_file():
        raise UsageError(f"There is no log of a run {run}.", "See: tandem audit list")
    return file


def _event(row: Mapping[str, Any], began: float) -> Event:
    data = row.get("data")
    time = row.get("time")
    at = float(time) - began if isinstance(time, int | float) and _is_number(time) else 0.0
    return Event(at, str(row.get("event", "")), data if isinstance(data, dict) else {})


def _is_number(told: object) -> bool:
    return isinstance(told, int | float) and not isinstance(told, bool) and abs(told) < 1e12


def _object(file: Path, lacks: list[str]) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text("utf-8"))
        if isinstance(told, dict):
            return told
        lacks.append(f"{file.name}: it is damaged")
    except FileNotFoundError:
        lacks.append(f"{file.name}: the run did not come so far")
    except (OSError, ValueError, RecursionError):
        lacks.append(f"{file.name}: it cannot be read")
    return {}


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; lines that are none are passed over."""
    try:
        lines = file.read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return
    for line in lines:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict):
            yield told
