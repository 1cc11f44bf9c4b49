"""Tries candidates against the tests, cheapest first, in several sandboxes side by side.

What runs here ranks: the tests could forge it, so nothing is called fixed before `sandbox.verdict`
has said so in a container of its own.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sandbox.repair.change import Place, Proposal
from sandbox.tester import Run

Stage = Literal["failing", "covering", "all", "passed", "lost"]

NEAR = 3  # lines: tests that ran a line so near to the change are asked before the others
# After the first plausible one, so many candidates more are tried, as others may be better.
AFTER_FIRST = 60
WANTED = 8  # plausible ones; then enough is known
_ALL_S = 300.0


class Tests(Protocol):
    """What a `TestServer` offers here."""

    def run(
        self,
        ids: Sequence[str] | None = None,
        files: Mapping[str, str | None] | None = None,
        *,
        fail_fast: bool = False,
        test_s: float = 10.0,
        limits: Mapping[str, float] | None = None,
        all_s: float = 600.0,
    ) -> Run: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Goal:
    """What a patch must do: make `failing` pass and keep `passing` so.

    `covered`: lines by path that each passing test ran. `limits`: seconds that a test may take.
    """

    failing: tuple[str, ...]
    passing: tuple[str, ...]
    covered: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    test_s: float = 10.0

    def near(self, *places: Place) -> list[str]:
        """The passing tests that ran a line of these places, or one near it."""
        wanted = [(one.path, range(one.first - NEAR, one.last + NEAR + 1)) for one in places]
        return [
            test
            for test in self.passing
            if any(
                line in lines
                for path, lines in wanted
                for line in self.covered.get(test, {}).get(path, ())
            )
        ]


@dataclass(frozen=True)
class Tried:
    """A candidate and how far it came: the stage whose tests it failed, or "passed".

    "lost": its sandbox or test server did not live to tell. `number` counts from 1 in the order
    of the candidates; `test` is the one that failed.
    """

    number: int
    candidate: Proposal
    stage: Stage
    seconds: float
    test: str = ""

    @property
    def plausible(self) -> bool:
        return self.stage == "passed"


@dataclass
class Budget:
    """When to stop looking: `seconds` of the wall clock, `candidates` tried."""

    seconds: float = 600.0
    candidates: int = 20_000
    after_first: int = AFTER_FIRST
    wanted: int = WANTED


class Search:
    """One search over the candidates of `sources`, with one `Tests` for each worker."""

    def __init__(
        self, workers: Sequence[Tests], goal: Goal, sources: Mapping[str, str], budget: Budget
    ) -> None:
        assert workers
        self._workers, self._goal, self._sources, self._budget = workers, goal, sources, budget
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._taken = self._plausible = 0
        self._first = 0  # the number of the first plausible candidate

    def stop(self) -> None:
        """End soon; what is being tried is finished."""
        self._stop.set()

    def run(
        self,
        candidates: Iterable[Proposal],
        on_tried: Callable[[Tried], None] = lambda one: None,
        known: Sequence[Tried] = (),
        first: int = 1,
    ) -> list[Tried]:
        """All that were tried, by number, which count from `first`. What is `known` from before is
        not tried again.

        `on_tried` is called by one thread at a time, in the order in which they end.
        """
        numbered = enumerate(candidates, first)
        tried = list[Tried]()
        self._taken = len(known)
        for one in known:
            self._count(one)
        before = frozenset(one.candidate for one in known)
        end = time.monotonic() + self._budget.seconds
        with ThreadPoolExecutor(len(self._workers)) as threads:
            work = [
                threads.submit(self._work, worker, numbered, before, end, tried, on_tried)
                for worker in self._workers
            ]
            try:
                for one in work:
                    one.result()
            except BaseException:
                self.stop()
                raise
        return sorted(tried, key=lambda one: one.number)

    def _work(
        self,
        worker: Tests,
        numbered: Iterator[tuple[int, Proposal]],
        before: frozenset[Proposal],
        end: float,
        tried: list[Tried],
        on_tried: Callable[[Tried], None],
    ) -> None:
        while not self._stop.is_set() and time.monotonic() < end:
            with self._lock:
                if self._enough():
                    return
                number, candidate = next(numbered, (0, None))
                if candidate is None:
                    return
                if candidate in before:
                    continue
                self._taken += 1
            found = self._try(worker, number, candidate)
            with self._lock:
                tried.append(found)
                self._count(found)
                on_tried(found)

    def _count(self, found: Tried) -> None:
        if found.plausible:
            self._plausible += 1
            self._first = min(self._first or found.number, found.number)

    def _enough(self) -> bool:
        budget = self._budget
        if self._taken >= budget.candidates or self._plausible >= budget.wanted:
            return True
        return bool(self._first) and self._taken >= self._first + budget.after_first

    def _try(self, worker: Tests, number: int, candidate: Proposal) -> Tried:
        began = time.monotonic()
        files = candidate.changed(self._sources)
        near = self._goal.near(*candidate.places(self._sources))
        rest = [test for test in self._goal.passing if test not in set(near)]
        stages: list[tuple[Stage, Sequence[str]]] = [
            ("failing", self._goal.failing),
            ("covering", near),
            ("all", rest),
        ]
        for stage, ids in stages:
            if not ids:
                continue
            run = worker.run(
                ids,
                files,
                fail_fast=True,
                test_s=self._goal.test_s,
                limits=self._goal.limits,
                all_s=_ALL_S,
            )
            passed = {one.id for one in run.results if one.outcome == "passed"}
            if not run.passed or not passed.issuperset(ids):
                bad = next((one.id for one in run.results if one.bad), "")
                lost = run.why in ("died", "refused") and not bad
                seconds = time.monotonic() - began
                return Tried(number, candidate, "lost" if lost else stage, seconds, bad)
        return Tried(number, candidate, "passed", time.monotonic() - began)
