"""What templates and agents propose, tried in a run's sandboxes; each try is kept in its folder."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sandbox import audit, candidates, suspects, tester
from sandbox.ahead import Ahead
from sandbox.assistant import Assistant
from sandbox.fixrun import RunFolder
from sandbox.repair.catalogue import Template
from sandbox.repair.change import Rewrite
from sandbox.validate import Budget, Goal, Search, Tried
from sandbox.workplace import Workplace


@dataclass
class Trials:
    """Of one run. `memories` are templates of what mended the like of it before, and `priors` how
    likely they are. After `stop`, from any thread, a search ends soon and none begins."""

    run_folder: RunFolder
    log: audit.Log
    tell: Callable[[str, int, int], None]
    memories: Mapping[str, Template] = field(default_factory=dict)
    priors: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False
    _search: Search | None = None

    def stop(self) -> None:
        self.stopped = True
        if self._search:
            self._search.stop()

    def of_templates(
        self,
        at: Workplace,
        goal: Goal,
        found: suspects.Found,
        sources: Mapping[str, str],
        assistant: Assistant | None,
    ) -> list[Tried]:
        """With those of before, if the run was begun before."""
        order, before = self.run_folder.order(), self.run_folder.tried()
        with contextlib.ExitStack() as stack:
            workers = []
            for _ in range(order.workers):
                sandbox = stack.enter_context(at.boxes.sandbox())
                server = tester.in_sandbox(sandbox, at.tests, at.copy.root)
                stack.callback(server.close)
                workers.append(server)
            budget = Budget(order.seconds, order.candidates)
            self._search = Search(workers, goal, found.sources, budget)
            if self.stopped:
                return before
            done, spent = 0, 0.0

            def tried(one: Tried) -> None:
                nonlocal done, spent
                done, spent = done + 1, spent + one.seconds
                self.run_folder.add(one)
                if one.plausible:
                    self.log.append("plausible", number=one.number, template=one.candidate.template)
                self.tell(f"trying candidates, {len(before) + done} tried", len(before) + done, 0)

            def trying_s() -> float:
                return spent / done / order.workers if done else math.inf

            known = self.priors, self.memories
            stream = candidates.of_templates(found, sources, None, *known)
            if assistant:
                mixed = candidates.of_templates(found, sources, assistant.infiller, *known)
                stream = assistant.ordered(stream, mixed, found.sources, trying_s)
            new = self._search.run(stack.enter_context(Ahead(stream)), tried, before)
        self.log.append("searched", tried=len(before) + len(new))
        return [*before, *new]

    def of_agents(
        self,
        at: Workplace,
        goal: Goal,
        sources: Mapping[str, str],
        made: Sequence[Rewrite],
        before: int,
    ) -> list[Tried]:
        """Their patches, tried as the templates' are; `before` them others were."""
        with at.boxes.sandbox() as sandbox:
            server = tester.in_sandbox(sandbox, at.tests, at.copy.root)
            try:
                search = Search([server], goal, sources, Budget(wanted=len(made) + 1))
                tried = search.run(made, first=before + 1)
            finally:
                server.close()
        for one in tried:
            self.log.append("tried", number=one.number, stage=one.stage, test=one.test)
        return tried
