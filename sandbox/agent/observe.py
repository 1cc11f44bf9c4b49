"""Results as the model gets to see them: what matters of them, short, and marked as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.ends import ends
from sandbox.messages import Run
from sandbox.process import Ran
from sandbox.suite import Frame, TestResult

TOLD = 4  # failing tests that are told whole
NAMED = 20  # further ones by name
FRAMES = 4  # of a failure, the innermost
VALUES = 8  # of a frame
SHORT = 160  # characters of a value
MESSAGE = 600  # characters of a failure
MOST = 6_000  # characters of a result

Kind = Literal["told", "error", "failed", "solved", "gave up"]


@dataclass(frozen=True)
class Observation:
    """What a tool gave. "error": the call could not be done; "failed": tests fail with the change;
    "solved": the sandbox says that the task is done; "gave up": the model says that it cannot.
    """

    text: str
    kind: Kind = "told"


def of_tests(run: Run) -> str:
    """Which tests fail, why, and on which values."""
    bad = [one for one in (*run.broken, *run.results) if one.bad]
    parts = [f"{len(bad)} of {len(run.results) + len(run.broken)} tests fail."]
    if run.why not in ("done", "stopped"):
        parts.append(f"The run ended early: {run.message or run.why}.")
    parts += [failure(one) for one in bad[:TOLD]]
    if more := [one.id for one in bad[TOLD:]]:
        parts.append(f"Also: {_listed(more)}")
    return ends("\n".join(parts), MOST)


def failure(one: TestResult) -> str:
    """One failing test: its assertion, and the frames from the test inwards with their values."""
    kind = f"{one.kind}: " if one.kind and not one.message.startswith(one.kind) else ""
    lines = [f"{one.id} {one.outcome}: {ends(kind + one.message, MESSAGE)}"]
    for frame in one.frames[-FRAMES:]:
        lines += _frame("", frame)
    for frame in one.returned[:FRAMES]:
        lines += _frame("its value came from ", frame)
    return "\n".join(lines)


def _frame(how: str, frame: Frame) -> list[str]:
    values = [f"    {name} = {value[:SHORT]}" for name, value in frame.values.items()]
    return [f"  {how}{frame.path}:{frame.line} in {frame.function}", *values[:VALUES]]


def of_command(ran: Ran) -> str:
    """How a command ended and what it wrote."""
    ended = f"killed: {ran.killed}" if ran.killed else f"exit code {ran.exit_code}"
    parts = [f"{ended}, {ran.seconds:.1f} s"]
    for name, data in (("stdout", ran.stdout), ("stderr", ran.stderr)):
        if text := data.decode("utf-8", "replace").strip():
            parts.append(f"{name}:\n{ends(text, MOST // 2)}")
    return "\n".join(parts)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
