"""Which of the plausible patches to show first, and which of them have proved more than that.

A patch that passes the tests may still be wrong: of patches by templates alone about half are
(Qi et al., "An analysis of patch plausibility and correctness", ISSTA 2015). So each is put to
checks that the search never saw, and what it did there decides before its likelihood does.
"""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox import behaviour, mutants
from sandbox.behaviour import Function, Outcome, Standing
from sandbox.container import Sandbox
from sandbox.repair.change import Place, Proposal
from sandbox.suite import Suite
from sandbox.validate import Goal, Tests, Tried

Label = Literal["verified", "plausible"]

HELD_OUT_FROM = 3  # failing tests; of fewer, none can be spared
_MUTATED_TESTS = 3

_Pair = tuple[tuple[Outcome, ...], tuple[Outcome, ...]]  # inputs of passing tests, of failing ones


@dataclass(frozen=True)
class Check:
    """Something that the search did not see. `passed` None: it could not be made, `why` says so."""

    name: str
    passed: bool | None
    why: str


@dataclass(frozen=True)
class Judged:
    """A plausible patch, what was found out about it, and its place among the others.

    `size` is how many nodes of the syntax tree it adds or takes away.
    """

    tried: Tried
    checks: tuple[Check, ...]
    standing: Standing
    size: int
    group: int  # patches of one group behave alike on all inputs that were made

    @property
    def candidate(self) -> Proposal:
        return self.tried.candidate

    @property
    def label(self) -> Label:
        """Verified: none of the checks failed, and at least one of them could tell."""
        told = [check.passed for check in self.checks if check.passed is not None]
        return "verified" if told and all(told) else "plausible"


@dataclass(frozen=True)
class Judge:
    """What the checks need: a test server with the repository, its sandbox's twin to call functions
    in, the texts of all Python files, and tests that the search was not told of."""

    tests: Tests
    sandbox: Sandbox
    suite: Suite
    sources: Mapping[str, str]
    goal: Goal
    held_out: tuple[str, ...] = ()

    def judge(self, found: Sequence[Tried]) -> list[Judged]:
        """The best first."""
        inputs = self._inputs(found)
        made = []
        for one in found:
            standing, group = inputs[one.number]
            checks = (self._spared(one), self._turned(one), _inputs_check(standing))
            size = change_size(self.sources, one.candidate)
            made.append(Judged(one, checks, standing, size, group))
        return sorted(made, key=order)

    def _files(self, candidate: Proposal) -> dict[str, str | None]:
        return candidate.changed(self.sources)

    def _spared(self, one: Tried) -> Check:
        """The failing tests that the search did not see."""
        name = "held-out tests"
        if not self.held_out:
            return Check(name, None, "too few tests fail to spare any")
        run = self.tests.run(
            self.held_out,
            self._files(one.candidate),
            test_s=self.goal.test_s,
            limits=self.goal.limits,
        )
        passed = {result.id for result in run.results if result.outcome == "passed"}
        missing = [test for test in self.held_out if test not in passed]
        if missing:
            return Check(name, False, f"{len(missing)} fail, such as {missing[0]}")
        return Check(name, True, f"{len(self.held_out)} pass")

    def _turned(self, one: Tried) -> Check:
        """Failing tests with an expectation turned round must fail with the patch."""
        name = "tests turned round"
        made = 0
        for test in self.goal.failing[:_MUTATED_TESTS]:
            path = next((p for p in self.sources if _is_of(test, p)), "")
            for mutant in mutants.mutants(self.sources.get(path, ""), test):
                files = {**self._files(one.candidate), path: mutant.text}
                run = self.tests.run(
                    [test], files, test_s=self.goal.test_s, limits=self.goal.limits
                )
                made += 1
                if run.passed:
                    return Check(
                        name, False, f"{test} passes with `{mutant.now}` on line {mutant.line} too"
                    )
        if not made:
            return Check(name, None, "no failing test has an assertion that could be turned round")
        return Check(name, True, f"{made} fail, as they should")

    def _inputs(self, found: Sequence[Tried]) -> dict[int, tuple[Standing, int]]:
        """Standing and group by the number of the candidate. Those that change different
        functions are compared only within each."""
        by_function: dict[Function | None, list[Tried]] = {}
        for one in found:
            by_function.setdefault(self._function(one.candidate), []).append(one)
        told: dict[int, tuple[Standing, int]] = {}
        groups = 0
        for function, those in by_function.items():
            before, patches = self._played(function, those)
            standings = behaviour.standings(
                before[0], [one[0] for one in patches], before[1], [one[1] for one in patches]
            )
            numbers: dict[tuple[str, ...], int] = {}
            for one, standing, played in zip(those, standings, patches, strict=True):
                digests = tuple(outcome.digest for part in played for outcome in part)
                # Nothing is known of what was never called: each is a group of its own.
                key = digests or (str(one.number),)
                if key not in numbers:
                    numbers[key] = groups = groups + 1
                told[one.number] = standing, numbers[key]
        return told

    def _function(self, candidate: Proposal) -> Function | None:
        """Of several that are changed the first."""
        for place in candidate.places(self.sources):
            text = self.sources.get(place.path, "") if place.path.endswith(".py") else ""
            if found := behaviour.function_at(text, place.path, place.first):
                return found
        return None

    def _played(
        self, function: Function | None, those: Sequence[Tried]
    ) -> tuple[_Pair, list[_Pair]]:
        """Outcomes on inputs like those of passing and of failing tests: before, and of each."""
        nothing: _Pair = ((), ())
        if function is None or self.suite.kind != "pytest":
            return nothing, [nothing for _ in those]
        near = self.goal.near(Place(function.path, function.first, function.end))
        columns: list[tuple[tuple[Outcome, ...], list[tuple[Outcome, ...]]]] = []
        for tests in (near[:50], [*self.goal.failing, *self.held_out]):
            recording = behaviour.record(self.sandbox, function, tests) if tests else None
            if recording is None:
                columns.append(((), [() for _ in those]))
                continue
            before = behaviour.play(self.sandbox, recording, {})
            after = [
                behaviour.play(
                    self.sandbox,
                    recording,
                    {
                        path: None if text is None else text.encode()
                        for path, text in self._files(one.candidate).items()
                    },
                )
                for one in those
            ]
            columns.append((before, after))
        (passing, passed), (failing, failed) = columns
        return (passing, failing), list(zip(passed, failed, strict=True))


