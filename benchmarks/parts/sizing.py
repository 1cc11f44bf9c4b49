"""How many developers one replica serves: requests as they were asked, and a replica's rates.

A replica reads prompts one after the other and writes the answers of up to `slots` requests at
once, at a rate that is measured for some numbers of them. A developer asks what was recorded of
one, from a place of their own in the recording, in bursts: so long typing, so long not.
"""

import bisect
import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from benchmarks.common import percentile

BURST_S = 60.0  # mean of a stretch of typing
# A working day is played, or less where so many requests come sooner.
PLAYED_S, SHORTEST_S, REQUESTS = 8 * 3600.0, 60.0, 10_000
PIECE = 256  # tokens of a prompt that a pass of ours reads at most
NOTHING = 1e-6  # tokens: what the clock's rounding leaves
MOST = 100_000  # developers that are tried


@dataclass(frozen=True)
class Asked:
    """`after_s` from the request before it, while somebody types; tokens to read and to write, and
    of the `prompt`, which is read as a whole where the replica does not keep it. Then, once it is
    answered, what is read and written `ahead`, which nobody waits for. Of one that was cancelled
    nobody has `seen` the answer."""

    after_s: float
    read: int
    written: int
    prompt: int = 0
    ahead_read: int = 0
    ahead_written: int = 0
    seen: bool = True

    @property
    def ahead(self) -> "Asked | None":
        if not self.ahead_read and not self.ahead_written:
            return None
        return Asked(0.0, self.ahead_read, self.ahead_written)


@dataclass(frozen=True)
class Rates:
    """Tokens a second: of a prompt, and of all answers together by how many are written at once."""

    read: float
    written: dict[int, float]

    def each(self, running: int) -> float:
        """Of one of so many; between and beyond the measured ones in proportion, never more than
        the largest total."""
        known = sorted(self.written)
        at = bisect.bisect_left(known, running)
        if at < len(known) and known[at] == running:
            return self.written[running] / running
        if at == len(known):
            return self.written[known[-1]] / running
        if at == 0:
            return self.written[known[0]] / known[0]
        low, high = known[at - 1], known[at]
        share = (running - low) / (high - low)
        total = self.written[low] + share * (self.written[high] - self.written[low])
        return total / running


@dataclass
class _Job:
    arrived: float
    left: float
    ahead: Asked | None
    waited_for: bool
    seen: bool = True


def arrivals(
    asked: Sequence[Asked],
    developers: int,
    seconds: float,
    typing: float,
    seed: int,
    kept: int = 0,
) -> list[tuple[float, Asked]]:
    """Of all developers, in order. `typing` is the share of the time in which one types. The replica
    holds the prompts of the `kept` who asked last, 0 for all; of others it reads the whole."""
    rng = random.Random(seed)
    found: list[tuple[float, int, Asked]] = []
    rest = BURST_S * (1 - typing) / typing if typing < 1 else 0.0
    for who in range(developers):
        at = rng.randrange(len(asked))
        # Who types already is somewhere between two requests: not all ask at once.
        types = rng.random() < typing
        now = -rng.random() * asked[at].after_s if types else rng.expovariate(1 / rest)
        until = max(0.0, now) + rng.expovariate(1 / BURST_S)
        while now < seconds:
            one = asked[at % len(asked)]
            at += 1
            now += one.after_s
            if now > until and rest:
                now += rng.expovariate(1 / rest)
                until = now + rng.expovariate(1 / BURST_S)
            if now < seconds:
                found.append((now, who, one))
    found.sort(key=lambda told: told[:2])
    return _forgetful(found, kept) if kept else [(now, one) for now, _, one in found]


def _forgetful(found: Sequence[tuple[float, int, Asked]], kept: int) -> list[tuple[float, Asked]]:
    """Whoever comes first is known: it was not the replica's first day."""
    first = list(dict.fromkeys(who for _, who, _ in found))[:kept]
    known = dict.fromkeys(reversed(first))
    told: list[tuple[float, Asked]] = []
    for now, who, one in found:
        whole = who not in known
        known.pop(who, None)
        known[who] = None
        if len(known) > kept:
            del known[next(iter(known))]
        told.append((now, replace(one, read=max(one.read, one.prompt)) if whole else one))
    return told


