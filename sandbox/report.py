"""What a fix run tells: the patches with their evidence, for people, for programs, for SWE-bench."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from sandbox.allowed import shown
from sandbox.choose import Check, Label
from tandem import paths

FORMAT = 1
MODEL_NAME = "tandem"

Ended = Literal["fixed", "no fix", "stopped", "nothing fails"]


@dataclass(frozen=True)
class Suspected:
    """A line that localisation named, 1-based, and its text."""

    path: str
    line: int
    score: float
    why: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Found:
    """One patch. `rank` is the place of its line among the suspects, from 1; 0: not among them.

    `verdict` is what the supervisor said in a fresh container; "" if it was not asked.
    """

    diff: str
    path: str
    line: int
    template: str
    label: Label
    number: int
    rank: int
    checks: tuple[Check, ...]
    verdict: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All of a run. Times are seconds by stage. `reproduction` has `path` and `text` of the test
    that an agent wrote because none of the repository's own failed."""

    id: str
    ended: Ended
    repository: str
    base: str
    tests: str
    failing: tuple[str, ...]
    passing: int
    flaky: tuple[str, ...]
    suspects: tuple[Suspected, ...]
    tried: Mapping[str, int]
    found: tuple[Found, ...]
    seconds: Mapping[str, float]
    model: str = ""
    notes: tuple[str, ...] = field(default=())
    reproduction: Mapping[str, str] = field(default_factory=dict)

    @property
    def fixed(self) -> bool:
        return self.ended == "fixed"

    def as_json(self) -> dict[str, Any]:
        return {"v": FORMAT, **json.loads(json.dumps(asdict(self)))}

    def save(self, file: Path) -> None:
        with paths.atomic_write(file) as stream:
            json.dump(self.as_json(), stream, indent=1)

    def prediction(self, instance: str) -> str:
        """A line in SWE-bench's format for predictions; the patch is empty if there is none."""
        return json.dumps(
            {
                "instance_id": instance,
                "model_name_or_path": f"{MODEL_NAME}+{self.model}" if self.model else MODEL_NAME,
                "model_patch": self.found[0].diff if self.found else "",
            }
        )


def rendered(report: Report, most: int = 3) -> RenderableType:
    """For a terminal: the best patch whole, then what else there is."""
    parts: list[RenderableType] = []
    if report.found:
        best = report.found[0]
        parts += [
            _headline(best),
            Syntax(shown(best.diff).rstrip(), "diff", background_color="default"),
        ]
        parts.append(_evidence(report, best))
        others = report.found[1:most]
        for number, one in enumerate(others, 2):
            parts += [Text(f"\n{number}. ", style="bold") + _headline(one)]
            parts += [Syntax(shown(one.diff).rstrip(), "diff", background_color="default")]
    else:
        parts.append(Text(_nothing(report)))
    if made := report.reproduction:
        parts.append(Text(f"\nThe test that failed is the agent's own: {shown(made['path'])}"))
        parts.append(Syntax(shown(made["text"]).rstrip(), "python", background_color="default"))
    parts += [Text(f"note: {shown(note)}", style="dim") for note in report.notes]
    return Group(*parts)


def _headline(one: Found) -> Text:
    colour = "green" if one.label == "verified" else "yellow"
    head = Text.assemble((one.label, f"bold {colour}"), f"  {shown(one.path)}:{one.line}")
    return head + Text(f"  ({one.template}, candidate {one.number})", style="dim")


def _evidence(report: Report, best: Found) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    passing = f"{report.passing} that passed still pass"
    table.add_row("tests", f"{len(report.failing)} failed, now pass; {passing}")
    table.add_row("judged", best.verdict or "not judged in a fresh container")
    for check in best.checks:
        mark = {True: "held", False: "FAILED", None: "not made"}[check.passed]
        table.add_row(check.name, Text(f"{mark}: {shown(check.why)}"))
    place = f"rank {best.rank} of the suspicious lines" if best.rank else "not a suspicious line"
    tried = sum(report.tried.values())
    table.add_row("search", f"{place}; {tried} candidates tried")
    table.add_row("time", ", ".join(f"{name} {s:.1f} s" for name, s in report.seconds.items()))
    for flag in best.flags:
        table.add_row("look at", Text(shown(flag)))
    return table


def _nothing(report: Report) -> str:
    if report.ended == "nothing fails":
        return "Nothing fails: there is nothing to fix."
    tried = sum(report.tried.values())
    stopped = " It was stopped; go on with --resume." if report.ended == "stopped" else ""
    return f"No fix was found among {tried} candidates.{stopped}"
