"""Which tests a repository has, and what `--test CMD` means.

pytest and unittest commands are understood test by test; any other command is one test, which
passes if the command exits with 0.
"""

import configparser
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tandem.errors import UsageError

Outcome = Literal["passed", "failed", "error", "skipped", "timeout"]
OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "error", "skipped", "timeout")
COMMAND_ID = "command"  # the id of the one test of a suite that is any command

_LAUNCHERS = (
    "uv run",
    "poetry run",
    "pipenv run",
    "pdm run",
    "rye run",
    "hatch run",
    "coverage run",
)
_PYTHON = re.compile(r"(?:.*/)?(?:python|py)[\d.]*")
_SHELL = re.compile(r"[|&;<>$`*?~\n]")
_BUILTINS = ("cd", "source", ".", "export")  # of the shell: no program has these names
_VARIABLE = re.compile(r"([A-Za-z_]\w*)=(.*)", re.S)
# Options of pytest that would hide tests from us, stop early, or need a terminal or more processes.
_DROPPED = {"-x", "--exitfirst", "--pdb", "--trace", "--lf", "--last-failed", "--ff"}
_DROPPED |= {"--failed-first", "--nf", "--new-first", "--sw", "--stepwise", "-q", "--quiet", "-v"}
_DROPPED |= {"--verbose", "-s", "-vv", "-vvv", "-qq", "-l", "--showlocals", "--cov", "--no-header"}
_DROPPED |= {"--forked", "--no-cov", "--collect-only", "--co", "--cache-clear", "--no-summary"}
_DROPPED_WITH_VALUE = {"-n", "--numprocesses", "--dist", "--maxfail", "--tb", "--junitxml"}
_DROPPED_WITH_VALUE |= {"--junit-xml", "--durations", "--color", "--capture", "--timeout", "-r"}
_DROPPED_WITH_VALUE |= {"--cov-report", "--cov-config", "--reruns", "--show-capture", "--verbosity"}
_SKIPPED_FOLDERS = {"node_modules", "venv", "env", "build", "dist", "site-packages", "__pycache__"}


@dataclass(frozen=True)
class Frame:
    """One call on the way to a failure: a line of the repository, with the values it saw."""

    path: str  # relative to the repository, with "/"
    line: int  # 1-based
    function: str
    values: Mapping[str, str] = field(default_factory=dict)  # locals by name, as short texts


@dataclass(frozen=True)
class TestResult:
    """How one test ended. `frames` run from the test inwards to where it failed."""

    __test__ = False  # pytest must not take this class for a test

    id: str
    outcome: Outcome
    seconds: float
    message: str = ""
    kind: str = ""  # the exception's class name, "" if there was none
    frames: tuple[Frame, ...] = ()
    returned: tuple[Frame, ...] = ()  # where the values came from that the test got last

    @property
    def bad(self) -> bool:
        return self.outcome in ("failed", "error", "timeout")


@dataclass(frozen=True)
class Suite:
    """How tests are run. `args` go to pytest or unittest; for "command" they are the argv."""

    kind: Literal["pytest", "unittest", "command"]
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    here_on_path: bool = True  # `python -m` puts the working folder on sys.path, `pytest` does not
    found: str = "given"  # how we came to it, for people

    def __str__(self) -> str:
        name = {"pytest": ["pytest"], "unittest": ["python", "-m", "unittest"], "command": []}
        return shlex.join([*name[self.kind], *self.args])

    def paths(self, root: Path) -> list[str]:
        """The arguments that name files or folders of the repository (without `::test`)."""
        named = [argument.split("::")[0] for argument in self.args]
        return [
            name for name in named if name and not name.startswith("-") and (root / name).exists()
        ]


