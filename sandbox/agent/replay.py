"""A run's attempts once more from what was written down: no model, no sandbox, the same patches."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from completion.chat import Message, Said, Tool
from sandbox.agent import reproduction
from sandbox.agent.budget import Budget
from sandbox.agent.checks import Files
from sandbox.agent.loop import Attempt
from sandbox.agent.observe import Observation
from sandbox.agent.team import REPRODUCE, fence_of
from sandbox.agent.tools import Bench
from sandbox.agent.trajectory import NAME, Trajectory, lines
from sandbox.fixrun import RunFolder
from sandbox.patch import Patch
from sandbox.process import Ran
from sandbox.suite import Suite
from tandem.errors import UsageError


@dataclass(frozen=True)
class Replayed:
    """`diff` is what the steps give now, against the run's copy; `same`: it is what they gave then.
    None for an attempt that did not come to its end."""

    attempt: str
    diff: str
    same: bool | None
    why: str


def replay(run: RunFolder) -> list[Replayed]:
    """All attempts of a run. Raises UsageError if it had none, TandemError if a step gives something
    else than it did."""
    file = run.root / NAME
    if not file.exists():
        raise UsageError(f"The run {run.id} had no agent.", "See: tandem fix --agent")
    steps = lines(file)
    names = dict.fromkeys(step["attempt"] for step in steps)
    ends = {step["attempt"]: step["files"] for step in steps if step["kind"] == "finish"}
    return [_replayed(run, name, ends.get(name)) for name in names]


def _replayed(run: RunFolder, name: str, then: Mapping[str, str | None] | None) -> Replayed:
    order, copy = run.order(), run.copy()
    if name != REPRODUCE and (made := reproduction.known(run.root)):
        copy, _ = made.added(copy, Suite("pytest"))
    bench = Bench(copy, _NoChecks(), _NoSandbox())
    budget = Budget(order.steps, order.tokens, order.money, order.minutes)
    trajectory = Trajectory(run.root, name, read_only=True)
    fence = fence_of(copy)
    attempt = Attempt(trajectory, bench, _NoModel(), _NoModel(), budget, fence)
    outcome = asyncio.run(attempt.run(""))
    old = {path: copy.text(path) for path in outcome.files if path in copy.files}
    same = None if then is None else dict(then) == outcome.files
    return Replayed(name, Patch(outcome.files).diff(old), same, outcome.why)


class _NoChecks:
    """Stands where tests were: a replay asks for none."""

    def run(self, ids: Sequence[str], files: Files) -> Observation:
        raise AssertionError("a replay runs no test")

    def close(self) -> None:
        pass


class _NoSandbox:
    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        files: Mapping[str, bytes | None] | None = None,
    ) -> Ran:
        raise AssertionError("a replay runs no command")


class _NoModel:
    async def say(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        max_tokens: int = 0,
        temperature: float | None = None,
    ) -> Said:
        raise AssertionError("a replay asks no model")
