"""One attempt at a task: plan, act, observe, reflect, until the sandbox says that it is solved.

The model's word decides nothing: an attempt is solved when the tests say so, and what comes of it is
a proposal like any other. Every answer and every result is a step of the trajectory before the next
one begins; steps of before are taken from there and cost nothing.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from completion.chat import Message, Said, Tool, ToolCall, Usage
from completion.client import TooMuch
from sandbox.agent import reflect, tools
from sandbox.agent.budget import Budget, Spent
from sandbox.agent.conversation import MOST, Conversation
from sandbox.agent.observe import Observation
from sandbox.agent.tools import Bench
from sandbox.agent.trajectory import Trajectory
from sandbox.allowed import shown
from sandbox.ends import ends
from sandbox.fence import RULE, Fence
from tandem.errors import EngineError, TandemError

CALLS = 6  # of one answer
SILENT = 3  # answers without a call, one after the other
CIRCLES = 2  # the second one ends the attempt
SYSTEM = f"""You mend a software repository. You work only through the tools. Keep changes small. \
Tests and settings may not be changed. Call one tool at a time. {RULE}"""
PLAN = "Before you begin: give a plan of at most five short numbered steps, and nothing else."
NUDGE = "Go on with a tool call. If you are done or cannot go on, call finish."


class Model(Protocol):
    """As `completion.chat.Chat`."""

    async def say(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        max_tokens: int = 0,
        temperature: float | None = None,
    ) -> Said: ...


class Stopped(EngineError):
    """A person ended the attempt while the model was asked."""


class Ended(EngineError):
    """A replay came to the end of what was written down."""


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt. `files` are its new texts; `solved` is what the tests said."""

    attempt: str
    files: dict[str, str | None]
    solved: bool
    why: str
    spent: Spent


