"""The test server: forks a child for each job, watches its time, leaves nothing behind.

Two processes serve. The first never runs code of the repository, so its children see no stale
module. It forks the second, which has pytest's session begun and the first conftest files loaded;
jobs that change none of the files loaded there are handed to it, as that saves most of the start.
"""

import contextlib
import gc
import os
import select
import signal
import sys
import time
from typing import Any

from sandbox.inside import learned, processes
from sandbox.inside.folder import Folder
from sandbox.inside.say import OUT_OF_TIME, Say
from sandbox.inside.wire import LONGEST_LINE, Wire

GRACE_S = 0.5  # for a stopped test to say where it was


class Server:
    """`settings`: root, kind, args, path (folders for sys.path), first (those to put in front)."""

    def __init__(self, settings: dict, wire: Wire, folder: Folder) -> None:
        self.settings = settings
        self.root: str = settings["root"]
        self.wire = wire
        self.folder = folder
        self.session: Any = None  # of pytest, in the warm server
        self.warm: tuple[int, Wire, set[str]] | None = None  # pid, its wire, the files it loaded

    def serve(self) -> None:
        while (job := self.wire.receive()) is not None:
            if job.get("op") in ("run", "report"):
                self.run(job)
            elif job.get("op") == "prepare":
                self.prepare(job)
            else:
                self.wire.send({"ev": "end", "why": "unknown job"})

    def prepare(self, job: dict) -> None:
        """Collect once, learn from it what to load, load it, and make the warm server."""
        job = {**job, "learn": True, "only_collect": True, "files": {}, "test_s": job["all_s"]}
        told = self._in_children(job)
        loaded = told.pop("loaded", None) or {"modules": [], "files": [], "tests": [], "own": []}
        if job.get("load", True):
            learned.load(loaded["modules"], {*loaded["own"], *learned.plugin_packages()})
        threads = learned.threads()
        learned.compiled(loaded["files"], loaded["tests"])
        gc.collect()
        gc.freeze()  # or each child copies what the collector touches
        if self.settings["kind"] == "pytest" and not threads:
            # What starts threads when it is loaded is left to each child then.
            for modules in (loaded["modules"], []):
                if not self.warm:
                    self._make_warm(job["all_s"], modules, set(loaded["own"]))
        told["warm"] = self.warm is not None
        self.wire.send({**told, "threads": threads})

    def run(self, job: dict) -> None:
        lends = job["op"] == "run" and not job.get("cold")
        if self.warm and lends and not self.warm[2] & set(job.get("files", {})):
            if self._in_warm(job):
                return
            self._end_warm()
        try:
            self.folder.write(job.get("files", {}))
        except (OSError, ValueError) as error:
            self.folder.restore()
            self.wire.send({"ev": "end", "why": "refused", "message": str(error)})
            return
        told = self._in_children(job)
        if job["op"] == "report":
            told["text"] = _text(job["read"])
        lost = self.folder.restore()
        self.wire.send({**told, **({"lost": lost[:20]} if lost else {})})

    def _in_children(self, job: dict) -> dict:
        """Fork until every test wanted has ended: a stopped or dead child is followed by another.

        Returns what to say at the end; what the tests gave was sent on as it came.
        """
        began = time.monotonic()
        end = began + job["all_s"]
        left = job.get("ids")
        done: set[str] = set()
        while True:
            watch = _Watch(self, {**job, "ids": left}, end)
            told = watch.follow()
            done |= watch.ended
            left = [test for test in (left or watch.collected) if test not in done]
            bad_enough = job.get("fail_fast") and watch.bad
            again = told["why"] == "stopped" and watch.ended and left and not bad_enough
            if not again or time.monotonic() > end:
                break
        told["seconds"] = time.monotonic() - began
        return told

    def _make_warm(self, timeout_s: float, modules: list[str], own: set[str]) -> None:
        (reads, their_writes), (their_reads, writes) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            self.wire.close()
            os.close(reads)
            os.close(writes)
            os.setsid()
            self.wire = Wire(their_reads, their_writes)
            _warm(self, modules, own)
            os._exit(0)
        os.close(their_reads)
        os.close(their_writes)
        wire = Wire(reads, writes)
        try:
            ready = wire.receive(timeout_s)
        except TimeoutError:
            ready = None
        self.warm = pid, wire, set(ready.get("files", [])) if ready else set()
        if not ready or "files" not in ready:
            self._end_warm()

    def _in_warm(self, job: dict) -> bool:
        """Hand the job on; False if the warm server failed before it said anything."""
        assert self.warm
        wire = self.warm[1]
        end = time.monotonic() + job["all_s"] + 10 * GRACE_S
        said = False
        try:
            wire.send(job)
            while (message := wire.receive(end - time.monotonic())) is not None:
                self.wire.send(message)
                said = True
                if message.get("ev") == "end":
                    return True
        except (TimeoutError, BrokenPipeError):
            pass
        self._end_warm()
        lost = self.folder.restore()
        if said:
            self.wire.send({"ev": "end", "why": "died", "lost": lost[:20]})
        return said

    def _end_warm(self) -> None:
        if self.warm:
            self.warm[1].close()
            self.warm = None
            processes.end_all(but=set())