def answer_times(
    coming: Sequence[tuple[float, Asked]], rates: Rates, slots: int, gives_way: bool = False
) -> list[float]:
    """Seconds from each request to the end of its answer, if anybody saw it; not of what was asked
    ahead, which queues as all others do unless it `gives_way`: then it goes on while nobody waits,
    and who comes waits for a pass over a piece of its prompt at most.

    Prompts are read in the order in which they came, one at a time, and only while a slot is free.
    """
    reader_free, running, waits = 0.0, list[_Job](), deque[tuple[float, Asked, bool]]()
    later = deque[tuple[float, Asked, bool]]()  # what gives way
    took: list[float] = []
    ready: list[tuple[float, int, _Job]] = []  # read, by when
    clock, number = 0.0, 0

    def written() -> list[_Job]:
        first = [job for job in running if job.waited_for]
        return first if gives_way and first else running

    def write(until: float) -> None:
        """Let those that are written go on until then, which is not after the end of any."""
        nonlocal clock
        now = written()
        rate = rates.each(len(now)) if now else 0.0
        for job in now:
            job.left -= (until - clock) * rate
        clock = until
        for job in [job for job in running if job.left <= NOTHING]:
            running.remove(job)
            if job.waited_for and job.seen:
                took.append(clock - job.arrived)
            if job.ahead:
                (later if gives_way else waits).append((clock, job.ahead, False))

    def admit() -> None:
        """Read what there is room for."""
        nonlocal reader_free, number
        first = sum(job.waited_for for job in running) + sum(job.waited_for for *_, job in ready)
        while waits and (first if gives_way else len(running) + len(ready)) < slots:
            arrived, one, waited_for = waits.popleft()
            begins, lasts = max(reader_free, clock), one.read / rates.read
            paused = [entry for entry in ready if not entry[2].waited_for] if gives_way else []
            if paused and begins == clock:
                begins += min(PIECE / rates.read, max(0.0, paused[0][0] - clock))
            ready[:] = [
                (at + lasts, n, job) if (at, n, job) in paused else (at, n, job)
                for at, n, job in ready
            ]
            heapq.heapify(ready)
            reader_free = begins + lasts
            number, first = number + 1, first + 1
            job = _Job(arrived, max(1, one.written), one.ahead, waited_for, one.seen)
            heapq.heappush(ready, (reader_free, number, job))
        while later and not waits and len(running) + len(ready) < slots:
            arrived, one, _ = later.popleft()
            number += 1
            ends = max([reader_free, clock, *(at for at, *_ in ready)]) + one.read / rates.read
            job = _Job(arrived, max(1, one.written), None, False)
            heapq.heappush(ready, (ends, number, job))

    def go(until: float) -> None:
        """From one request that is read or written to the next."""
        while True:
            ends = inf
            if now := written():
                ends = clock + min(job.left for job in now) / rates.each(len(now))
            moment = min(ends, ready[0][0] if ready else inf)
            if moment == inf or moment > until:
                break
            write(max(clock, moment))
            if ready and ready[0][0] <= clock:
                running.append(heapq.heappop(ready)[2])
            admit()
        if until < inf:
            write(max(clock, until))

    for moment, one in coming:
        go(moment)
        waits.append((moment, one, True))
        admit()
    go(inf)
    return took


def most(
    asked: Sequence[Asked],
    rates: Rates,
    slots: int,
    limit_s: float,
    typing: float,
    kept: int = 0,
    seconds: float = PLAYED_S,
    seed: int = 0,
    gives_way: bool = False,
    requests: int = REQUESTS,
) -> int:
    """The largest number of developers whose 95th percentile stays within the limit, 0 for none."""
    each = typing * len(asked) / max(1e-9, sum(one.after_s for one in asked))  # requests a second

    def fits(developers: int) -> bool:
        enough = max(SHORTEST_S, requests / (each * developers))
        coming = arrivals(asked, developers, min(seconds, enough), typing, seed, kept)
        times = answer_times(coming, rates, slots, gives_way)
        return not times or percentile(times, 0.95) <= limit_s

    low, high = 0, 1
    while high < MOST and fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
