"""What the tests say: of a patch that is to mend them, or of a test that is to show an issue.

Both run in a warm sandbox that the attempt has for itself; nothing that comes out is more than a
hint, as `sandbox.verdict` judges what leaves.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from sandbox.agent import observe
from sandbox.agent.observe import Observation
from sandbox.messages import Run
from sandbox.suite import Suite, TestResult
from sandbox.tester import TestServer
from sandbox.validate import Goal

ALL_S = 300.0
WATCHED_S = 20.0  # of a test whose values are told: watching takes time
_REPRODUCED = 2  # times that it must fail
# An error of the test's own, if no line of the repository was on the way to it.
_OWN = frozenset({"NameError", "ImportError", "ModuleNotFoundError", "SyntaxError", "TypeError"})

Files = Mapping[str, str | None]


class Checks(Protocol):
    """`run` with no ids means all that the task is about. `close` frees the sandbox for a command."""

    def run(self, ids: Sequence[str], files: Files) -> Observation: ...
    def close(self) -> None: ...


@dataclass
class Mending:
    """Tests that fail are to pass, and those that pass to go on. What passes all is "solved"."""

    open_server: Callable[[], TestServer]
    goal: Goal
    _server: TestServer | None = field(default=None, init=False)

    def run(self, ids: Sequence[str], files: Files) -> Observation:
        known = [*self.goal.failing, *self.goal.passing]
        if unknown := next((id for id in ids if id not in set(known)), ""):
            near = difflib.get_close_matches(unknown, known, 3, 0.3)
            return Observation(f"There is no test {unknown!r}. Near: {', '.join(near)}", "error")
        self._server = self._server or self.open_server()
        wanted = list(ids) or list(self.goal.failing)
        run = self._run(wanted, files)
        if ids or not _all_pass(run, wanted):
            kind = "told" if _all_pass(run, wanted) else "failed"
            more = "" if ids or not self.goal.passing else "\nThe others were not run yet."
            return Observation(observe.of_tests(self._fuller(run, files)) + more, kind)
        rest = self._run(self.goal.passing, files) if self.goal.passing else Run()
        if self.goal.passing and not _all_pass(rest, self.goal.passing):
            told = f"The {len(wanted)} tests that failed pass now, but others do not any more.\n"
            return Observation(told + observe.of_tests(self._fuller(rest, files)), "failed")
        return Observation(f"All {len(known)} tests pass.", "solved")

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _fuller(self, run: Run, files: Files) -> Run:
        """With the values that the first of the failing tests saw: that is told by another run."""
        assert self._server is not None
        bad = [one.id for one in run.results if one.outcome in ("failed", "error")][: observe.TOLD]
        if not bad:
            return run
        watched = self._server.run(bad, files, coverage=True, values=True, test_s=WATCHED_S)
        seen = {one.id: one for one in watched.results if one.bad}
        return replace(run, results=tuple(seen.get(one.id, one) for one in run.results))

    def _run(self, ids: Sequence[str], files: Files) -> Run:
        assert self._server is not None
        goal = self.goal
        return self._server.run(ids, files, test_s=goal.test_s, limits=goal.limits, all_s=ALL_S)


@dataclass
class Reproducing:
    """The tests of one new file are to fail, by what the repository does. Then it is "solved"."""

    open_server: Callable[[Suite], TestServer]
    suite: Suite
    path: str
    _server: TestServer | None = field(default=None, init=False)

    def run(self, ids: Sequence[str], files: Files) -> Observation:
        """All of the new file, whatever is asked for."""
        if not files.get(self.path):
            return Observation(f"There is no {self.path} yet: write it with edit.", "error")
        self._server = self._server or self.open_server(only(self.suite, self.path))
        runs = [self._server.run(None, files, cold=True, all_s=ALL_S) for _ in range(_REPRODUCED)]
        bad = [{one.id for one in run.results if one.bad} for run in runs]
        told = observe.of_tests(runs[0])
        if runs[0].broken or not runs[0].results:
            return Observation(f"The test file does not run.\n{told}", "failed")
        if not bad[0]:
            return Observation("The test passes, so it does not show the issue.", "failed")
        if bad[0] != bad[1]:
            return Observation("The test fails only now and then.", "failed")
        own = next((one for one in runs[0].results if one.bad and self._by_itself(one)), None)
        if own is not None:
            return Observation(f"The test fails by an error of its own.\n{told}", "failed")
        return Observation(told, "solved")

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _by_itself(self, one: TestResult) -> bool:
        return one.kind in _OWN and all(frame.path == self.path for frame in one.frames)


def only(suite: Suite, path: str) -> Suite:
    """The suite's way to run tests, for one file; options that choose tests are left out."""
    assert suite.kind == "pytest"
    return replace(suite, args=(path,))


def _all_pass(run: Run, ids: Sequence[str]) -> bool:
    passed = {one.id for one in run.results if one.outcome == "passed"}
    return run.passed and passed.issuperset(ids)