def parse(command: str) -> Suite:
    """What `command` runs; UsageError if it is empty or its quotes do not close."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"The test command cannot be read: {error}.", "Check its quotes."
        ) from error
    env: dict[str, str] = {}
    while words and (variable := _VARIABLE.fullmatch(words[0])):
        env[variable[1]] = variable[2]
        words = words[1:]
    if not words:
        raise UsageError("The test command is empty.", 'Try: --test "pytest -q"')
    if words[0] in _BUILTINS or _needs_shell(command):
        return Suite("command", ("sh", "-c", command))
    rest = _without_launcher(words)
    if rest[0].rsplit("/")[-1] in ("pytest", "py.test"):
        return Suite("pytest", _kept(rest[1:]), env, here_on_path=False)
    if _PYTHON.fullmatch(rest[0]) and rest[1:2] == ["-m"] and len(rest) > 2:
        if rest[2] in ("pytest", "py.test"):
            return Suite("pytest", _kept(rest[3:]), env)
        if rest[2] == "unittest":
            return Suite("unittest", _unittest_kept(rest[3:]), env)
    return Suite("command", tuple(words), env)


def find(root: Path) -> Suite:
    """The tests of a repository when no command was given; UsageError if it has none.

    pytest runs unittest's cases too, so it is taken unless only plain unittest files are there.
    """
    if told := _pytest_configured(root):
        return Suite("pytest", found=f"{told} configures pytest")
    files = sorted(_test_files(root))
    if not files:
        raise UsageError(
            f"No tests were found in {root.name or root}.", 'Say how to run them: --test "CMD"'
        )
    texts = [file.read_text("utf-8", errors="replace") for file in files[:200]]
    if any(re.search(r"^\s*(?:import|from) pytest|^(?:async )?def test", t, re.M) for t in texts):
        return Suite("pytest", found=f"{len(files)} test files, such as {_name(files[0], root)}")
    if all(re.search(r"^\s*(?:import|from) unittest", text, re.M) for text in texts):
        top = _name(_common(files), root)
        args = ("discover", "-s", top) if top != "." else ("discover",)
        return Suite("unittest", args, found=f"{len(files)} files of unittest cases")
    return Suite("pytest", found=f"{len(files)} test files, such as {_name(files[0], root)}")


def is_test_path(path: str) -> bool:
    """Does this path (relative, with "/") hold tests or what only tests use?"""
    *folders, name = path.split("/")
    if any(re.fullmatch(r"(?:\w+_)?test(?:s|ing|_?cases)?", part) for part in folders):
        return True
    return name == "conftest.py" or bool(
        re.fullmatch(r"tests?_.*\.py|.*_tests?\.py|tests?\.py", name)
    )


def _needs_shell(command: str) -> bool:
    """Signs of a shell outside of quotes: then a shell must run it."""
    bare = re.sub(r"'[^']*'|\"[^\"$`]*\"|\[[^\]\s]*\]", "", command)
    return bool(_SHELL.search(bare))


def _without_launcher(words: list[str]) -> list[str]:
    for launcher in _LAUNCHERS:
        first = launcher.split()
        if words[:2] == first and len(words) > 2:
            rest = words[2:]
            # `coverage run -m pytest` has no `python`
            return ["python", *rest] if rest[0] == "-m" else rest
    return words


def _kept(args: list[str]) -> tuple[str, ...]:
    kept: list[str] = []
    left = iter(args)
    for argument in left:
        name = argument.split("=")[0]
        if name in _DROPPED_WITH_VALUE or (name in _DROPPED and argument.startswith("--")):
            if "=" not in argument and name in _DROPPED_WITH_VALUE:
                next(left, None)
        elif argument in _DROPPED or re.fullmatch(r"-n\w+|-r\w+", argument):
            continue
        elif argument == "-p" or argument == "-o":
            value = next(left, "")
            if value.split(":")[-1] not in ("xdist", "cacheprovider", "randomly"):
                kept += [argument, value]
        else:
            kept.append(argument)
    return tuple(kept)


def _unittest_kept(args: list[str]) -> tuple[str, ...]:
    dropped = {"-v", "--verbose", "-q", "--quiet", "-f", "--failfast", "-c", "--catch", "-b"}
    return tuple(
        argument for argument in args if argument not in dropped | {"--buffer", "--locals"}
    )


def _pytest_configured(root: Path) -> str:
    if any((root / name).is_file() for name in ("pytest.ini", ".pytest.ini")):
        return "pytest.ini"
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
        if "pytest" in project.get("tool", {}):
            return "pyproject.toml"
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        pass  # not there, or not ours to complain about
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(root / name, "utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        if parser.has_section(section):
            return name
    return ""


def _test_files(folder: Path, depth: int = 6) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_symlink() or entry.name.startswith(".") or entry.name in _SKIPPED_FOLDERS:
            continue
        if entry.is_dir() and depth:
            yield from _test_files(entry, depth - 1)
        elif entry.is_file() and re.fullmatch(r"test_.*\.py|.*_test\.py", entry.name):
            yield entry


def _common(files: list[Path]) -> Path:
    """The folder that unittest must start from: the highest one that is no package."""
    folder = files[0].parent
    while not all(folder in file.parents for file in files):
        folder = folder.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
