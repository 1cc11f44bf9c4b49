"""What the agent's loop costs a step besides the model and the tests, and that it loses no fix.

    python -m benchmarks.agent [--quick] [--json FILE]

A scripted model answers at once over real HTTP and makes the usual steps on a small repository that
lies beside many files; the tools run for real, but tests and commands, whose time is not the loop's,
answer at once. The rest is overhead: the request, trimming, the trajectory's line on the disk, the
guard, search, edits. Then three bugs are mended, by templates alone and with an agent that fails
before them (`--agent` with a model that gives up), in sandboxes: none may be lost. And an agent that
knows the fix must get it through. `--quick` leaves out the sandboxes.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from completion.chat import Chat
from sandbox import audit, worktree
from sandbox.agent.budget import Budget
from sandbox.agent.loop import Attempt
from sandbox.agent.observe import Observation
from sandbox.agent.team import Team
from sandbox.agent.tools import Bench
from sandbox.agent.trajectory import Trajectory, lines
from sandbox.approval import Approval, Nobody
from sandbox.fix import Fix, order_of
from sandbox.fixrun import RunFolder
from sandbox.policy import Policy
from sandbox.process import Ran
from sandbox.report import Report
from tandem.config import Config
from tandem.sections import AgentConfig, ChatConfig
from tests.agent_bugs import BUGS, Bug
from tests.scripted_chat import Turn, calls, says, scripted

BAR_MS = 100.0
FILES = 400  # beside the one that is changed
PLAN = says("1. look\n2. mend\n3. test")
TOLD = "tests/test_a.py::test_a failed: AssertionError: assert 1 == 2\n  a.py:3 in f\n    x = 1\n"


class AtOnce:
    """Tests and a sandbox that answer without delay."""

    def __init__(self) -> None:
        self.asked = 0

    def run(self, *_: object, **__: object) -> Any:
        self.asked += 1
        return Observation(f"{TOLD * 20}{self.asked}", "failed")

    def close(self) -> None:
        pass


class Commands:
    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        files: Mapping[str, bytes | None] | None = None,
    ) -> Ran:
        return Ran(0, "", b"a line\n" * 2_000, b"", 0.0)


class Quiet:
    def append(self, event: str, **data: Any) -> None:
        pass


def steps(count: int) -> list[Turn]:
    """So many answers: search, open, edit, tests, reflection, command, over and over."""
    made: list[Turn] = []
    number = 0
    while len(made) < count:
        edit = {"path": "a.py", "before": f"x = {number}", "after": f"x = {number + 1}"}
        number += 1
        made += [
            calls(("search", {"query": f"value_{number}"})),
            calls(("open", {"path": "a.py", "first": 1, "last": number})),
            calls(("edit", edit)),
            calls(("run_tests", {})),
            says("tried: more\nwhy: it is not enough\nnext: still more"),
            calls(("run", {"command": f"python -c 'print({number})'"})),
        ]
    return made[:count]


def overhead(count: int, folder: Path) -> list[float]:
    """Milliseconds of each step: from one answer's arrival to the next one's, less the server's."""
    repository = folder / "many"
    repository.mkdir()
    (repository / "a.py").write_text("x = 0\n" + "y = 1\n" * 400)
    for number in range(FILES):
        text = "".join(f"value_{number} = {row}\n" for row in range(100))
        (repository / f"m{number}.py").write_text(text)
    copy = worktree.snapshot(repository, folder / "copy")
    times: list[float] = []
    budget = Budget(steps=count, tokens=10**9, minutes=600)

    async def run(url: str) -> None:
        async with Chat(url, "scripted", options=ChatConfig()) as chat:
            approval = Approval(Policy(AgentConfig(), copy.files), "final", Nobody(), Quiet())
            bench = Bench(copy, AtOnce(), Commands(), approval)
            began = time.perf_counter()
            await Attempt(Trajectory(folder, "1"), bench, chat, chat, budget).run("Mend it.")
            times.append(1000 * (time.perf_counter() - began))

    with scripted(PLAN, *steps(count)) as server:
        asyncio.run(run(server.url))
    made = [one for one in lines(folder / "trajectory.jsonl") if one["kind"] in ("plan", "act")]
    tools = [one for one in lines(folder / "trajectory.jsonl") if one["kind"] == "observe"]
    answers = sum(one["seconds"] for one in made) * 1000
    assert len(made) + sum(1 for one in tools if one["tool"] == "run_tests") >= count - 1
    return [times[0] / count, answers / len(made), 1000 * max(one["seconds"] for one in tools)]


def mended(bug: Bug, folder: Path, *turns: Turn, agent: bool) -> Report:
    """One run of `tandem fix` on the bug, as Python calls it."""
    bug.write(folder)
    order = order_of(folder, test="pytest", seconds=120.0, model=False, agent=agent)
    run = RunFolder.new(order)
    with scripted(*turns) as server, audit.start(run.id) as log:
        made = Fix(run, log)
        if agent:
            config = Config(chat=ChatConfig(endpoint=server.url, model="scripted"))
            made.team = Team(config, log)
        return made.run()


def cases(folder: Path) -> list[tuple[str, bool, bool, bool]]:
    """Of each bug: by templates, by templates behind an agent that gives up, by an agent that knows."""
    rows = []
    for bug in BUGS:
        edit = {"path": bug.path, "before": bug.wrong, "after": bug.right}
        knows = (PLAN, calls(("edit", edit)), calls(("run_tests", {})))
        gives_up = (PLAN, calls(("finish", {"solved": False})))
        plain = mended(bug, folder / f"{bug.name}-t", agent=False)
        behind = mended(bug, folder / f"{bug.name}-b", *gives_up, agent=True)
        known = mended(bug, folder / f"{bug.name}-k", *knows, agent=True)
        rows.append((bug.name, plain.fixed, behind.fixed, known.fixed))
    return rows


def main() -> None:
    options = common.options(__doc__ or "")
    rounds, count = (1, 30) if options.quick else (3, 60)
    with tempfile.TemporaryDirectory() as name:
        measured = []
        for number in range(rounds):
            folder = Path(name) / str(number)
            folder.mkdir()
            measured.append(overhead(count, folder))
        fixed = [] if options.quick else cases(Path(name))
    step, answer, slowest = (statistics.median(column) for column in zip(*measured, strict=True))
    lost = [row[0] for row in fixed if row[1] and not (row[2] and row[3])]
    rows = [
        (f"a step, all but the model and tests (bar {BAR_MS:.0f} ms)", step),
        ("of it the request and its answer", answer),
        ("the slowest tool", slowest),
    ]
    if fixed:
        common.show("fixes", ("bug", "templates", "behind an agent", "agent"), fixed)
    figures = {"step_ms": step, "answer_ms": answer, "slowest_tool_ms": slowest, "lost": lost}
    common.report(
        f"agent, {count} steps, {FILES} files",
        ("what", "ms"),
        rows,
        ("agent-step-ms", f"{step:.1f}" + (f", lost: {', '.join(lost)}" if lost else "")),
        {**figures, "fixes": fixed},
        options.json,
    )


if __name__ == "__main__":
    main()
