"""Other witnesses of a patch: pytest's own report, and exit codes that Docker tells."""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox import junit, tester
from sandbox.baseline import Baseline
from sandbox.messages import Run
from sandbox.planted import Planted
from sandbox.suite import Suite
from sandbox.tester import TestServer

USAGE_ERROR = 4  # pytest's exit code
NO_ADDOPTS = ("-o", "addopts=")
NO_COVERAGE = "--no-cov"  # of pytest-cov
CONFIGURATIONS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")

# Runs a command by itself with files changed and variables set; None if it did not end.
ExitCode = Callable[[list[str], Mapping[str, str | None], Mapping[str, str]], int | None]


@dataclass(frozen=True)
class Check:
    """One thing that had to hold. `told` says what was seen, for the evidence."""

    name: str
    held: bool
    told: str = ""


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
class Witnesses:
    """They run a suite as plain commands, with the planted tests and without."""

    suite: Suite
    snapshot: Path
    baseline: Baseline
    plants: Planted

    def of_pytest(
        self, server: TestServer, files: Mapping[str, str | None], after: Run, all_s: float
    ) -> list[Check]:
        """pytest as a process of its own: its exit code and its own report must say the same."""
        ended = {result.id: result.bad for result in after.results}
        file = f"/tmp/{secrets.token_hex(8)}.xml"  # noqa: S108 - of the fresh container
        argv = [*self._pytest(self._options(), server.root), f"--junitxml={file}", *_files(ended)]
        changed = {**files, **self.plants.files}
        code, text = server.report(argv, file, changed, all_s)
        if code == USAGE_ERROR:  # as when the repository's addopts need what is not there
            code, text = server.report(_without_addopts(argv), file, changed, all_s)
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

    def of_docker(
        self, exit_code: ExitCode, files: Mapping[str, str | None], ids: list[str]
    ) -> list[Check]:
        """The exit codes that Docker tells: with a planted failure not 0, and without it 0."""
        ours = self.plants.own
        argv, planted_argv = self._commands(ids)
        env = self._environment()

        def code(argv: list[str], changed: Mapping[str, str | None]) -> int | None:
            told = exit_code(argv, changed, env)
            again = self.suite.kind == "pytest" and told == USAGE_ERROR
            return exit_code(_without_addopts(argv), changed, env) if again else told

        checks = []
        if planted_argv:
            told = code(planted_argv, {**files, ours: self.plants.files[ours]})
            checks.append(
                Check("Docker tells of the planted failure", told == 1, f"exit code {told}")
            )
        if not self.baseline.flaky and not self.baseline.broken:
            told = code(argv, files)
            checks.append(Check("Docker tells of success", told == 0, f"exit code {told}"))
        return checks

    def _commands(self, ids: list[str]) -> tuple[list[str], list[str]]:
        """The suite as it was given; and the same tests with the planted file, if there is one."""
        if self.suite.kind == "command":
            return list(self.suite.args), []
        if self.suite.kind == "pytest":
            given = self._pytest(list(self.suite.args))
            ours = [*self._pytest(self._options()), *_files(ids), self.plants.own]
            return given, ours if self.plants.own else []
        argv = ["python3", "-B", "-m", "unittest"]
        with_ours = suite_for(self.suite, self.plants).args
        return [*argv, *self.suite.args], [*argv, *with_ours] if self.plants.own else []

    def _options(self) -> list[str]:
        """The suite's arguments without paths and without what chooses tests."""
        named = self.suite.paths(self.snapshot)
        args = suite_for(self.suite, self.plants).args
        return [argument for argument in args if argument.split("::")[0] not in named]

    def _pytest(self, args: list[str], root: str = tester.REPOSITORY) -> list[str]:
        start = ["python3", "-B", "-m", "pytest"] if self.suite.here_on_path else ["pytest"]
        options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        cover = [NO_COVERAGE] if _covers(self.snapshot) else []
        return [*start, *args, *options, *cover, f"--rootdir={root}"]

    def _environment(self) -> dict[str, str]:
        told = tester.settings(self.suite, self.snapshot)
        folders = ":".join(told["first"] + told["path"])
        return {**tester.ENVIRONMENT, "PYTHONPATH": folders, **self.suite.env}


def _covers(snapshot: Path) -> bool:
    """Whether pytest's configuration asks for coverage: too little of it is a failure, too."""
    files = [snapshot / name for name in CONFIGURATIONS]
    return any("--cov" in one.read_text("utf-8", "replace") for one in files if one.is_file())


def _without_addopts(argv: list[str]) -> list[str]:
    return [*(one for one in argv if one != NO_COVERAGE), *NO_ADDOPTS]


def _files(ids: Iterable[str]) -> list[str]:
    return sorted({id.split("::")[0] for id in ids})
