"""The host's side of the test server: runs chosen tests on changed files, many times a second.

What comes back ranks candidates and finds suspicious lines; it is no verdict, as the tests could
forge it (`sandbox.verdict` judges). Nothing that comes out is trusted: shapes, sizes, paths checked.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Any, Protocol, cast

from sandbox.suite import OUTCOMES, Frame, Outcome, Suite, TestResult
from tandem.errors import TandemError

REPOSITORY = "/work/repo"
PATIENCE_S = 10.0  # beyond what the server itself allows a job
START_S = 60.0
MOST_TESTS = 200_000
MOST_FRAMES = 40
MOST_LINES = 200_000

_INSIDE = Path(__file__).parent / "inside"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# Finds our modules in the first line of its input, then serves. No file of ours is written inside.
BOOT = """
import importlib.util, json, sys
first = json.loads(sys.stdin.buffer.readline())
class Sent:
    def find_spec(self, name, path=None, target=None):
        if name in first["modules"]:
            return importlib.util.spec_from_loader(name, self, is_package="." not in name)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        text = first["modules"][module.__name__]
        exec(compile(text, module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Sent())
from tandem_inside import serve
serve.main(first["settings"])
"""


ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # or sets come in another order in each server


class Opens(Protocol):
    """A sandbox, such as `sandbox.container.Sandbox`."""

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> "Channel": ...


class Channel(Protocol):
    """A process that is talked to by lines; `sandbox.container.Process` is one."""

    def send(self, data: bytes) -> None: ...
    def receive(self, timeout_s: float) -> bytes: ...
    def close(self) -> object: ...


@dataclass(frozen=True)
class Run:
    """What one job gave. `broken` are files that could not be collected."""

    results: tuple[TestResult, ...] = ()
    covered: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    collected: tuple[str, ...] = ()
    broken: tuple[TestResult, ...] = ()
    why: str = "done"  # done, stopped, died, refused: how it ended
    seconds: float = 0.0
    message: str = ""
    foreign: int = 0  # messages that came without the word that the run was given

    @property
    def passed(self) -> bool:
        """Every test that ran passed or was skipped, at least one passed, and all was said."""
        fine = all(result.outcome in ("passed", "skipped") for result in self.results)
        fine = fine and not self.foreign
        some = any(result.outcome == "passed" for result in self.results)
        return fine and some and not self.broken and self.why == "done"


def bundle() -> dict[str, str]:
    """The files that run inside, by module name; not under `sandbox`, which a repository may have."""
    modules = {}
    for file in sorted(_INSIDE.glob("*.py")):
        name = "tandem_inside" if file.stem == "__init__" else f"tandem_inside.{file.stem}"
        modules[name] = file.read_text("utf-8").replace("sandbox.inside", "tandem_inside")
    return modules


def settings(suite: Suite, snapshot: Path, root: str = REPOSITORY) -> dict[str, Any]:
    """How the server runs this suite; `snapshot` is the repository here, `root` inside."""
    first = [root] if suite.here_on_path or suite.kind == "unittest" else []
    for name in ("src", "lib"):  # packages that are usually installed before they are tested
        folder = snapshot / name
        if folder.is_dir() and not (folder / "__init__.py").exists():
            first.append(f"{root}/{name}")
    told = {"root": root, "kind": suite.kind, "args": list(suite.args), "env": dict(suite.env)}
    return {**told, "first": first, "path": [root], "load": True}


def in_sandbox(sandbox: Opens, suite: Suite, snapshot: Path) -> "TestServer":
    """A server for the suite in a sandbox that holds the repository `snapshot`."""
    argv = ["python3", "-B", "-c", BOOT]
    return TestServer(lambda: sandbox.open(argv, env=ENVIRONMENT), settings(suite, snapshot))


class TestServer:
    """Runs tests of one suite in one sandbox. `open_channel` starts Python on `BOOT`.

    A server that died or was left dirty is started anew by the next call.
    """

    __test__ = False  # pytest must not take this class for a test

    def __init__(self, open_channel: Callable[[], Channel], told: dict[str, Any]) -> None:
        self._open_channel = open_channel
        self._told = dict(told)
        self._channel: Channel | None = None
        self.starts = 0

    def prepare(self, timeout_s: float = 120.0) -> Run:
        """Collect the tests, and load once what all candidates share."""
        self.close()
        self._start()
        job = {"op": "prepare", "all_s": timeout_s, "load": self._told["load"]}
        run, end = self._ask(job, timeout_s * 3)
        if end.get("threads") and self._told["load"]:
            # A library started threads when it was imported; a fork would lose them.
            self._told["load"] = False
            return self.prepare(timeout_s)
        return run

    def run(
        self,
        ids: Sequence[str] | None = None,
        files: Mapping[str, str | None] | None = None,
        *,
        coverage: bool = False,
        values: bool = False,
        fail_fast: bool = False,
        test_s: float = 10.0,
        limits: Mapping[str, float] | None = None,
        all_s: float = 600.0,
        cold: bool = False,
        word: str = "",
    ) -> Run:
        """Run these tests (None: all) with these files changed (None: removed).

        `coverage` tells the lines that each test ran; `values` also where the values came from
        that it got last. A test may take `test_s`, or what `limits` says of it; all of it `all_s`.

        `cold` takes nothing that was loaded before; with `word`, messages that lack it are counted
        as foreign.
        """
        if self._channel is None:
            if cold:
                self._start()
            else:
                self.prepare()
        job = {
            "op": "run",
            "ids": None if ids is None else list(ids),
            "files": dict(files or {}),
            "coverage": coverage,
            "values": values,
            "fail_fast": fail_fast,
            "test_s": test_s,
            "limits": dict(limits or {}),
            "all_s": all_s,
            "word": word,
            "cold": cold,
        }
        return self._ask(job, all_s)[0]

    def report(
        self, argv: Sequence[str], file: str, files: Mapping[str, str | None], all_s: float
    ) -> tuple[int, str]:
        """Run a command with these files changed: its exit code and the text of the file it wrote.

        -1 for a command that did not end; "" for a file that is not there or too big.
        """
        if self._channel is None:
            self._start()
        job = {"op": "report", "argv": list(argv), "read": file, "files": dict(files)}
        _, end = self._ask({**job, "all_s": all_s, "test_s": all_s, "ids": None}, all_s)
        code, text = end.get("exit"), end.get("text")
        if not isinstance(code, int) or end.get("why") != "done":
            code = -1
        return code, text if isinstance(text, str) else ""

    @property
    def root(self) -> str:
        """The repository's folder where the tests run."""
        return self._told["root"]

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _start(self) -> None:
        self.starts += 1
        self._channel = self._open_channel()
        first = {"modules": bundle(), "settings": self._told}
        self._channel.send(json.dumps(first).encode() + b"\n")
        if _message(self._channel.receive(START_S)).get("ev") != "hello":
            raise TandemError("The test server did not start.", "Is there a Python 3.11 or newer?")

    def _ask(self, job: dict[str, Any], timeout_s: float) -> tuple[Run, dict[str, Any]]:
        assert self._channel is not None
        reader = _Reader(job.get("word", ""))
        end: dict[str, Any] = {"ev": "end", "why": "died"}
        try:
            self._channel.send(json.dumps(job).encode() + b"\n")
            while True:
                message = _message(self._channel.receive(timeout_s + PATIENCE_S))
                if message.get("ev") == "end":
                    end = message
                    break
                reader.take(message)
        except (TimeoutError, TandemError, OSError):
            self.close()
        if end.get("lost"):
            self.close()
        run = Run(
            tuple(reader.results),
            reader.covered,
            tuple(reader.collected),
            tuple(reader.broken),
            _clean(end.get("why"), 40) or "died",
            _seconds(end.get("seconds")),
            _clean(end.get("message"), 400),
            reader.foreign,
        )
        return run, end


class _Reader:
    """Messages from inside, checked one by one; what makes no sense is left out."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.foreign = 0
        self.results: list[TestResult] = []
        self.covered: dict[str, dict[str, frozenset[int]]] = {}
        self.collected: list[str] = []
        self.broken: list[TestResult] = []

    def take(self, message: dict[str, Any]) -> None:
        kind = message.get("ev")
        if self.word and not compare_digest(str(message.get("word")), self.word):
            self.foreign += 1
        elif kind == "collected" and isinstance(ids := message.get("ids"), list):
            self.collected = [_clean(i, 2000) for i in ids[:MOST_TESTS] if isinstance(i, str)]
        elif kind == "broken" and len(self.broken) < 1000:
            self.broken.append(_result(message, "error"))
        elif (
            kind == "test" and message.get("outcome") in OUTCOMES and len(self.results) < MOST_TESTS
        ):
            result = _result(message, cast(Outcome, message["outcome"]))
            self.results.append(result)
            if isinstance(lines := message.get("lines"), dict):
                self.covered[result.id] = _lines(lines)


def _message(line: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return {}


def _result(message: dict[str, Any], outcome: Outcome) -> TestResult:
    return TestResult(
        _clean(message.get("id"), 2000),
        outcome,
        _seconds(message.get("seconds")),
        _clean(message.get("message"), 2000),
        _clean(message.get("kind"), 200),
        _frames(message.get("frames")),
        _frames(message.get("returned")),
    )


def _frames(told: object) -> tuple[Frame, ...]:
    found = []
    for one in told[-MOST_FRAMES:] if isinstance(told, list) else []:
        if not isinstance(one, dict) or not is_clean_path(one.get("path")):
            continue
        line, values = one.get("line"), one.get("values")
        if isinstance(line, int) and 0 < line < MOST_LINES:
            items = list(values.items())[:40] if isinstance(values, dict) else []
            kept = {_clean(name, 100): _clean(value, 200) for name, value in items}
            found.append(Frame(one["path"], line, _clean(one.get("function"), 200), kept))
    return tuple(found)


def _lines(told: dict[str, Any]) -> dict[str, frozenset[int]]:
    found = {}
    for path, lines in list(told.items())[:5000]:
        if is_clean_path(path) and isinstance(lines, list):
            kept = (line for line in lines[:MOST_LINES] if isinstance(line, int))
            found[path] = frozenset(line for line in kept if 0 < line < MOST_LINES)
    return found


def is_clean_path(path: object) -> bool:
    """A relative path with "/" that stays inside, as files of a repository are named here."""
    if not isinstance(path, str) or not 0 < len(path) < 1000 or _CONTROL.search(path):
        return False
    return not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))


def _clean(text: object, most: int) -> str:
    """Nothing that moves a terminal's cursor or hides text."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:most]) if isinstance(text, str) else ""


def _seconds(told: object) -> float:
    good = isinstance(told, int | float) and math.isfinite(told) and 0 <= told < 1e6
    return float(cast(float, told)) if good else 0.0
