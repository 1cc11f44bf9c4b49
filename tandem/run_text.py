"""`tandem audit show`: one run for a terminal."""

import time
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from sandbox.story import objects
from tandem.visible import printable, visible

if TYPE_CHECKING:
    from sandbox.agent_step import Step
    from sandbox.story import Story

_HELD = {"True": "held", "False": "FAILED"}
_SUSPECTS = 5
_TEMPLATES = 8
_WIDE = 100  # characters of one line of a step


def rendered(story: "Story") -> RenderableType:
    """What it was, how it ended, and the best patch; then how it came to it."""
    parts: list[RenderableType] = [_head(story)]
    for one in story.rows("found")[:1]:
        parts.append(
            printable(f"\n{one.get('label')}  {one.get('path')}:{one.get('line')}", "bold")
        )
        text = visible(one.get("diff", "")).rstrip()
        parts.append(Syntax(text, "diff", background_color="default"))
        parts.append(_checks(objects(one.get("checks")), str(one.get("verdict") or "")))
    if story.steps:
        parts += [Text("\nsteps", style="bold"), *map(_step, story.steps)]
    if suspects := story.rows("suspects"):
        parts += [Text("\nsuspicious lines", style="bold")]
        parts += [
            printable(f"  {one.get('path')}:{one.get('line')}  {one.get('text')}")
            for one in suspects[:_SUSPECTS]
        ]
    if story.tried:
        parts += [Text("\ncandidates", style="bold"), _tried(story)]
    parts += [printable(f"note: {note}", "dim") for note in story.items("notes")]
    return Group(*parts)


def _head(story: "Story") -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(story.began))
    table.add_row("run", printable(story.id))
    table.add_row("ended", printable(story.ended or "it did not come to its end"))
    table.add_row("log", printable("intact" if story.intact else f"NOT intact: {story.why}"))
    table.add_row("began", f"{began}, took {story.seconds:.1f} s")
    failing = story.items("failing")
    if story.report:
        table.add_row("repository", printable(story.report.get("repository")))
        passing = story.report.get("passing")
        table.add_row("tests", printable(f"{len(failing)} failed, {passing} passed before"))
    seconds = story.report.get("seconds")
    if isinstance(seconds, dict):
        told = ", ".join(f"{name} {s} s" for name, s in seconds.items())
        table.add_row("time", printable(told))
    if story.steps:
        spent = story.spent
        tokens = f"{spent.prompt:,} tokens read, {spent.completion:,} written"
        table.add_row("chat model", f"{spent.answers} answers, {tokens}, cost {spent.cost:.4f}")
    for one in story.lacks:
        table.add_row("not there", printable(one))
    return table


def _checks(checks: list[dict[str, Any]], verdict: str) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for check in checks:
        mark = _HELD.get(str(check.get("passed")), "not made")
        table.add_row(printable(check.get("name")), printable(f"{mark}: {check.get('why')}"))
    table.add_row("judged", printable(verdict or "not judged in a fresh container"))
    return table


def _tried(story: "Story") -> Table:
    table = Table("template", "tried", "passed", box=None, padding=(0, 2, 0, 0))
    rows = sorted(story.tried.items(), key=lambda one: (-one[1]["passed"], -sum(one[1].values())))
    for name, counts in rows[:_TEMPLATES]:
        table.add_row(printable(name), str(sum(counts.values())), str(counts["passed"]))
    if len(rows) > _TEMPLATES:
        rest = sum(sum(counts.values()) for _, counts in rows[_TEMPLATES:])
        table.add_row(f"{len(rows) - _TEMPLATES} others", str(rest), "")
    return table


def _step(one: "Step") -> Text:
    place = f"{one.attempt}.{one.number}" if one.attempt else str(one.number)
    said = " ".join((one.text or one.result).split())[:_WIDE]
    told = "  ".join(word for word in (one.kind, one.tool, one.outcome, said) if word)
    return printable(f"  {place:>5}  {told}")
