"""One thread owns the model: it steps the requests that run, several in one pass.

HTTP handlers only hand over a request and get chunks back through a callback, which is called
in the model's thread and must not block. Between two passes the thread looks at what changed:
  who was cancelled, leaves;
  a newer request of a document is answered by the older one if the user typed what is being
  generated, and takes its place if not;
  waiting requests start, the lowest `priority` number first, while there is room in the batch.
Then the first priority takes a pass. The others pause, but for every `FAIR_PASSES`th pass: a chat
is slow while somebody types, and never stands still.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from completion.engine.adapters import Variants
from completion.engine.generate import Decoder
from completion.engine.request import FIRST, Chunk, FinishReason, Request
from completion.engine.running import Running
from completion.shared import shared_length
from tandem.errors import TandemError

log = logging.getLogger(__name__)

FAIR_PASSES = 8
# A prompt that another request is just reading is waited for if it shares as much as this.
SHARED_READING_TOKENS = 64

OnChunk = Callable[[Chunk], None]


class QueueFull(Exception):
    """As many requests wait as may wait; the caller should come again later."""


@dataclass(eq=False)
class Job:
    """A request on its way through the scheduler. `group` is what was submitted together."""

    request: Request
    on_chunk: OnChunk
    group: object = None
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End the request before its next token. Harmless when it has ended."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def follows(self, older: "Job") -> bool:
        """Whether it is about the same document as a job that was there before."""
        document = self.request.document
        known = older.request.document, older.request.salt
        same = bool(document) and (document, self.request.salt) == known
        return same and self.group is not older.group


@dataclass(eq=False)
class _Active:
    """A job that has started."""

    job: Job
    decoder: Decoder
    running: Running


class Scheduler:
    """A queue in front of one model and its adapters. At most `batch` requests share a pass."""

    def __init__(self, variants: Variants, queue: int, batch: int = 1) -> None:
        self._variants = variants
        self._limit = queue
        self._batch = batch
        self._waiting: list[Job] = []
        self._active: list[_Active] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._passes = 0
        self._starts = 0
        names = ("requests", "cancelled", "superseded", "reused", "failed")
        self._counts: dict[str, int] = dict.fromkeys(names, 0)
        self._last_active = time.monotonic()
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Cancel everything and wait for the thread to end."""
        with self._changed:
            self._stopping = True
            for job in [*self._waiting, *(active.job for active in self._active)]:
                job.cancel()
            self._changed.notify_all()
        self._thread.join()

    def submit(self, request: Request, on_chunk: OnChunk) -> Job:
        """Queue a request. Raises QueueFull."""
        return self.submit_all([(request, on_chunk)])[0]

    def submit_all(self, parts: Sequence[tuple[Request, OnChunk]]) -> list[Job]:
        """Queue requests that belong together: candidates for one place. Raises QueueFull."""
        group = object()
        jobs = [Job(request, on_chunk, group) for request, on_chunk in parts]
        with self._changed:
            gone = self._drop_gone(jobs)
            full = len(self._waiting) >= self._limit
            if not full:
                self._counts["requests"] += len(jobs)
                self._waiting += jobs
                self._changed.notify()
        for job, reason in gone:
            job.on_chunk(Chunk(finish=reason))
        if full:
            raise QueueFull
        return jobs

    def stats(self) -> dict[str, float]:
        """Counters since the start; `last_active` is on time.monotonic's clock, in seconds.

        `read_tokens` are those of prompts that were computed, not found in a cache: see `Work`.
        """
        with self._changed:
            busy = bool(self._active or self._waiting)
            return {
                **self._counts,
                "read_tokens": self._variants.work.read,
                "generated_tokens": self._variants.work.written,
                "passes": self._passes,
                "running": len(self._active),
                "waiting": len(self._waiting),
                "cache_bytes": self._variants.cache_bytes,
                "last_active": time.monotonic() if busy else self._last_active,
            }

    def _drop_gone(self, newer: Sequence[Job]) -> list[tuple[Job, FinishReason]]:
        """Jobs that wait for nothing hold no place: typing fast must not fill the queue."""
        gone: list[tuple[Job, FinishReason]] = []
        for job in self._waiting:
            if job.cancelled:
                gone.append((job, "cancelled"))
            elif any(new.follows(job) for new in newer):
                gone.append((job, "superseded"))
        left = {id(job) for job, _ in gone}
        self._waiting = [job for job in self._waiting if id(job) not in left]
        for _, reason in gone:
            self._counts[reason] += 1
        return gone

    def _loop(self) -> None:
        while self._wait():
            try:
                self._leave()
                self._admit()
                self._step()
            except Exception:  # the thread must outlive any one request
                log.exception("the scheduler failed")
                for active in list(self._active):
                    self._fail(active, "The engine failed; its log says why.")

    def _wait(self) -> bool:
        """Sleep until there is something to do; false when there never will be."""
        with self._changed:
            if not self._active and not self._waiting:
                self._last_active = time.monotonic()
            self._changed.wait_for(lambda: self._waiting or self._active or self._stopping)
            return bool(self._waiting or self._active)

    def _leave(self) -> None:
        """Newer requests take what older ones of their document have; the cancelled leave."""
        with self._changed:
            waiting = [job for job in self._waiting if not job.cancelled and job.request.document]
            gone = self._drop_gone(())
        for job, reason in gone:
            job.on_chunk(Chunk(finish=reason))
        for active in list(self._active):
            newer = next((job for job in waiting if job.follows(active.job)), None)
            if newer is not None:
                self._hand_over(active, newer)
            elif active.job.cancelled:
                self._end(active, "cancelled")

    def _hand_over(self, active: _Active, newer: Job) -> None:
        """An older request ends; its sequence goes on for the newer one if it answers that."""
        if not self._claim(newer):
            return  # a still newer one came; the next pass sees it
        reason: FinishReason = "cancelled" if active.job.cancelled else "superseded"
        same = active.job.request.adapter == newer.request.adapter
        running = active.decoder.hand_over(active.running, newer.request) if same else None
        if running is None:
            with self._changed:
                self._waiting.insert(0, newer)
            self._end(active, reason)
            return
        older, active.job, active.running = active.job, newer, running
        with self._changed:
            self._counts["reused"] += 1
            self._counts[reason] += 1
        older.on_chunk(Chunk(finish=reason))
        self._deliver(active)

    def _admit(self) -> None:
        """Start what waits, as long as there is room in the batch and in the caches."""
        with self._changed:
            order = sorted(self._waiting, key=lambda job: job.request.priority)
            if self._starts % FAIR_PASSES == FAIR_PASSES - 1:
                order = list(self._waiting)
        for job in order:
            level = job.request.priority
            # Those who go first never find the batch full of those who can wait.
            before = [a for a in self._active if a.job.request.priority <= level]
            full = len(before) if level == FIRST else len(self._active)
            if full >= self._batch:
                continue
            if not self._start(job, urgent=level == FIRST and not before):
                break

    def _start(self, job: Job, urgent: bool) -> bool:
        """False if nothing more can start now."""
        request = job.request
        try:
            decoder = self._variants.decoder(request.adapter)
            if self._is_being_read(decoder, request):
                return True
            running = decoder.try_start(request, urgent=urgent)
        except TandemError as error:
            self._refuse(job, str(error))
            return True
        except Exception as error:
            log.exception("request failed")
            self._refuse(job, f"The engine failed: {error}.")
            return True
        if running is None:
            return False
        with self._changed:
            if claimed := self._claim(job):
                self._active.append(_Active(job, decoder, running))
        if claimed:
            self._starts += 1
        else:  # a newer request took its place meanwhile, and it was told so
            decoder.drop(running)
        return True

    def _claim(self, job: Job) -> bool:
        """Take a job out of the queue; false if it has left by itself: others submit meanwhile."""
        with self._changed:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            return True

    def _is_being_read(self, decoder: Decoder, request: Request) -> bool:
        """Whether another request reads the same prompt just now, so that it is soon cached."""
        for active in self._active:
            same = active.decoder is decoder and active.job.request.salt == request.salt
            if same and active.running.prefilling:
                shared = shared_length(active.job.request.prompt, request.prompt)
                if shared - decoder.cached(request) >= SHARED_READING_TOKENS:
                    return True
        return False

    def _step(self) -> None:
        """One pass for each model among those whose turn it is."""
        if not self._active:
            return
        self._passes += 1
        first = min(active.job.request.priority for active in self._active)
        everybody = self._passes % FAIR_PASSES == 0
        turn = [a for a in self._active if everybody or a.job.request.priority == first]
        for decoder in {id(active.decoder.model): active.decoder for active in turn}.values():
            batch = [active for active in turn if active.decoder.model is decoder.model]
            try:
                decoder.step([active.running for active in batch])
            except Exception as error:
                log.exception("a pass failed")
                for active in batch:
                    self._fail(active, f"The engine failed: {error}.")
                continue
            for active in batch:
                self._deliver(active)

    def _deliver(self, active: _Active) -> None:
        # A pass that verified a draft picked many tokens; an event for each would cost more.
        if chunks := active.running.chunks():
            active.job.on_chunk(reduce(lambda earlier, chunk: chunk.after(earlier), chunks))
        if active.running.finish is not None:
            self._remove(active)

    def _end(self, active: _Active, reason: FinishReason) -> None:
        active.decoder.drop(active.running)
        active.running.chunks()
        self._remove(active)
        self._counts[reason] += 1
        active.job.on_chunk(Chunk(finish=reason, usage=active.running.usage))

    def _fail(self, active: _Active, message: str) -> None:
        active.decoder.drop(active.running)
        self._remove(active)
        self._counts["failed"] += 1
        active.job.on_chunk(Chunk(error=message))

    def _refuse(self, job: Job, message: str) -> None:
        if self._claim(job):
            self._counts["failed"] += 1
            job.on_chunk(Chunk(error=message))

    def _remove(self, active: _Active) -> None:
        with self._changed:
            self._active.remove(active)
