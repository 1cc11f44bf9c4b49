"""From a failing test to a patch that has proved itself: one run, stage by stage.

copy → image → baseline → suspects → candidates → search → checks → verdict → report. Each step is
a line of the run's audit log. Nothing outside of the run's folder is written, and no code of the
repository runs outside of a sandbox.
"""

import contextlib
import heapq
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import (
    audit,
    choose,
    image,
    pool,
    suite,
    suspects,
    tester,
    verdict,
    worktree,
)
from sandbox.ahead import Ahead
from sandbox.assistant import Assistant
from sandbox.choose import Judged
from sandbox.fixrun import Order, RunFolder
from sandbox.leaving import Leaving, may_change
from sandbox.probes import check
from sandbox.profile import Limits
from sandbox.repair import search
from sandbox.repair.catalogue import Template
from sandbox.repair.change import Candidate
from sandbox.report import Ended, Found, Report, Suspected
from sandbox.suite import Suite
from sandbox.validate import Budget, Goal, Search, Tried
from sandbox.verdict import Verdict
from sandbox.worktree import Snapshot
from tandem.errors import SandboxError

MOST_FILES = 12  # that candidates are made for
MOST_OTHERS = 200  # Python files of the repository that are read beside them


@dataclass
class Fix:
    """One run; an `assistant` puts a model's word in."""

    run_folder: RunFolder
    log: audit.Log
    tell: Callable[[str, int, int], None] = lambda stage, done, total: None
    note: Callable[[str], None] = lambda line: None
    assistant: Assistant | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._order = self.run_folder.order()
        self._notes: list[str] = []
        self._seconds: dict[str, float] = {}
        self._search: Search | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the search soon, with a report of what was found so far."""
        self._stopped = True
        if self._search:
            self._search.stop()

    def localise(self) -> tuple[suspects.Found, Suite]:
        """The suspicious lines alone. Raises TandemError."""
        with contextlib.ExitStack() as stack:
            copy, tests, boxes = self._opened(stack)
            return self._found(copy, tests, boxes), tests

    def run(self) -> Report:
        """Raises TandemError where a run cannot go on; the folder is left to be resumed."""
        with contextlib.ExitStack() as stack:
            copy, tests, boxes = self._opened(stack)
            found = self._found(copy, tests, boxes)
            baseline = found.baseline
            failing = tuple(one.id for one in baseline.failing)
            seen, held_out = choose.spared(failing)
            goal = Goal(seen, baseline.passing, baseline.covered, baseline.limits, baseline.test_s)
            tried: list[Tried] = []
            judged: list[Judged] = []
            sources = {**self._others(copy), **found.sources}
            if failing:
                with self._stage("search"):
                    tried = self._tried(copy, tests, boxes, goal, found, sources)
                plausible = [one for one in tried if one.plausible]
                if plausible:
                    with self._stage("checks"):
                        judged = self._judged(
                            copy, tests, boxes, goal, held_out, sources, plausible
                        )
            with self._stage("verdict"):
                results = self._results(copy, tests, boxes, found, judged, sources)
            report = self._report(copy, tests, found, tried, results)
        report.save(self.run_folder.root / "report.json")
        self.log.append("report", ended=report.ended, found=len(report.found))
        return report

    def _opened(self, stack: contextlib.ExitStack) -> tuple[Snapshot, Suite, pool.Pool]:
        with self._stage("copy"):
            copy = self.run_folder.copy()
            tests = suite.parse(self._order.test) if self._order.test else suite.find(copy.root)
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
        return copy, tests, boxes

    def _found(self, copy: Snapshot, tests: Suite, boxes: pool.Pool) -> suspects.Found:
        with self._stage("baseline"):
            found = suspects.find(copy.root, tests, boxes)
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
        top = [f"{one.path}:{one.line}" for one in found.suspects[:10]]
        self.log.append("suspects", count=len(found.suspects), first=top)
        return found

    def _tried(
        self,
        copy: Snapshot,
        tests: Suite,
        boxes: pool.Pool,
        goal: Goal,
        found: suspects.Found,
        sources: Mapping[str, str],
    ) -> list[Tried]:
        before = self.run_folder.tried()
        with contextlib.ExitStack() as stack:
            workers = []
            for _ in range(self._order.workers):
                sandbox = stack.enter_context(boxes.sandbox())
                server = tester.in_sandbox(sandbox, tests, copy.root)
                stack.callback(server.close)
                workers.append(server)
            budget = Budget(self._order.seconds, self._order.candidates)
            self._search = Search(workers, goal, found.sources, budget)
            if self._stopped:
                return before
            done, spent = len(before), 0.0

            def tried(one: Tried) -> None:
                nonlocal done, spent
                done, spent = done + 1, spent + one.seconds
                self.run_folder.add(one)
                if one.plausible:
                    self.log.append("plausible", number=one.number, template=one.candidate.template)
                self.tell(f"trying candidates, {done} tried", done, 0)

            candidates = self._candidates(found, sources)
            if self.assistant:
                mixed = self._candidates(found, sources, self.assistant.infiller)

                def trying_s() -> float:
                    new = done - len(before)
                    return spent / new / self._order.workers if new else math.inf

                candidates = self.assistant.ordered(candidates, mixed, found.sources, trying_s)
            new = self._search.run(stack.enter_context(Ahead(candidates)), tried, before)
        self.log.append("searched", tried=len(before) + len(new))
        return [*before, *new]

    def _candidates(
        self, found: suspects.Found, sources: Mapping[str, str], model: Template | None = None
    ) -> Iterator[Candidate]:
        """Of all files that may be changed, by falling prior."""
        best: dict[str, float] = {}
        for one in found.suspects:
            if may_change(one.path) and one.path in found.sources:
                best[one.path] = max(best.get(one.path, 0.0), one.score)
        files = sorted(best, key=lambda path: (-best[path], path))[:MOST_FILES]
        streams = [
            search.candidates(
                found.sources[path],
                path,
                found.suspects,
                {other: text for other, text in sources.items() if other != path},
                model=model,
            )
            for path in files
        ]
        return heapq.merge(*streams, key=lambda one: -one.prior)

    def _judged(
        self,
        copy: Snapshot,
        tests: Suite,
        boxes: pool.Pool,
        goal: Goal,
        held_out: tuple[str, ...],
        sources: Mapping[str, str],
        plausible: Sequence[Tried],
    ) -> list[Judged]:
        with contextlib.ExitStack() as stack:
            server = tester.in_sandbox(stack.enter_context(boxes.sandbox()), tests, copy.root)
            stack.callback(server.close)
            other = stack.enter_context(
                boxes.sandbox() if self._order.workers > 1 else boxes.fresh()
            )
            judge = choose.Judge(server, other, tests, sources, goal, held_out)
            judged = judge.judge(plausible)
        for one in judged:
            checks = {check.name: check.passed for check in one.checks}
            self.log.append("judged", number=one.tried.number, label=one.label, **checks)
        return judged

    def _others(self, copy: Snapshot) -> dict[str, str]:
        """Python files of the repository: pieces are taken from them, and tests read in them."""
        texts: dict[str, str] = {}
        for path in copy.files:
            if len(texts) >= MOST_OTHERS:
                break
            file = copy.root / path
            if path.endswith(".py") and file.is_file() and not file.is_symlink():
                with contextlib.suppress(ValueError, OSError):
                    texts[path] = copy.text(path)
        return texts

    def _results(
        self,
        copy: Snapshot,
        tests: Suite,
        boxes: pool.Pool,
        found: suspects.Found,
        judged: Sequence[Judged],
        sources: Mapping[str, str],
    ) -> list[Found]:
        def judge(files: Mapping[str, str | None]) -> Verdict:
            with boxes.fresh() as fresh:
                return verdict.judge_in(fresh, tests, copy.root, found.baseline, files)

        leaving = Leaving(sources, found.suspects, judge, self.log, self._add_note)
        return leaving.of(judged)

    def _report(
        self,
        copy: Snapshot,
        tests: Suite,
        found: suspects.Found,
        tried: Sequence[Tried],
        results: Sequence[Found],
    ) -> Report:
        stages: dict[str, int] = {}
        for one in tried:
            stages[one.stage] = stages.get(one.stage, 0) + 1
        failing = tuple(one.id for one in found.baseline.failing)
        ended: Ended = "fixed" if results else "no fix"
        if not failing and not found.baseline.broken:
            ended = "nothing fails"
        elif self._stopped and not results:
            ended = "stopped"
        lines = tuple(
            Suspected(s.path, s.line, s.score, s.why, suspects.line_of(found.sources, s))
            for s in found.suspects[:50]
        )
        return Report(
            self.run_folder.id,
            ended,
            self._order.repository,
            copy.base,
            str(tests),
            failing,
            len(found.baseline.passing),
            found.baseline.flaky,
            lines,
            stages,
            tuple(results),
            {name: round(seconds, 2) for name, seconds in self._seconds.items()},
            self.assistant.name if self.assistant else "",
            tuple(self._notes),
        )

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
