"""The test server: forks a child for each job, watches its time, leaves nothing behind.

Up to three processes serve. The first never runs code of the repository, so its children see no
stale module. It forks the second, the warm one, which has pytest's session begun and the first
conftest files loaded; jobs that change none of the files loaded there are handed to it, as that
saves most of the start. It forks the third, the hot one, which has collected all tests; jobs that
change only functions that have not run there (`swap`) are handed on to it, as that saves the rest.
"""

import contextlib
import gc
import os
import sys
import time
from typing import Any

from sandbox.inside import beside, learned, processes, swap
from sandbox.inside.beside import Beside
from sandbox.inside.folder import Folder
from sandbox.inside.watch import Watch, use_path
from sandbox.inside.wire import LONGEST_LINE, Wire


class Server:
    """`settings`: root, kind, args, path (folders for sys.path), first (those to put in front)."""

    def __init__(self, settings: dict, wire: Wire, folder: Folder) -> None:
        self.settings = settings
        self.root: str = settings["root"]
        self.wire = wire
        self.folder = folder
        self.session: Any = None  # of pytest, in the warm server and the hot one
        self.warm: Beside | None = None
        self.hot: Beside | None = None
        self.ran: swap.Ran | None = None  # in the warm server, until it has made the hot one
        self.loaded: swap.Loaded | None = None  # in the hot server
        self.collected: set[str] = set()  # in the hot server
        self.swaps: list[swap.Swap] = []  # of the job, in the hot server

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
        if self.warm and lends and self._in_warm(job):
            return
        if self.ran and job.get("files") and job.get("ids"):
            self._make_hot(job["all_s"])
        if self.hot and self._in_hot(job):
            return
        if not self._swapped(job) if self.loaded else job.get("only_hot"):
            self.wire.send({"ev": "end", "why": beside.NOT_HERE})
            return
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
            watch = Watch(self, {**job, "ids": left}, end)
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
        self.warm = beside.fork(self, lambda: _warm(self, modules, own), timeout_s)

    def _make_hot(self, timeout_s: float) -> None:
        ran, self.ran = self.ran, None
        assert ran
        self.hot = beside.fork(self, lambda: _hot(self, ran), timeout_s)
        ran.stop()

    def _in_warm(self, job: dict) -> bool:
        """Hand the job on; False if it is none for the warm server, or that failed before it
        said anything."""
        assert self.warm
        changes_it = bool(self.warm.files & set(job.get("files", {})))
        end = self.warm.lend({**job, "only_hot": changes_it}, self.wire)
        if end in ("done", "elsewhere"):
            return end == "done"
        self.warm = None
        processes.end_all(but=set())
        lost = self.folder.restore()
        if end == "died":
            self.wire.send({"ev": "end", "why": "died", "lost": lost[:20]})
        return end == "died"

    def _in_hot(self, job: dict) -> bool:
        """The same of the hot server; what it left is put back by whoever runs the job then."""
        assert self.hot
        end = self.hot.lend(job, self.wire)
        if end in ("done", "elsewhere"):
            return end == "done"
        self.hot = None
        processes.end_all(but=set())
        if end == "died":
            self.wire.send({"ev": "end", "why": "died", "lost": self.folder.restore()[:20]})
        return end == "died"

    def _swapped(self, job: dict) -> bool:
        """In the hot server: whether it can do this job, and what to swap for it."""
        assert self.loaded
        self.swaps = []
        ids, files = job.get("ids"), job.get("files") or {}
        if not ids or not files or job.get("coverage") or not self.collected.issuperset(ids):
            return False
        for path, text in files.items():
            found = self.loaded.swaps(path, text) if text is not None else None
            if found is None:
                return False
            self.swaps += found
        return True


def _text(path: str) -> str:
    """A file's text; "" for one that is not there, too big for a line, or no plain file."""
    with contextlib.suppress(OSError, ValueError):
        if os.path.isfile(path) and os.path.getsize(path) < LONGEST_LINE // 2:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
    return ""


def _warm(server: Server, modules: list[str], own: set[str]) -> None:
    from sandbox.inside import under_pytest

    processes.adopt_orphans()
    use_path(server.settings)
    ran = swap.Ran()
    ran.start()
    server.session = under_pytest.begin(server.settings["args"], server.root)
    server.warm = None
    learned.load(modules, own)
    loaded = learned.report(server.root)
    files = [path[len(server.root) + 1 :] for path in loaded["files"] + loaded["tests"]]
    if not learned.threads():
        server.ran = ran
        server.wire.send({"ev": "ready", "files": files})
        gc.collect()
        gc.freeze()
        server.serve()


def _hot(server: Server, ran: swap.Ran) -> None:
    from sandbox.inside import under_pytest

    processes.adopt_orphans()
    collected = under_pytest.collect(server.session)
    found = ran.stop()
    if found is not None and not learned.threads():
        server.loaded, server.collected = swap.Loaded(server.root, found), collected
        server.wire.send({"ev": "ready", "files": []})
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
