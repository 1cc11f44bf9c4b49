"""From a failing test to a patch that has proved itself: one run, stage by stage.

copy → image → baseline → suspects → candidates → search → checks → verdict → report. Each step is
a line of the run's audit log. Nothing outside of the run's folder is written, and no code of the
repository runs outside of a sandbox.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox import (
    audit,
    candidates,
    choose,
    episodes,
    image,
    pool,
    suite,
    suspects,
    symptom,
    tester,
    verdict,
    worktree,
)
from sandbox.agent import reproduction, team
from sandbox.agent.reproduction import Reproduction
from sandbox.agent.team import Team
from sandbox.assistant import Assistant
from sandbox.choose import Judged
from sandbox.fixrun import Order, RunFolder
from sandbox.leaving import Leaving
from sandbox.probes import check
from sandbox.profile import Limits
from sandbox.report import Ended, Found, Report, Suspected
from sandbox.suite import Suite
from sandbox.trials import Trials
from sandbox.validate import Goal, Tried
from sandbox.verdict import Verdict
from sandbox.workplace import Workplace
from tandem.errors import SandboxError


@dataclass
class Fix:
    """One run; an `assistant` puts a model's word in, a `team` of agents proposes what templates
    do not reach."""

    run_folder: RunFolder
    log: audit.Log
    tell: Callable[[str, int, int], None] = lambda stage, done, total: None
    note: Callable[[str], None] = lambda line: None
    assistant: Assistant | None = None
    team: Team | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._order = self.run_folder.order()
        self._notes: list[str] = []
        self._seconds: dict[str, float] = {}
        self._trials = Trials(self.run_folder, self.log, self.tell)
        self._shown: Reproduction | None = None

    def stop(self) -> None:
        """End the search soon, with a report of what was found so far."""
        self._trials.stop()
        if self.team:
            self.team.stop()

    def localise(self) -> tuple[suspects.Found, Suite]:
        """The suspicious lines alone. Raises TandemError."""
        with contextlib.ExitStack() as stack:
            at = self._opened(stack)
            return self._found(at), at.tests

    def run(self) -> Report:
        """Raises TandemError where a run cannot go on; the folder is left to be resumed."""
        with contextlib.ExitStack() as stack:
            at = self._opened(stack)
            found = self._found(at)
            if self.team and self.team.issue and not found.baseline.failing:
                at, found = self._reproduced(stack, at, found)
            baseline = found.baseline
            failing = tuple(one.id for one in baseline.failing)
            seen, held_out = choose.spared(failing)
            goal = Goal(seen, baseline.passing, baseline.covered, baseline.limits, baseline.test_s)
            tried: list[Tried] = []
            judged: list[Judged] = []
            sources = {**candidates.others(at.copy), **found.sources}
            if failing:
                tried = self._all_tried(at, goal, found, sources)
                plausible = [one for one in tried if one.plausible]
                if plausible:
                    with self._stage("checks"):
                        judged = self._judged(at, goal, held_out, sources, plausible)
            with self._stage("verdict"):
                results = self._results(at, found, judged, sources)
            report = self._report(at, found, tried, results)
        report.save(self.run_folder.root / "report.json")
        self.log.append("report", ended=report.ended, found=len(report.found))
        return report

    def _reproduced(
        self, stack: contextlib.ExitStack, at: Workplace, found: suspects.Found
    ) -> tuple[Workplace, suspects.Found]:
        """All of it with a test in it that shows the issue, if one comes to be."""
        assert self.team
        with self._stage("reproduction"):
            self._shown = self.team.reproduce(self.run_folder, at)
        if self._shown is None:
            self._add_note("no test that shows the issue was found")
            return at, found
        self._shown.save(self.run_folder.root)
        self.log.append("reproduction", path=self._shown.path, text=self._shown.text)
        at.boxes.close()
        at = self._opened(stack)
        return at, self._found(at)

    def _all_tried(
        self, at: Workplace, goal: Goal, found: suspects.Found, sources: dict[str, str]
    ) -> list[Tried]:
        """Of the templates and of the agents; the second of them only if the first found nothing.

        `sources` gets the texts of what an agent changed.
        """
        tried: list[Tried] = []
        order = ["templates", "agents"] if not self._order.agent else ["agents", "templates"]
        for who in order:
            if any(one.plausible for one in tried) or self._trials.stopped:
                break
            if who == "templates":
                with self._stage("search"):
                    tried += self._trials.of_templates(at, goal, found, sources, self.assistant)
            elif self.team:
                with self._stage("agent"):
                    ended = self.team.mend(self.run_folder, at, goal, found)
                for one in ended:
                    told = {"solved": one.solved, "why": one.why, "files": sorted(one.files)}
                    self.log.append("attempt", name=one.attempt, **told, **vars(one.spent))
                made = team.proposals(ended)
                paths = {path for one in made for path, _ in one.files} & set(at.copy.files)
                sources |= {path: at.copy.text(path) for path in paths}
                with self._stage("search"):
                    tried += self._trials.of_agents(at, goal, sources, made, len(tried))
        return tried

    def _opened(self, stack: contextlib.ExitStack) -> Workplace:
        with self._stage("copy"):
            copy = self.run_folder.copy()
            tests = suite.parse(self._order.test) if self._order.test else suite.find(copy.root)
        if shown := reproduction.known(self.run_folder.root):
            self._shown = shown
            copy, tests = shown.added(copy, tests)
        for path, why in copy.left_out:
            self._add_note(f"left out of the copy: {path}, {why}")
        self.log.append("copy", base=copy.base, files=len(copy.files), tests=str(tests))
        with self._stage("sandbox"):
            check.must_hold(self.note)
            tar = worktree.tar_of(copy)
            tag = image.image_for(copy.root, tar, tell=self._add_note)
            boxes = pool.Pool(tag, tar, self.limits, self._order.workers)
            stack.enter_context(boxes)
        self.log.append("sandbox", image=tag, workers=self._order.workers)
        return Workplace(copy, tests, boxes)

    def _found(self, at: Workplace) -> suspects.Found:
        with self._stage("baseline"):
            found = suspects.find(at.copy.root, at.tests, at.boxes)
        baseline = found.baseline
        if not baseline.collected and not baseline.failing and not baseline.passing:
            why = baseline.broken[0].message if baseline.broken else "no test was found"
            raise SandboxError(f"The tests did not run: {why}", 'Name them with --test "CMD".')
        for line in baseline.notes:
            self._add_note(line)
        self.log.append(
            "baseline",
            failing=[one.id for one in baseline.failing],
            passing=len(baseline.passing),
            flaky=list(baseline.flaky),
        )
        self._recall(found)
        top = [f"{one.path}:{one.line}" for one in found.suspects[:10]]
        self.log.append("suspects", count=len(found.suspects), first=top)
        return found

    def _recall(self, found: suspects.Found) -> None:
        """What fixed the like of it here before, as templates of this run."""
        seen = symptom.of_all(found.baseline.failing, found.sources)
        self.run_folder.keep_symptoms(seen)
        kept = episodes.known(Path(self._order.repository))
        self._trials.memories, self._trials.priors = episodes.templates(kept, seen)
        if self._trials.memories:
            self.log.append("recalled", priors=dict(self._trials.priors))

    def _judged(
        self,
        at: Workplace,
        goal: Goal,
        held_out: tuple[str, ...],
        sources: Mapping[str, str],
        plausible: Sequence[Tried],
    ) -> list[Judged]:
        with contextlib.ExitStack() as stack:
            server = tester.in_sandbox(
                stack.enter_context(at.boxes.sandbox()), at.tests, at.copy.root
            )
            stack.callback(server.close)
            other = stack.enter_context(
                at.boxes.sandbox() if self._order.workers > 1 else at.boxes.fresh()
            )
            judge = choose.Judge(server, other, at.tests, sources, goal, held_out)
            judged = judge.judge(plausible)
        for one in judged:
            checks = {check.name: check.passed for check in one.checks}
            self.log.append("judged", number=one.tried.number, label=one.label, **checks)
        return judged

    def _results(
        self,
        at: Workplace,
        found: suspects.Found,
        judged: Sequence[Judged],
        sources: Mapping[str, str],
    ) -> list[Found]:
        def judge(files: Mapping[str, str | None]) -> Verdict:
            with at.boxes.fresh() as fresh:
                return verdict.judge_in(fresh, at.tests, at.copy.root, found.baseline, files)

        leaving = Leaving(sources, found.suspects, judge, self.log, self._add_note)
        if self.team and self.team.approval:
            leaving = replace(leaving, granted=self.team.approval.granted)
        results = leaving.of(judged)
        return reproduction.weighed(results) if self._shown else results

    def _report(
        self, at: Workplace, found: suspects.Found, tried: Sequence[Tried], results: Sequence[Found]
    ) -> Report:
        stages: dict[str, int] = {}
        shown = self._shown
        for one in tried:
            stages[one.stage] = stages.get(one.stage, 0) + 1
        failing = tuple(one.id for one in found.baseline.failing)
        # Of an issue that no test shows nobody knows whether it is mended.
        has_issue = self.team is not None and bool(self.team.issue)
        ended: Ended = "fixed" if results else "no fix"
        if not failing and not found.baseline.broken and not has_issue:
            ended = "nothing fails"
        elif self._trials.stopped and not results:
            ended = "stopped"
        lines = tuple(
            Suspected(s.path, s.line, s.score, s.why, suspects.line_of(found.sources, s))
            for s in found.suspects[:50]
        )
        return Report(
            self.run_folder.id,
            ended,
            self._order.repository,
            at.copy.base,
            str(at.tests),
            failing,
            len(found.baseline.passing),
            found.baseline.flaky,
            lines,
            stages,
            tuple(results),
            {name: round(seconds, 2) for name, seconds in self._seconds.items()},
            self._model(results),
            tuple(self._notes),
            {"path": shown.path, "text": shown.text} if shown else {},
        )

    def _model(self, results: Sequence[Found]) -> str:
        """Whose work it is."""
        if self.team and results and results[0].template.startswith("agent"):
            return self.team.name
        return self.assistant.name if self.assistant else ""

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.tell(name, 0, 0)
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - began

    def _add_note(self, line: str) -> None:
        self._notes.append(line)
        self.note(line)


def order_of(repository: Path, **options: object) -> Order:
    """An order for a repository, whose path is made absolute."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    defaults = {"workers": max(1, min(8, cores or 1))}
    return Order(str(repository.resolve()), **{**defaults, **options})  # pyright: ignore[reportArgumentType]
