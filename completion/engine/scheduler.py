"""One thread owns the model: it takes requests in order, and stops at once when told to.

HTTP handlers only hand over a request and get chunks back through a callback, which is called
in the model's thread and must not block.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from completion.engine.adapters import Variants
from completion.engine.request import Chunk, Request
from tandem.errors import TandemError

log = logging.getLogger(__name__)

OnChunk = Callable[[Chunk], None]


class QueueFull(Exception):
    """As many requests wait as may wait; the caller should come again later."""


@dataclass(eq=False)
class Job:
    """A request on its way through the scheduler."""

    request: Request
    on_chunk: OnChunk
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End the request before its next token. Harmless when it has ended."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()


class Scheduler:
    """A queue in front of one model and its adapters."""

    def __init__(self, variants: Variants, queue: int) -> None:
        self._variants = variants
        self._limit = queue
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._counts = {"requests": 0, "cancelled": 0, "failed": 0}
        self._last_active = time.monotonic()
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Cancel everything and wait for the thread to end."""
        with self._changed:
            self._stopping = True
            for job in [*self._waiting, *([self._running] if self._running else [])]:
                job.cancel()
            self._changed.notify_all()
        self._thread.join()

    def submit(self, request: Request, on_chunk: OnChunk) -> Job:
        """Queue a request. Raises QueueFull."""
        job = Job(request, on_chunk)
        with self._changed:
            gone = self._drop_cancelled()
            if len(self._waiting) >= self._limit:
                raise QueueFull
            self._counts["requests"] += 1
            self._waiting.append(job)
            self._changed.notify()
        for old in gone:
            old.on_chunk(Chunk(finish="cancelled"))
        return job

    def stats(self) -> dict[str, float]:
        """Counters since the start; `last_active` is on time.monotonic's clock, in seconds."""
        with self._changed:
            busy = bool(self._running or self._waiting)
            return {
                **self._counts,
                "generated_tokens": self._variants.generated_tokens,
                "running": int(self._running is not None),
                "waiting": len(self._waiting),
                "last_active": time.monotonic() if busy else self._last_active,
            }

    def _drop_cancelled(self) -> list[Job]:
        """A cancelled job that still waits holds no place: typing fast must not fill the queue."""
        gone = [job for job in self._waiting if job.cancelled]
        self._waiting = deque(job for job in self._waiting if not job.cancelled)
        self._counts["cancelled"] += len(gone)
        return gone

    def _loop(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._run(job)
            except TandemError as error:
                self._fail(job, str(error))
            except Exception as error:  # the thread must outlive any one request
                log.exception("request failed")
                self._fail(job, f"The engine failed: {error}.")

    def _next(self) -> Job | None:
        with self._changed:
            self._running = None
            self._last_active = time.monotonic()
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._waiting:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def _run(self, job: Job) -> None:
        if job.cancelled:
            self._counts["cancelled"] += 1
            job.on_chunk(Chunk(finish="cancelled"))
            return
        decoder = self._variants.decoder(job.request.adapter)
        for chunk in decoder.generate(job.request, lambda: job.cancelled):
            if chunk.finish == "cancelled":
                self._counts["cancelled"] += 1
            job.on_chunk(chunk)

    def _fail(self, job: Job, message: str) -> None:
        self._counts["failed"] += 1
        job.on_chunk(Chunk(error=message))
