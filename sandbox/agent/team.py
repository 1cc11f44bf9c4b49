"""Several attempts side by side, each with a sandbox and a copy of its own, and what came of them."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from completion.chat import Chat, Message, Said, Tool, connect
from completion.index import Index
from sandbox import audit, episodes, pool, tester
from sandbox.agent import task
from sandbox.agent.budget import Budget
from sandbox.agent.checks import Checks, Mending, Reproducing
from sandbox.agent.loop import Attempt, Outcome
from sandbox.agent.reproduction import Reproduction
from sandbox.agent.tools import Bench
from sandbox.agent.trajectory import Trajectory
from sandbox.approval import Approval, Asker, EventLog, Nobody, said_before
from sandbox.container import Sandbox
from sandbox.fence import Fence, known_in
from sandbox.fixrun import RunFolder
from sandbox.policy import Policy
from sandbox.repair.change import Rewrite
from sandbox.suite import is_test_path
from sandbox.suspects import Found
from sandbox.validate import Goal
from sandbox.workplace import Workplace
from sandbox.worktree import Snapshot
from tandem.config import Config
from tandem.errors import TandemError, UsageError

REPRODUCE = "test"  # the attempt that writes a test
LARGEST = 250_000  # bytes of a file whose secrets are looked up, to be known in other writings
MOST_READ = 100_000_000  # of all of them
_WARMER = 0.25  # from one attempt's temperature to the next one's


@dataclass
class Team:
    """The attempts of one run. `asker` is the person who is asked where rules or settings say so, each
    decision a line of the `log`; `tell` gets lines."""

    config: Config
    log: EventLog
    attempts: int = 1
    budget: Budget = field(default_factory=Budget)
    issue: str = ""
    asker: Asker = field(default_factory=Nobody)
    tell: Callable[[str], None] = lambda line: None
    approval: Approval | None = field(default=None, init=False)
    fence: Fence = field(default_factory=Fence, init=False)
    stopped: bool = field(default=False, init=False)
    _attempts: list[Attempt] = field(default_factory=list, init=False)

    @classmethod
    def of(
        cls,
        run: RunFolder,
        log: EventLog,
        config: Config,
        asker: Asker,
        tell: Callable[[str], None],
    ) -> "Team | None":
        """As the run's order wants it; None where no chat model is set, nor one asked for by name
        or by an issue."""
        order = run.order()
        if not (order.agent or order.issue or config.chat.endpoint or config.chat.model):
            return None
        budget = Budget(order.steps, order.tokens, order.money, order.minutes)
        return cls(config, log, order.attempts, budget, order.issue, asker, tell)

    @property
    def name(self) -> str:
        chat = self.config.chat
        return chat.executor or chat.model or "chat"

    def stop(self) -> None:
        """End all attempts soon; from any thread, or a signal handler."""
        self.stopped = True
        for one in self._attempts:
            one.stop()

    def mend(self, run: RunFolder, at: Workplace, goal: Goal, found: Found) -> list[Outcome]:
        """What the attempts have made of the failing tests, those that are solved first."""
        self.fence = fence_of(at.copy)
        failing = [one for one in found.baseline.failing if one.id in set(goal.failing)]
        earlier = episodes.similar(episodes.known(Path(run.order().repository)), run.symptoms())
        asked = task.mending(
            self.fence,
            failing,
            found.suspects,
            found.sources,
            at.copy.files,
            self.issue,
            episodes.rendered([one for one, _ in earlier]),
        )

        def checks(sandbox: Sandbox) -> Checks:
            return Mending(lambda: tester.in_sandbox(sandbox, at.tests, at.copy.root), goal)

        names = [str(number) for number in range(1, self.attempts + 1)]
        made = asyncio.run(self._all(run, at, asked, names, checks))
        return sorted(made, key=lambda one: (not one.solved, one.attempt))

    def reproduce(self, run: RunFolder, at: Workplace) -> Reproduction | None:
        """A test that shows the issue; None if the attempt came to none. Raises UsageError for
        tests that are no pytest's."""
        if at.tests.kind != "pytest":
            raise UsageError(
                "A test for an issue can only be written for pytest.", 'Try: --test "pytest"'
            )
        self.fence = fence_of(at.copy)
        path = new_test(at.copy.files)

        def checks(sandbox: Sandbox) -> Checks:
            return Reproducing(
                lambda suite: tester.in_sandbox(sandbox, suite, at.copy.root), at.tests, path
            )

        asked = task.reproducing(self.fence, path, at.copy.files, self.issue)
        (one,) = asyncio.run(self._all(run, at, asked, [REPRODUCE], checks, path))
        text = one.files.get(path)
        return Reproduction(path, text) if one.solved and text else None

    async def _all(
        self,
        run: RunFolder,
        at: Workplace,
        asked: str,
        names: Sequence[str],
        checks: Callable[[Sandbox], Checks],
        only: str = "",
    ) -> list[Outcome]:
        """Outcomes in the order of the names. An attempt that broke is told, and raised if none is
        left."""
        policy = Policy(self.config.agent, at.copy.files, own=[only] if only else [])
        mode = self.config.agent.approve
        self.approval = approval = Approval(policy, mode, self.asker, self.log)
        approval.said |= said_before(audit.file_of(run.id))
        room = asyncio.Semaphore(run.order().workers)
        chat = self.config.chat
        async with (
            _Asked(self.config, "planner") as planner,
            _Asked(self.config, "executor") as acts,
        ):

            async def attempt(number: int, name: str) -> Outcome:
                async with room, _borrowed(at.boxes) as sandbox:
                    checked = checks(sandbox)
                    one = Attempt(
                        Trajectory(run.root, name),
                        Bench(at.copy, checked, sandbox, approval, index, only),
                        planner,
                        acts,
                        self.budget,
                        self.fence,
                        self.tell,
                        min(1.0, chat.temperature + _WARMER * number) if number else None,
                    )
                    self._attempts.append(one)
                    if self.stopped:
                        one.stop()
                    try:
                        return await one.run(asked)
                    finally:
                        await asyncio.to_thread(checked.close)

            with contextlib.closing(Index(Path(run.order().repository))) as index:
                work = [attempt(number, name) for number, name in enumerate(names)]
                ended = await asyncio.gather(*work, return_exceptions=True)
        self._attempts.clear()
        broken = [one for one in ended if isinstance(one, BaseException)]
        made = [one for one in ended if isinstance(one, Outcome)]
        for error in broken:
            if not made or not isinstance(error, TandemError):
                raise error
            self.tell(f"an attempt broke: {error}")
        return made


