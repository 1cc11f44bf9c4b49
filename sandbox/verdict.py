"""Does a patch really mend the tests? Judged from outside, in a fresh container.

The quick runner's word is not taken: the tests run in the same process as the code that they test,
which may have changed pytest, its reporter or the exit code. So this judge, which is no process of
the container, plants tests whose outcome it knows, compares which tests there are with before, takes
results only with a word that it gave to this run, asks pytest a second time, for its own report and
exit code, and a third time in a container where nothing of ours runs, for what Docker tells. What it cannot rule out is code that seeks out this machinery in its own process,
copies the word and forges only what it must; `sandbox.allowed` and the reader of the patch can.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sandbox import planted, tester
from sandbox.baseline import Baseline
from sandbox.messages import Run, is_clean_path
from sandbox.planted import Planted
from sandbox.process import Ran
from sandbox.suite import Suite, TestResult
from sandbox.tester import TestServer
from sandbox.witness import Check, ExitCode, Witnesses, suite_for

BAD = ("failed", "error", "timeout")
MOST_ENDLESS = 5  # tests without an end that are run without the patch, too


@dataclass(frozen=True)
class Verdict:
    checks: tuple[Check, ...]
    results: tuple[TestResult, ...]  # with the patch, planted ones left out
    seconds: float

    @property
    def holds(self) -> bool:
        return bool(self.checks) and all(check.held for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not hold."""
        return tuple(f"{c.name}: {c.told}" for c in self.checks if not c.held)