@dataclass
class Attempt:
    """See the module. `tell` is given lines for people; `temperature` is the executor's."""

    trajectory: Trajectory
    bench: Bench
    planner: Model
    executor: Model
    budget: Budget
    fence: Fence = field(default_factory=Fence)
    tell: Callable[[str], None] = lambda line: None
    temperature: float | None = None
    most: int = MOST  # characters of a conversation
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        self._circle = reflect.Circle()
        self._silent = self._reflected = 0  # answers without a call; edits at the last reflection
        self._last_edit = ""
        self._asking: asyncio.Task[Said] | None = None
        self._stopped = False

    def stop(self) -> None:
        """End soon: what the model says is not waited for, what a tool does is. From any thread."""
        self._stopped = True
        if asking := self._asking:
            asking.get_loop().call_soon_threadsafe(asking.cancel)

    async def run(self, task: str) -> Outcome:
        """Until it is solved, given up, or a budget is spent. A model that does not answer ends it,
        too. Raises SandboxError, and TandemError for a trajectory that does not fit."""
        step = self._before("task") or self.trajectory.add("task", text=task)
        self.talk = Conversation(SYSTEM, step["text"], self.most)
        solved, why = False, ""
        try:
            await self._plan()
            while not why and not (why := self.spent.over(self.budget)):
                solved, why = await self._turn()
        except EngineError as error:  # the model's server
            why = str(error)
        files = self.bench.changed
        self.trajectory.add("finish", text=why, solved=solved, files=files, **vars(self.spent))
        self._told(why)
        return Outcome(self.trajectory.attempt, files, solved, why, self.spent)

    async def _plan(self) -> None:
        said = await self._said("plan", self.planner, Message("user", PLAN))
        plan = reflect.plan(said.text)
        self.talk.task += f"\n\nYour plan:\n{plan}"
        for line in plan.splitlines():
            self._told(line)

    async def _turn(self) -> tuple[bool, str]:
        """One answer and what it asks for: whether that solved it, and why it is over, if so."""
        said = await self._said("act", self.executor)
        if not said.calls:
            self._silent += 1
            if self._silent == SILENT:
                return False, f"the model calls no tool: {ends(said.text.strip(), 200)}"
            self.talk.add(said.message, Message("user", NUDGE))
            return False, ""
        self._silent = 0
        results: list[Message] = []
        worst: Observation | None = None
        is_circle = False
        for call in said.calls[:CALLS]:
            seen = await self._done(call)
            if seen.kind in ("solved", "gave up"):
                return seen.kind == "solved", seen.kind + _because(seen)
            text = self.fence.around("result", seen.text, source=call.name)
            results.append(Message("tool", text, (), call.id))
            if seen.kind == "failed":
                worst = seen
            is_circle |= self._circle.noticed(f"{call.name} {call.arguments}", seen.text)
        results += [
            Message("tool", f"Not done: more than {CALLS} calls at once.", (), call.id)
            for call in said.calls[CALLS:]
        ]
        self.talk.add(said.message, *results)
        if is_circle:
            if self._circle.found >= CIRCLES:
                return False, "it goes round in circles"
            await self._reflect(reflect.CIRCLE.format(times=reflect.TIMES), "a circle")
        elif worst and self.bench.edits > self._reflected:
            self._reflected = self.bench.edits
            await self._reflect(reflect.QUESTION, worst.text)
        return False, ""

    async def _done(self, call: ToolCall) -> Observation:
        """A result, of before if there is one. An edit is done again, and must give the same."""
        before = self._before("observe")
        if before is not None:
            seen = Observation(before["result"], before["outcome"])
            self.spent.seconds += before["seconds"]
            if call.name == "edit" and seen.kind != "error":
                self._again(call, before)
        else:
            self._told(_in_short(call))
            began = time.monotonic()
            seen = await asyncio.to_thread(self.bench.do, call)
            seen = replace(seen, text=self.fence.cleaned(seen.text))
            seconds = round(time.monotonic() - began, 3)
            self.spent.seconds += seconds
            told = {"tool": call.name, "arguments": call.arguments, "seconds": seconds}
            self.trajectory.add("observe", **told, result=seen.text, outcome=seen.kind)
        if call.name == "edit" and seen.kind == "told":
            self._last_edit = seen.text
        return seen

    def _again(self, call: ToolCall, before: dict[str, Any]) -> None:
        """Make an edit of before once more."""
        seen = self.bench.do(call)
        if (before["result"], before["outcome"]) != (self.fence.cleaned(seen.text), seen.kind):
            raise TandemError(
                f"Step {before['step']} of the trajectory gives something else now.",
                "The copy, the rules or the version is another: start a new run.",
            )

    async def _reflect(self, question: str, why: str) -> None:
        said = await self._said("reflect", self.planner, Message("user", question))
        note = reflect.reflection(said.text, self._last_edit, why)
        self.talk.note(note)
        self._told(note)

    async def _said(self, kind: str, model: Model, *last: Message) -> Said:
        """An answer, of before if there is one; what it cost counts in either case. The executor is
        offered the tools."""
        step = self._before(kind)
        if step is None:
            began = time.monotonic()
            said = await self._asked(kind, model, last)
            seconds = time.monotonic() - began
            step = self.trajectory.add(kind, **_as_step(said), seconds=round(seconds, 3))
        said = _of_step(step)
        self.spent.add(said.usage, step["seconds"])
        return said

    async def _asked(self, kind: str, model: Model, last: Sequence[Message]) -> Said:
        """Where the context is too small, with fewer of the last turns."""
        offered, warmth = (tools.offered(), self.temperature) if kind == "act" else ((), None)
        while True:
            messages = self.talk.messages(*last)
            try:
                return await self._answer(model.say(messages, offered, temperature=warmth))
            except TooMuch:
                if not self.talk.shorten():
                    raise

    async def _answer(self, asked: Coroutine[Any, Any, Said]) -> Said:
        self._asking = asyncio.ensure_future(asked)
        if self._stopped:
            self._asking.cancel()
        try:
            return await self._asking
        except asyncio.CancelledError as error:
            if not self._stopped:
                raise
            raise Stopped("it was stopped.") from error
        finally:
            self._asking = None

    def _told(self, line: object) -> None:
        """For a terminal, which must not obey what a model says."""
        self.tell(f"attempt {self.trajectory.attempt}: {shown(str(line))}")

    def _before(self, kind: str) -> dict[str, Any] | None:
        """The step of before that comes now, if there is one. Raises Ended where nothing else may
        be done."""
        step = self.trajectory.next(kind)
        if step is None and self.trajectory.read_only:
            raise Ended("the trajectory ends here.")
        return step


def _as_step(said: Said) -> dict[str, Any]:
    first = said.calls[0] if said.calls else None
    return {
        "text": said.text,
        "tool": first.name if first else "",
        "arguments": first.arguments if first else {},
        "calls": [vars(call) for call in said.calls],
        "finish": said.finish,
        "usage": vars(said.usage),
    }


def _of_step(step: dict[str, Any]) -> Said:
    calls = tuple(ToolCall(**call) for call in step["calls"])
    return Said(step["text"], calls, step["finish"], Usage(**step["usage"]))


def _in_short(call: ToolCall) -> str:
    told = call.arguments if isinstance(call.arguments, str) else list(call.arguments.values())
    return f"{call.name} {ends(' '.join(str(told).split()), 100)}".replace("\n", " ")


def _because(seen: Observation) -> str:
    return f": {ends(seen.text, 200)}" if seen.text else ""
