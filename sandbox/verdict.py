"""Does a patch really mend the tests? Judged from outside, in a fresh container.

The quick runner's word is not taken: the tests run in the same process as the code that they test,
which may have changed pytest, its reporter or the exit code. So this judge, which is no process of
the container, plants tests whose outcome it knows, compares which tests there are with before, takes
results only with a word that it gave to this run, asks pytest a second time, for its own report and
exit code, and a third time in a container where nothing of ours runs, for what Docker tells. What it cannot rule out is code that seeks out this machinery in its own process,
copies the word and forges only what it must; `sandbox.allowed` and the reader of the patch can.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sandbox import junit, planted, tester
from sandbox.baseline import Baseline
from sandbox.planted import Planted
from sandbox.process import Ran
from sandbox.suite import Suite, TestResult
from sandbox.tester import Run, TestServer

USAGE_ERROR = 4  # pytest's exit code
NO_ADDOPTS = ("-o", "addopts=")
BAD = ("failed", "error", "timeout")


@dataclass(frozen=True)
class Check:
    """One thing that had to hold. `told` says what was seen, for the evidence."""

    name: str
    held: bool
    told: str = ""


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


ExitCode = Callable[[list[str], Mapping[str, str | None], Mapping[str, str]], int | None]


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
    own = _Judge(server, suite, snapshot, baseline, plants, all_s)
    try:
        verdict = own.verdict(targets, files)
    finally:
        server.close()
    if exit_code:
        told = own.told_outside(exit_code, files, [result.id for result in verdict.results])
        verdict = replace(verdict, checks=verdict.checks + tuple(told))
    return verdict


def suite_for(suite: Suite, plants: Planted) -> Suite:
    """The suite without options that choose tests, as each is named; with the planted modules."""
    if suite.kind == "unittest" and suite.args and suite.args[0] != "discover":
        modules = {id.rsplit(".", 2)[0] for id in plants.ids}
        return replace(suite, args=(*suite.args, *sorted(modules)))
    if suite.kind != "pytest":
        return suite
    kept, skip = [], False
    for argument in suite.args:
        chooses = re.match(r"-[km]|--deselect", argument)
        if not skip and not chooses:
            kept.append(argument)
        skip = not skip and argument in ("-k", "-m", "--deselect")
    return replace(suite, args=tuple(kept))


@dataclass(frozen=True)
class _Judge:
    server: TestServer
    suite: Suite
    snapshot: Path
    baseline: Baseline
    plants: Planted
    all_s: float

    def verdict(self, targets: list[str], files: Mapping[str, str | None]) -> Verdict:
        named = bool(targets) and self.suite.kind != "command"
        every = [*self.baseline.collected, *self.plants.ids] if named else None
        before = self._run([*targets, *self.plants.twins] if named else None, {})
        after = self._run(every, files)
        was = {result.id: result.outcome for result in before.results}
        ended = {result.id: result.outcome for result in after.results}
        broken = {one.id for one in after.broken} - {
            one.id for one in self.baseline.broken if targets
        }
        told = after.broken[0].message[:200] if broken else "all do"
        checks = [
            _same("fails without the patch", targets, was, BAD),
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
            checks += self._own_report(files, after)
        results = tuple(r for r in after.results if r.id not in self.plants.ids)
        return Verdict(tuple(checks), results, before.seconds + after.seconds)

    def _run(self, ids: list[str] | None, changed: Mapping[str, str | None]) -> Run:
        return self.server.run(
            ids,
            {**changed, **self.plants.files},
            test_s=self.baseline.test_s * 3,
            limits={id: limit * 3 for id, limit in self.baseline.limits.items()},
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

    def _own_report(self, files: Mapping[str, str | None], after: Run) -> list[Check]:
        """pytest as a process of its own: its exit code and its own report must say the same."""
        ended = {result.id: result.bad for result in after.results}
        file = f"/tmp/{secrets.token_hex(8)}.xml"  # noqa: S108 - of the fresh container
        argv = [*self._pytest(), f"--junitxml={file}", *_files(ended)]
        changed = {**files, **self.plants.files}
        code, text = self.server.report(argv, file, changed, self.all_s)
        if code == USAGE_ERROR:  # as when the repository's addopts need what is not there
            code, text = self.server.report([*argv, *NO_ADDOPTS], file, changed, self.all_s)
        said = junit.read(text)
        flaky = set(self.baseline.flaky)
        differing = sorted(
            id
            for id, bad in ended.items()
            if id not in flaky and said.get(junit.name_of(id)) != bad
        )
        told = f"not on {', '.join(differing[:3])}" if differing else f"{len(said)} tests"
        return [
            # A planted test fails, so an honest exit code is 1, never 0.
            Check("pytest's exit code tells of a failure", code == 1, f"exit code {code}"),
            Check("pytest's own report agrees", bool(said) and not differing, told),
        ]

    def told_outside(
        self, exit_code: ExitCode, files: Mapping[str, str | None], ids: list[str]
    ) -> list[Check]:
        """The exit codes that Docker tells: with a planted failure not 0, and without it 0."""
        plain = {path: text for path, text in files.items() if path not in self.plants.files}
        ours = min(
            self.plants.files,
            key=lambda path: path not in _files(self.plants.must_fail),
            default="",
        )
        argv, planted_argv = self._commands(ids, ours)
        env = self._environment()

        def code(argv: list[str], changed: Mapping[str, str | None]) -> int | None:
            told = exit_code(argv, changed, env)
            again = self.suite.kind == "pytest" and told == USAGE_ERROR
            return exit_code([*argv, *NO_ADDOPTS], changed, env) if again else told

        checks = []
        if planted_argv:
            told = code(planted_argv, {**plain, ours: self.plants.files[ours]})
            checks.append(
                Check("Docker tells of the planted failure", told == 1, f"exit code {told}")
            )
        if not self.baseline.flaky and not self.baseline.broken:
            told = code(argv, plain)
            checks.append(Check("Docker tells of success", told == 0, f"exit code {told}"))
        return checks

    def _commands(self, ids: list[str], ours: str) -> tuple[list[str], list[str]]:
        """The suite as a plain command; and the same with the planted file, if there is one."""
        if self.suite.kind == "command":
            return list(self.suite.args), []
        if self.suite.kind == "pytest":
            argv = [*self._pytest(), *_files(ids)]
            return argv, [*argv, ours] if ours else []
        argv = ["python3", "-B", "-m", "unittest"]
        with_ours = suite_for(self.suite, self.plants).args
        return [*argv, *self.suite.args], [*argv, *with_ours] if ours else []

    def _pytest(self) -> list[str]:
        """pytest's command line without paths."""
        named = self.suite.paths(self.snapshot)
        args = suite_for(self.suite, self.plants).args
        kept = [argument for argument in args if argument.split("::")[0] not in named]
        start = ["python3", "-B", "-m", "pytest"] if self.suite.here_on_path else ["pytest"]
        options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        return [*start, *kept, *options, f"--rootdir={self.server.root}"]

    def _environment(self) -> dict[str, str]:
        told = tester.settings(self.suite, self.snapshot)
        folders = ":".join(told["first"] + told["path"])
        return {**tester.ENVIRONMENT, "PYTHONPATH": folders, **self.suite.env}


def _files(ids: Iterable[str]) -> list[str]:
    return sorted({id.split("::")[0] for id in ids})


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
        if tester.is_clean_path(path) and file.is_relative_to(root) and file.is_file():
            texts[path] = file.read_text("utf-8", errors="replace")
    return texts
