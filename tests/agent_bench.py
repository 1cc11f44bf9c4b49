"""An attempt on examples/paging over real HTTP, its tests run on this machine as they are ours."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from completion.chat import Chat
from sandbox import worktree
from sandbox.agent.budget import Budget
from sandbox.agent.checks import Mending
from sandbox.agent.loop import Attempt, Outcome
from sandbox.agent.tools import Bench
from sandbox.agent.trajectory import Trajectory, lines
from sandbox.approval import Approval, Nobody
from sandbox.baseline import Baseline, measure
from sandbox.policy import Policy
from sandbox.process import Ran
from sandbox.suite import parse
from sandbox.validate import Goal
from sandbox.worktree import Snapshot
from tandem.sections import AgentConfig, ChatConfig
from tests.agent_support import paging
from tests.local_tests import serve
from tests.scripted_chat import ScriptedChat, Turn, scripted


class Log:
    """An audit log that a test reads."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def append(self, event: str, **data: Any) -> None:
        self.events.append((event, data))


class NoSandbox:
    """Tells that it was asked; tests/test_agent_fix.py has the real one."""

    def __init__(self) -> None:
        self.ran: list[Sequence[str]] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        files: Mapping[str, bytes | None] | None = None,
    ) -> Ran:
        self.ran.append(argv)
        return Ran(0, "", b"out\n" * 5_000, b"err\n", 0.1)


@dataclass
class Room:
    """What attempts share: the copy, its tests, and where their steps go."""

    folder: Path
    copy: Snapshot
    served: Path
    baseline: Baseline
    told: list[str] = field(default_factory=list)
    sandbox: NoSandbox = field(default_factory=NoSandbox)
    log: Log = field(default_factory=Log)

    @classmethod
    def of_paging(cls, folder: Path) -> "Room":
        repository = paging(folder / "paging")
        copy = worktree.snapshot(repository, folder / "copy")
        served = folder / "served"
        shutil.copytree(repository, served)
        server = serve(served, parse("python -m pytest"))
        try:
            return cls(folder, copy, served, measure(server))
        finally:
            server.close()

    def again(self, folder: Path) -> "Room":
        """The same for another test, whose steps go into a folder of its own."""
        return Room(folder, self.copy, self.served, self.baseline)

    @property
    def goal(self) -> Goal:
        failing = tuple(one.id for one in self.baseline.failing)
        return Goal(failing, self.baseline.passing, {}, {}, self.baseline.test_s)

    def bench(self, **other: Any) -> Bench:
        checks = Mending(lambda: serve(self.served, parse("python -m pytest")), self.goal)
        policy = Policy(AgentConfig(), self.copy.files)
        approval = Approval(policy, "final", Nobody(), self.log)
        return Bench(self.copy, checks, self.sandbox, approval, **other)

    def steps(self, attempt: str = "1") -> list[dict[str, Any]]:
        file = self.folder / "trajectory.jsonl"
        return [one for one in lines(file) if one["attempt"] == attempt]

    def kinds(self) -> list[str]:
        return [one["kind"] for one in self.steps()]


def attempt(
    room: Room,
    server: ScriptedChat,
    budget: Budget | None = None,
    stop_after: int = 0,
    options: ChatConfig | None = None,
    **other: Any,
) -> Outcome:
    """One attempt at mending the paging; `stop_after` so many requests it is stopped."""

    async def run() -> Outcome:
        async with Chat(server.url, "scripted", options=options) as chat:
            one = Attempt(
                Trajectory(room.folder, "1"),
                room.bench(),
                chat,
                chat,
                budget or Budget(),
                tell=room.told.append,
                **other,
            )
            work = asyncio.create_task(one.run("Mend it."))
            while stop_after and len(server.bodies) < stop_after and not work.done():
                await asyncio.sleep(0.01)
            if stop_after:
                one.stop()
            try:
                return await work
            finally:
                one.bench.checks.close()

    return asyncio.run(run())


def played(room: Room, *turns: Turn, **other: Any) -> tuple[Outcome, ScriptedChat]:
    """An attempt with a model that says this."""
    with scripted(*turns) as server:
        return attempt(room, server, **other), server