class Judges(tester.Opens, Protocol):
    """A sandbox that can also run a command in a container of its own, as `sandbox.container`'s."""

    def judge(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        files: Mapping[str, bytes | None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Ran: ...


def judge_in(
    sandbox: Judges,
    suite: Suite,
    snapshot: Path,
    baseline: Baseline,
    files: Mapping[str, str | None],
    all_s: float = 600.0,
) -> Verdict:
    """Judge the patch `files` in a sandbox that has run nothing, and in two more containers whose
    exit codes Docker tells. Raises SandboxError.
    """

    def exit_code(
        argv: list[str], changed: Mapping[str, str | None], env: Mapping[str, str]
    ) -> int | None:
        texts = {path: None if text is None else text.encode() for path, text in changed.items()}
        return sandbox.judge(argv, timeout_s=all_s, files=texts, env=env).exit_code

    def serve(suite: Suite) -> TestServer:
        return tester.in_sandbox(sandbox, suite, snapshot)

    return judge(serve, suite, snapshot, baseline, files, all_s, exit_code)


def judge(
    open_server: Callable[[Suite], TestServer],
    suite: Suite,
    snapshot: Path,
    baseline: Baseline,
    files: Mapping[str, str | None],
    all_s: float = 600.0,
    exit_code: ExitCode | None = None,
) -> Verdict:
    """The same with a server that has run nothing yet, as `open_server` starts it for a suite, and
    with what runs a command by itself: argv, changed files, environment.
    """
    targets = [result.id for result in baseline.failing]
    beside = targets or [result.id for result in baseline.broken]
    salt = secrets.token_hex(6)
    plants = planted.plant(suite, beside, _test_texts(snapshot, suite, beside), salt)
    server = open_server(suite_for(suite, plants))
    witnesses = Witnesses(suite, snapshot, baseline, plants)
    try:
        verdict = _Judge(server, suite, baseline, plants, witnesses, all_s).verdict(targets, files)
    finally:
        server.close()
    if exit_code:
        told = witnesses.of_docker(exit_code, files, [result.id for result in verdict.results])
        verdict = replace(verdict, checks=verdict.checks + tuple(told))
    return verdict


@dataclass(frozen=True)
class _Judge:
    server: TestServer
    suite: Suite
    baseline: Baseline
    plants: Planted
    witnesses: Witnesses
    all_s: float

    def verdict(self, targets: list[str], files: Mapping[str, str | None]) -> Verdict:
        named = bool(targets) and self.suite.kind != "command"
        every = [*self.baseline.collected, *self.plants.ids] if named else None
        failed = self._told_before(targets)
        twins = [twin for twin, target in self.plants.twins.items() if target in failed]
        before = self._run([*failed, *twins] if named else None, {}, patience=1)
        after = self._run(every, files)
        was = {result.id: result.outcome for result in before.results}
        ended = {result.id: result.outcome for result in after.results}
        broken = {one.id for one in after.broken} - {
            one.id for one in self.baseline.broken if targets
        }
        told = after.broken[0].message[:200] if broken else "all do"
        checks = [
            _same("fails without the patch", failed, was, BAD),
            _same("the failing tests pass", targets, ended, ("passed",)),
            _same("what passed still passes", self.baseline.passing, ended, ("passed",)),
            Check("every result is ours", not after.foreign, f"{after.foreign} messages are not"),
            Check("each test ended once", len(ended) == len(after.results), f"{len(ended)} tests"),
            Check("the run ended as it must", after.why == "done", after.message or after.why),
            Check("the test files import", not broken, told),
        ]
        if self.suite.kind == "command":
            again = self._run(None, files)
            checks.append(Check("it passes again", again.passed, again.why))
        else:
            checks += [self._collected(after), *self._planted(ended, was)]
        if not targets:
            new = {id for id in ended if id not in self.plants.ids}
            checks.append(_same("what can run now passes", new, ended, ("passed", "skipped")))
            checks.append(Check("something runs now", bool(new), f"{len(new)} tests"))
        if self.suite.kind == "pytest" and self.plants.files:
            checks += self.witnesses.of_pytest(self.server, files, after, self.all_s)
        results = tuple(r for r in after.results if r.id not in self.plants.ids)
        return Verdict(tuple(checks), results, before.seconds + after.seconds)

    def _told_before(self, targets: list[str]) -> list[str]:
        """The tests that are to fail without the patch: of those without an end only some, as each
        of them is waited for."""
        ended = {one.id: one.outcome for one in self.baseline.failing}
        endless = [target for target in targets if ended[target] == "timeout"]
        return [target for target in targets if target not in endless[MOST_ENDLESS:]]

    def _run(
        self, ids: list[str] | None, changed: Mapping[str, str | None], patience: float = 3
    ) -> Run:
        return self.server.run(
            ids,
            {**changed, **self.plants.files},
            test_s=self.baseline.test_s * patience,
            limits={id: limit * patience for id, limit in self.baseline.limits.items()},
            all_s=self.all_s,
            cold=True,
            word=secrets.token_hex(16),
        )

    def _collected(self, after: Run) -> Check:
        missing = {*self.baseline.collected, *self.plants.ids} - set(after.collected)
        told = (
            f"missing: {', '.join(sorted(missing)[:3])}" if missing else f"{len(after.collected)}"
        )
        return Check("the same tests are there", not missing, told)

    def _planted(self, ended: Mapping[str, str], was: Mapping[str, str]) -> list[Check]:
        plants = self.plants
        if not plants.files:
            return [Check("tests were planted", False, "the failing tests' file was not found")]
        # A copy that did not fail before, as its original did, is no copy in what it does.
        twins = [twin for twin in plants.twins if was.get(twin) in BAD]
        by_assertion = {one.id for one in self.baseline.failing if one.kind == "AssertionError"}
        turned = [id for id, original in plants.turned.items() if original in by_assertion]
        return [
            _same("a planted failing test fails", plants.must_fail, ended, ("failed",)),
            _same("a planted passing test passes", plants.must_pass, ended, ("passed",)),
            _same("they pass under another name", twins, ended, ("passed",)),
            _same("turned around they fail", turned, ended, ("failed", "error")),
        ]


def _same(
    name: str, ids: Iterable[str], ended: Mapping[str, str], wanted: tuple[str, ...]
) -> Check:
    ids = list(ids)
    wrong = [f"{id} {ended.get(id, 'did not run')}" for id in ids if ended.get(id) not in wanted]
    if not wrong:
        return Check(name, True, f"{len(ids)} tests")
    more = f"; {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return Check(name, False, "; ".join(wrong[:3]) + more)


def _test_texts(snapshot: Path, suite: Suite, targets: list[str]) -> dict[str, str]:
    """The texts of the files that the failing tests are in, as they are in the repository."""
    root = snapshot.resolve()
    if suite.kind == "pytest":
        paths = {target.split("::")[0] for target in targets}
    else:
        stems = {name for target in targets for name in target.split(".")}
        paths = {
            file.relative_to(root).as_posix()
            for file in root.rglob("*.py")
            if file.stem in stems and "site-packages" not in file.parts
        }
    texts = {}
    for path in paths:
        file = (root / path).resolve()
        if is_clean_path(path) and file.is_relative_to(root) and file.is_file():
            texts[path] = file.read_text("utf-8", errors="replace")
    return texts
