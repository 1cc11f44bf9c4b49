"""What a test process tells its server, in order: collected, start and test for each, done."""

import os
import signal
import time
import types

from sandbox.inside import frames, learned
from sandbox.inside.lines import Lines
from sandbox.inside.wire import Wire

OUT_OF_TIME = signal.SIGRTMIN + 7  # the server's; tests use SIGALRM and SIGUSR1 for themselves


class Say:
    """`job`: `coverage`, `values`, `learn` are asked for or not; `fail_fast` ends at a bad one."""

    def __init__(self, pipe: int, root: str, job: dict) -> None:
        self.wire = Wire(-1, pipe)
        word = job.get("word")
        send = self.wire.send
        self.send = (lambda message: send({**message, "word": word})) if word else send
        self.root = root
        self.learn = bool(job.get("learn"))
        self.fail_fast = bool(job.get("fail_fast"))
        traced = job.get("coverage") or job.get("values")
        self.lines = Lines(root, bool(job.get("values"))) if traced else None
        self.ids: set[str] | None = None if job.get("ids") is None else set(job["ids"])
        self.current = ""
        self.began = 0.0
        self.stopped = False  # fail_fast has seen enough
        signal.signal(OUT_OF_TIME, self._out_of_time)

    def wants(self, test: str) -> bool:
        return self.ids is None or test in self.ids

    def collected(self, ids: list[str]) -> None:
        self.send({"ev": "collected", "ids": ids})

    def broken(self, place: str, error: BaseException | None, message: str) -> None:
        """Tests that could not be collected: a file that does not import."""
        found = frames.of_error(error, self.root) if error else []
        said = frames.message_of(error) if error else message[: frames.LONGEST_MESSAGE]
        kind = type(error).__name__ if error else ""
        told = {"ev": "broken", "id": place, "message": said, "kind": kind, "frames": found}
        self.send(told)

    def start(self, test: str, file: str) -> None:
        self.current = test
        self.send({"ev": "start", "id": test})
        self.began = time.perf_counter()
        if self.lines:
            self.lines.start(file)

    def end(self, outcome: str, error: BaseException | None = None, message: str = "") -> None:
        self._result(
            outcome,
            message=frames.message_of(error) if error else message[: frames.LONGEST_MESSAGE],
            kind=type(error).__name__ if error else "",
            frames=frames.of_error(error, self.root) if error else [],
        )
        if self.fail_fast and outcome in ("failed", "error", "timeout"):
            self.stopped = True

    def done(self, exit_code: int) -> None:
        more = {"loaded": learned.report(self.root)} if self.learn else {}
        self.send({"ev": "done", "exit": exit_code, **more})

    def _result(self, outcome: str, **more: object) -> None:
        told = {"ev": "test", "id": self.current, "outcome": outcome, **more}
        told["seconds"] = time.perf_counter() - self.began
        if self.lines:
            told["lines"] = self.lines.stop()
            told["returned"] = list(self.lines.returned)
        self.current = ""
        self.send(told)

    def _out_of_time(self, signum: int, frame: types.FrameType | None) -> None:
        """The test that runs will not end: say where it is, and go."""
        if self.current:
            message = "Timeout: the test was stopped"
            stack = frames.of_stack(frame, self.root)
            self._result("timeout", message=message, kind="Timeout", frames=stack)
        os._exit(1)