def order(one: Judged) -> tuple[object, ...]:
    """Verified ones first, then by their behaviour, then small ones, then as they were tried."""
    return one.label != "verified", -round(one.standing.score, 2), one.size, one.tried.number


def spared(failing: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which failing tests the search sees, and which are held out: every third from the end."""
    if len(failing) < HELD_OUT_FROM:
        return tuple(failing), ()
    held = tuple(failing[2::3])
    return tuple(test for test in failing if test not in set(held)), held


def change_size(sources: Mapping[str, str], candidate: Proposal) -> int:
    """Nodes of the syntax tree that differ: in kind and number, wherever they stand. Of files that
    have no tree, lines."""
    size = 0
    for path, text in candidate.changed(sources).items():
        before, after = (_nodes(path, one) for one in (sources.get(path, ""), text or ""))
        size += sum(abs(before[kind] - after[kind]) for kind in before.keys() | after)
    return size


def _nodes(path: str, text: str) -> Counter[str]:
    counts = Counter[str]()
    try:
        tree = ast.parse(text) if path.endswith(".py") else None
    except (SyntaxError, ValueError):
        tree = None
    if tree is None:
        return Counter(text.splitlines())
    for node in ast.walk(tree):
        parts = [type(node).__name__]
        for name in ("id", "attr", "value", "arg", "name"):
            value = getattr(node, name, None)
            if isinstance(value, str | int | float | bytes):
                parts.append(repr(value))
        key = " ".join(parts)
        counts[key] += 1
    return counts


def _inputs_check(standing: Standing) -> Check:
    name = "made inputs"
    if not standing.inputs:
        return Check(name, None, "no test calls the function in a way that could be repeated")
    if standing.broken:
        return Check(
            name, False, f"{standing.broken} of {standing.inputs} fail that did not before"
        )
    return Check(
        name, True, f"{standing.inputs}, of which {standing.kept:.0%} of the old as before"
    )


def _is_of(test: str, path: str) -> bool:
    """Whether a test's id names the file: `tests/test_x.py::test_a` or `tests.test_x.TestA.test_a`."""
    return test.startswith(f"{path}::") or test.startswith(
        f"{path.removesuffix('.py').replace('/', '.')}."
    )
