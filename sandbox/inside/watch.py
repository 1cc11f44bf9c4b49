"""One forked child that runs tests: what it says, its time, and its end with all it started."""

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from sandbox.inside import processes
from sandbox.inside.say import OUT_OF_TIME, Say
from sandbox.inside.wire import Wire

if TYPE_CHECKING:
    from sandbox.inside.serve import Server

GRACE_S = 0.5  # for a stopped test to say where it was
BETWEEN_S = 10.0  # tests, and after the last one: what plugins do there is no fault of the code


class Watch:
    """One child and what it says, until its end or the end of its time."""

    def __init__(self, server: "Server", job: dict, end: float) -> None:
        self.server = server
        self.job = job
        self.end = end
        self.collected: list[str] = []
        self.ended: set[str] = set()
        self.bad = False
        self.current = ""
        self.told: dict | None = None
        reads, writes = os.pipe()
        others = [one for one in (server.warm, server.hot) if one]
        self.pid = os.fork()
        if self.pid == 0:
            server.wire.close()
            os.close(reads)
            for one in others:
                one.wire.close()
            _child(server, job, writes)
        os.close(writes)
        self.keep = {one.pid for one in others}
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
            usual = max(usual, BETWEEN_S)
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


def _child(server: "Server", job: dict, pipe: int) -> None:
    """The forked process: runs the tests and never returns."""
    with contextlib.suppress(BaseException):
        os.setsid()
        processes.unshut()
        settings = server.settings
        if server.ran:
            server.ran.stop()
        use_path(settings)
        say = Say(pipe, server.root, job)
        kind, args, collect = settings["kind"], settings["args"], bool(job.get("only_collect"))
        if job["op"] == "report":
            kind, args = "command", job["argv"]
            os.environ["PYTHONPATH"] = ":".join(settings["first"] + settings["path"])
        for function, code in server.swaps:
            function.__code__ = code
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


def use_path(settings: dict) -> None:
    sys.meta_path += [f for f in settings["finders"] if f not in sys.meta_path]
    for folder in settings["first"]:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    for folder in settings["path"]:
        if folder not in sys.path:
            sys.path.append(folder)
