"""The host's side of the test server: runs chosen tests on changed files, many times a second.

What comes back ranks candidates and finds suspicious lines; it is no verdict, as the tests could
forge it (`sandbox.verdict` judges). Nothing that comes out is trusted: shapes, sizes, paths checked.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sandbox.messages import Reader, Run, message
from sandbox.suite import Suite
from tandem.errors import TandemError

REPOSITORY = "/work/repo"
PATIENCE_S = 10.0  # beyond what the server itself allows a job
START_S = 60.0

_INSIDE = Path(__file__).parent / "inside"
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
        if message(self._channel.receive(START_S)).get("ev") != "hello":
            raise TandemError("The test server did not start.", "Is there a Python 3.11 or newer?")

    def _ask(self, job: dict[str, Any], timeout_s: float) -> tuple[Run, dict[str, Any]]:
        assert self._channel is not None
        reader = Reader(job.get("word", ""))
        end: dict[str, Any] = {"ev": "end", "why": "died"}
        try:
            self._channel.send(json.dumps(job).encode() + b"\n")
            while True:
                told = message(self._channel.receive(timeout_s + PATIENCE_S))
                if told.get("ev") == "end":
                    end = told
                    break
                reader.take(told)
        except (TimeoutError, TandemError, OSError):
            self.close()
        if end.get("lost"):
            self.close()
        return reader.run(end), end