class _Watch:
    """One child and what it says, until its end or the end of its time."""

    def __init__(self, server: Server, job: dict, end: float) -> None:
        self.server = server
        self.job = job
        self.end = end
        self.collected: list[str] = []
        self.ended: set[str] = set()
        self.bad = False
        self.current = ""
        self.told: dict | None = None
        reads, writes = os.pipe()
        keep = {server.warm[0]} if server.warm else set()
        self.pid = os.fork()
        if self.pid == 0:
            server.wire.close()
            os.close(reads)
            if server.warm:
                server.warm[1].close()
            _child(server, job, writes)
        os.close(writes)
        self.keep = keep
        self.wire = Wire(reads, -1)

    def follow(self) -> dict:
        process = os.pidfd_open(self.pid)
        limit = time.monotonic() + max(self.job["test_s"], self.job.get("collect_s", 30.0))
        stopping = False
        why = "stopped"
        while self.told is None:
            wait = min(limit, self.end) - time.monotonic()
            if wait <= 0:
                if stopping or not self.current:
                    break
                stopping = True
                os.kill(self.pid, OUT_OF_TIME)
                limit = self.end = time.monotonic() + GRACE_S
                continue
            ready = select.select([self.wire.reads, process], [], [], wait)[0]
            if self.wire.reads in ready:
                if not self.wire.read():
                    why = "died"
                    break
                for message in iter(self._next, None):
                    limit = time.monotonic() + self._take(message)
            elif process in ready:
                why = "died"
                break
        os.close(process)
        code = self._reap()
        self.wire.close()
        if self.told is not None:
            return {"ev": "end", "why": "done", **self.told}
        if self.current:
            self._stopped("timeout" if why == "stopped" else "error", code)
            return {"ev": "end", "why": "stopped"}
        # Between tests: after the last one's message, or while collecting.
        return {"ev": "end", "why": why if not self.ended else "stopped", "exit": code}

    def _next(self) -> dict | None:
        return next(iter(self.wire.ready()), None)

    def _take(self, message: dict) -> float:
        """Note and send on; the seconds that what comes next may take."""
        kind = message.get("ev")
        usual = self.job["test_s"]
        if kind == "start":
            self.current = str(message.get("id"))
            return self.job.get("limits", {}).get(self.current, usual)
        if kind == "test":
            self.current = ""
            self.ended.add(str(message.get("id")))
            self.bad |= message.get("outcome") in ("failed", "error", "timeout")
        elif kind == "done":
            self.told = {key: value for key, value in message.items() if key != "ev"}
            return usual
        elif kind == "collected":
            self.collected = list(message.get("ids", []))
        self.server.wire.send(message)
        return usual

    def _stopped(self, outcome: str, code: int) -> None:
        message = "the test did not end" if outcome == "timeout" else f"the process ended ({code})"
        told = {"ev": "test", "id": self.current, "outcome": outcome, "message": message}
        self._take({**told, "word": self.job.get("word")})

    def _reap(self) -> int:
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):  # before its setsid
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        processes.end_all(but=self.keep)
        return code


def _text(path: str) -> str:
    """A file's text; "" for one that is not there, too big for a line, or no plain file."""
    with contextlib.suppress(OSError, ValueError):
        if os.path.isfile(path) and os.path.getsize(path) < LONGEST_LINE // 2:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
    return ""


def _child(server: Server, job: dict, pipe: int) -> None:
    """The forked process: runs the tests and never returns."""
    with contextlib.suppress(BaseException):
        os.setsid()
        processes.unshut()
        settings = server.settings
        _use_path(settings)
        say = Say(pipe, server.root, job)
        kind, args, collect = settings["kind"], settings["args"], bool(job.get("only_collect"))
        if job["op"] == "report":
            kind, args = "command", job["argv"]
            os.environ["PYTHONPATH"] = ":".join(settings["first"] + settings["path"])
        try:
            if kind == "pytest":
                from sandbox.inside import under_pytest

                session = server.session or under_pytest.begin(args, server.root)
                code = under_pytest.run(session, say, collect)
            elif kind == "unittest":
                from sandbox.inside import under_unittest

                code = under_unittest.run(args, say, collect)
            else:
                from sandbox.inside import under_command

                code = under_command.run(args, say, collect)
            say.done(code)
        except BaseException as error:  # tests run here: whatever comes is told, not raised
            say.broken("", error, "")
            say.done(4)
    os._exit(0)


def _warm(server: Server, modules: list[str], own: set[str]) -> None:
    from sandbox.inside import under_pytest

    with contextlib.suppress(BaseException):  # no warm server then; the end of its pipe says so
        processes.adopt_orphans()
        _use_path(server.settings)
        server.session = under_pytest.begin(server.settings["args"], server.root)
        server.warm = None
        learned.load(modules, own)
        loaded = learned.report(server.root)
        files = [path[len(server.root) + 1 :] for path in loaded["files"] + loaded["tests"]]
        if not learned.threads():
            server.wire.send({"ev": "ready", "files": files})
            gc.collect()
            gc.freeze()
            server.serve()


def _hide_repository(settings: dict) -> None:
    """Nothing of the repository can be imported here, also where it is installed as editable."""
    root = settings["root"]
    inside = [folder for folder in sys.path if f"{folder}/".startswith(f"{root}/")]
    settings["path"] = inside + settings["path"]
    sys.path[:] = [folder for folder in sys.path if folder and folder not in inside]
    settings["finders"] = [
        f for f in sys.meta_path if "__editable__" in getattr(f, "__module__", "")
    ]
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in settings["finders"]]


def _use_path(settings: dict) -> None:
    sys.meta_path += [f for f in settings["finders"] if f not in sys.meta_path]
    for folder in settings["first"]:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    for folder in settings["path"]:
        if folder not in sys.path:
            sys.path.append(folder)


def main(settings: dict) -> None:
    """Serve on standard input and output, which the tests do not get."""
    wire = Wire(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for end in (0, 1, 2):
        os.dup2(nothing, end)
    os.close(nothing)
    os.chdir(settings["root"])
    os.environ.update(settings.get("env", {}))
    processes.shut()
    sys.dont_write_bytecode = True
    _hide_repository(settings)
    processes.adopt_orphans()
    wire.send({"ev": "hello"})
    Server(settings, wire, Folder(settings["root"])).serve()
