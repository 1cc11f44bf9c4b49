"""How the tests stand before any change: which fail, pass, are flaky, and how long they take."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sandbox.messages import Run
from sandbox.suite import TestResult
from sandbox.tester import TestServer

FIRST_S = 2.0  # a test's first limit; the slow ones get a second chance
LONGEST_PATIENCE_S = 30.0
RERUN_S = 3.0  # failing tests that take longer are not run again, to see if they are flaky
SLOWER = 10.0  # a mutant's test may take as many times as long as before
SHORTEST_LIMIT_S = 1.0
TRACED = 20.0  # line by line is so much slower at worst
WATCHED_S = 20.0  # passing tests are watched, the quickest first, until they took so long unwatched
WATCHED_BAD_S = 5.0  # a failing test that is stopped tells its lines, too
WATCHED_ENDLESS = 3  # of the variants of one test


@dataclass(frozen=True)
class Baseline:
    """`failing` holds frames and values; `broken` are files that could not be collected.

    `seconds` are each test's own; `test_s` is the limit for a test of a changed program, `limits`
    those of the slower ones.
    """

    failing: tuple[TestResult, ...] = ()
    passing: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    broken: tuple[TestResult, ...] = ()
    collected: tuple[str, ...] = ()
    covered: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    test_s: float = SHORTEST_LIMIT_S
    limits: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def results(self) -> list[TestResult]:
        """Failing, broken and passing ones, as `localize` wants them."""
        passed = [TestResult(id, "passed", self.seconds.get(id, 0.0)) for id in self.passing]
        return [*self.failing, *self.broken, *passed]


def measure(
    server: TestServer,
    ids: Sequence[str] | None = None,
    patience_s: float = 8.0,
    reruns: int = 2,
) -> Baseline:
    """Run the tests (`ids`: only these), again, and once more with their lines watched.

    A test that once passes and once does not is flaky and is set aside. `patience_s` is what a slow
    test may take at least, and more where others are slow; one that takes longer counts as endless.
    """
    first = _with_patience(server, server.run(ids, test_s=FIRST_S), patience_s)
    seen: dict[str, list[TestResult]] = {result.id: [result] for result in first.results}
    test_s, limits = _limits(first)
    # Passing tests are run again by the watched run below; flaky ones mostly show as failures.
    again = [
        r.id for r in first.results if r.outcome in ("failed", "error") and r.seconds < RERUN_S
    ]
    for _ in range(reruns if again else 0):
        for result in server.run(again, test_s=test_s, limits=limits).results:
            seen[result.id].append(result)
    watched = _watched(server, first, test_s, limits)
    differing = [
        r.id
        for r in watched.results
        if r.bad != seen[r.id][0].bad
        and r.outcome != "timeout"
        and "timeout" not in (r.outcome, seen[r.id][0].outcome)
    ]
    if differing:  # the watching could be at fault: only what differs without it is flaky
        for result in server.run(differing, test_s=test_s, limits=limits).results:
            seen[result.id].append(result)
    flaky = {id for id, runs in seen.items() if len({r.bad for r in runs}) > 1}
    told = {result.id: result for result in watched.results if result.bad}
    failing = [r for r in first.results if r.bad and r.id not in flaky]
    return Baseline(
        failing=tuple(_fuller(result, told.get(result.id)) for result in failing),
        passing=tuple(r.id for r in first.results if r.outcome == "passed" and r.id not in flaky),
        flaky=tuple(sorted(flaky)),
        skipped=tuple(r.id for r in first.results if r.outcome == "skipped"),
        broken=first.broken,
        collected=first.collected,
        covered=watched.covered,
        seconds={r.id: r.seconds for r in first.results if r.outcome != "timeout"},
        test_s=test_s,
        limits=limits,
        notes=tuple(_notes(first, watched, flaky)),
    )


def _with_patience(server: TestServer, run: Run, patience_s: float) -> Run:
    """Give the tests that were stopped more time: one of each function first, and the others only
    if that passed, as most variants of an endless test are endless, too.
    """
    slowest = max((r.seconds for r in run.results if r.outcome != "timeout"), default=0.0)
    patience_s = max(patience_s, min(LONGEST_PATIENCE_S, SLOWER * slowest))
    stopped: dict[str, list[str]] = {}
    for result in run.results:
        if result.outcome == "timeout":
            stopped.setdefault(result.id.split("[")[0], []).append(result.id)
    better: dict[str, TestResult] = {}
    for same in stopped.values():
        ended = server.run(same[:1], test_s=patience_s).results
        if same[1:] and any(result.outcome == "passed" for result in ended):
            ended += server.run(same[1:], test_s=patience_s).results
        better |= {result.id: result for result in ended}
    return replace(run, results=tuple(better.get(result.id, result) for result in run.results))


def _limits(run: Run) -> tuple[float, dict[str, float]]:
    """The usual limit of a test, and those of the slower ones.

    Tests that were stopped get the time of the slowest of the others: when mended they are like
    those.
    """
    slow = {r.id: r.seconds * SLOWER for r in run.results if r.outcome != "timeout"}
    limits = {id: seconds for id, seconds in slow.items() if seconds > SHORTEST_LIMIT_S}
    most = max([SHORTEST_LIMIT_S, *limits.values()])
    ended = {r.id: most for r in run.results if r.outcome == "timeout" and limits}
    return SHORTEST_LIMIT_S, {**limits, **ended}


def _watched(server: TestServer, first: Run, test_s: float, limits: Mapping[str, float]) -> Run:
    """The lines of each test, and the values that failing ones got."""
    bad, functions = [], Counter[str]()
    for result in first.results:
        function = result.id.split("[")[0]
        functions[function] += result.outcome == "timeout"
        # Variants of one endless test tell the same lines, and each is waited for.
        if result.bad and (result.outcome != "timeout" or functions[function] <= WATCHED_ENDLESS):
            bad.append(result.id)
    endless = {r.id: test_s for r in first.results if r.outcome == "timeout"}
    good, spent = [], 0.0
    passing = [result for result in first.results if result.outcome == "passed"]
    for result in sorted(passing, key=lambda result: result.seconds):
        spent += result.seconds
        if spent < WATCHED_S or not good:
            good.append(result.id)
    more = {id: limit * TRACED for id, limit in limits.items()}
    runs = []
    if bad:
        few = {"test_s": WATCHED_BAD_S, "limits": endless}
        runs.append(server.run(bad, coverage=True, values=True, **few))
    if good:
        runs.append(server.run(good, coverage=True, test_s=test_s * TRACED, limits=more))
    return Run(
        results=tuple(result for run in runs for result in run.results),
        covered={id: lines for run in runs for id, lines in run.covered.items()},
    )


def _fuller(result: TestResult, watched: TestResult | None) -> TestResult:
    """The plain run's outcome with the watched one's values, if it failed in the same way."""
    if watched is None or watched.kind != result.kind:
        return result
    return replace(watched, outcome=result.outcome, seconds=result.seconds)


def _notes(first: Run, watched: Run, flaky: set[str]) -> list[str]:
    notes = []
    if flaky:
        names = ", ".join(sorted(flaky)[:3]) + (", …" if len(flaky) > 3 else "")
        notes.append(f"{len(flaky)} flaky tests are set aside: {names}")
    if first.broken:
        notes.append(
            f"{len(first.broken)} test files cannot be collected: {first.broken[0].message}"
        )
    if first.why != "done" and first.results:
        notes.append(f"the first run ended early ({first.why})")
    lost = [r.id for r in first.results if r.outcome == "passed" and r.id not in watched.covered]
    if lost:
        notes.append(f"{len(lost)} passing tests, slow ones, were not watched line by line")
    return notes