class _Asked:
    """A chat model that is connected to when it is first asked: a replayed run needs none."""

    def __init__(self, config: Config, role: Literal["planner", "executor"]) -> None:
        self._config = config
        self._role: Literal["planner", "executor"] = role
        self._connecting = asyncio.Lock()
        self._chat: Chat | None = None

    async def say(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        max_tokens: int = 0,
        temperature: float | None = None,
    ) -> Said:
        async with self._connecting:
            if self._chat is None:
                self._chat = await connect(self._config, self._role, source="agent")
        return await self._chat.say(messages, tools, max_tokens=max_tokens, temperature=temperature)

    async def __aenter__(self) -> "_Asked":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._chat is not None:
            await self._chat.close()


@contextlib.asynccontextmanager
async def _borrowed(boxes: pool.Pool) -> AsyncIterator[Sandbox]:
    """A sandbox of the pool, waited for and given back in other threads."""
    lent = boxes.sandbox()
    sandbox = await asyncio.to_thread(lent.__enter__)
    try:
        yield sandbox
    finally:
        await asyncio.to_thread(lent.__exit__, None, None, None)


def fence_of(copy: Snapshot) -> Fence:
    """Which knows the secrets that stand in a copy; a replay needs the same one."""
    return Fence(known=known_in(_texts(copy)))


def _texts(copy: Snapshot) -> Iterator[str]:
    """The texts of a copy, up to a size, for what is to be known of them."""
    left = MOST_READ
    for path in copy.files:
        file = copy.root / path
        if path not in copy.pointers and not file.is_symlink() and left > 0:
            left -= (size := file.stat().st_size)
            if size <= LARGEST:
                with contextlib.suppress(ValueError):  # no text
                    yield copy.text(path)


def proposals(outcomes: Sequence[Outcome]) -> list[Rewrite]:
    """The patches of attempts that changed something, each once, in their order."""
    found: dict[tuple[tuple[str, str | None], ...], Rewrite] = {}
    for one in outcomes:
        if files := tuple(sorted(one.files.items())):
            found.setdefault(files, Rewrite(files, f"agent, attempt {one.attempt}"))
    return list(found.values())


def new_test(files: Sequence[str]) -> str:
    """A path for a test file that is not there, in the folder that has the most tests."""
    folders = Counter(
        path.rpartition("/")[0] for path in files if is_test_path(path) and path.endswith(".py")
    )
    folder = folders.most_common(1)[0][0] if folders else ""
    taken = set(files)
    names = (f"test_issue{number or ''}.py" for number in itertools.count())
    paths = (f"{folder}/{name}" if folder else name for name in names)
    return next(path for path in paths if path not in taken)
