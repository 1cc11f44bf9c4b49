"""Processes that digest files, and the order in which their results come back.

Started by command, not by `multiprocessing`: that would import the caller's main module again
(an engine's, with torch) and would leave workers behind when the caller is killed. A worker ends
when its input does.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import completion
from completion.index.digest import Digest, Job

_BATCH_BYTES = 400_000  # of source: a tenth of a second's work
_BATCH_FILES = 200
_BATCH_PATHS = 30_000  # characters: a batch must fit into a pipe, or both ends could wait
_AHEAD = 3  # batches for each worker that may wait to be written: memory
_MOST_DEATHS = 30
_START = "from completion.index.worker import main; main()"


def batches(jobs: Sequence[Job], sizes: Sequence[int]) -> list[list[Job]]:
    """Consecutive jobs in runs of about the same work."""
    found: list[list[Job]] = []
    bytes_left = paths_left = 0
    for job, size in zip(jobs, sizes, strict=True):
        cost = len(job.path.encode("utf-8", "surrogateescape"))
        if bytes_left < size or paths_left < cost or len(found[-1]) >= _BATCH_FILES:
            found.append([])
            bytes_left, paths_left = _BATCH_BYTES, _BATCH_PATHS
        found[-1].append(job)
        bytes_left -= size
        paths_left -= cost
    return found


def digests(root: Path, work: Sequence[list[Job]], processes: int) -> Iterator[list[Digest]]:
    """The digests of each batch, in the order of `work`."""
    crew = _Crew(root, work, min(processes, len(work)))
    try:
        for number in range(len(work)):
            yield crew.result(number)
    finally:
        crew.close()


class _Crew:
    """One thread a worker feeds it and takes what it gives."""

    def __init__(self, root: Path, work: Sequence[list[Job]], processes: int) -> None:
        self._root, self._work = root, work
        self._results: dict[int, list[Digest] | BaseException] = {}
        self._next = self._taken = 0
        self._closed = False
        self._ahead = _AHEAD * processes
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(processes)]
        for thread in self._threads:
            thread.start()

    def result(self, number: int) -> list[Digest]:
        with self._changed:
            self._changed.wait_for(lambda: number in self._results)
            result = self._results.pop(number)
            self._taken = number + 1
            self._changed.notify_all()
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        worker = _Worker(self._root)
        try:
            while (number := self._claim()) is not None:
                try:
                    result: list[Digest] | BaseException = worker.digest(self._work[number])
                except Exception as error:  # told where the result is waited for
                    result = error
                with self._changed:
                    self._results[number] = result
                    self._changed.notify_all()
        finally:
            worker.close()

    def _claim(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._next < self._taken + self._ahead)
            if self._closed or self._next >= len(self._work):
                return None
            self._next += 1
            return self._next - 1


class _Worker:
    """A process; another one once it has died over a file.

    Many deaths are not the files' fault: then it raises RuntimeError.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._deaths = 0
        self._process: subprocess.Popen[bytes] | None = None

    def digest(self, jobs: list[Job]) -> list[Digest]:
        found = self._ask(jobs)
        if found is not None:
            return found
        if len(jobs) == 1:
            return [Digest(jobs[0].path, jobs[0].language, skipped="breaks its parser")]
        half = len(jobs) // 2
        return [*self.digest(jobs[:half]), *self.digest(jobs[half:])]

    def _ask(self, jobs: list[Job]) -> list[Digest] | None:
        self._process = self._process or _started(self._root)
        assert self._process.stdin
        assert self._process.stdout
        try:
            send(self._process.stdin, jobs)
            return receive(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            self._deaths += 1
            if self._deaths > _MOST_DEATHS:
                raise RuntimeError(
                    "the processes that read files die one after the other"
                ) from None
            return None

    def close(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


def send(stream: IO[bytes], value: object) -> None:
    pickle.dump(value, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def receive(stream: IO[bytes]) -> list:
    """Raises EOFError at the end. Both ends are ours: nothing else writes to this pipe."""
    return pickle.load(stream)  # noqa: S301


def _started(root: Path) -> subprocess.Popen[bytes]:
    # -P: a folder of the workspace, where we may stand, must not pass for one of our packages.
    package = str(Path(completion.__file__).parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
