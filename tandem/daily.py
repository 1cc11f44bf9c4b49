"""What happened each day, in numbers: sums over the trace that outlive its rotation.

`stats.json` in the state folder: {"v": 1, "read": {file: bytes}, "days": {day: {language: sums}}}.
`read` says how far each file of the trace has been counted, so that every event counts once
however often somebody counts; a file is known by its first line, which moves with it when it is
rotated. Sums are {group: {name: number}}; what holds for a whole day is under the language "".
No text, no path and no name is in it.
"""

import hashlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from tandem import paths, trace

FORMAT = 1
KEPT_DAYS = 400
# Steps of 5%: what a time is rounded to.
STEP = 1.05
EDITOR = "lsp"
_FILES = 16

Sums = dict[str, dict[str, int]]
Days = dict[str, dict[str, Sums]]
Count = tuple[str, str, str, int]


def count(trace_file: Path | None = None, file: Path | None = None) -> Days:
    """Add what the trace has got since the last time; the sums of all days. Raises OSError."""
    file = file or paths.daily_file()
    paths.private_dir(file.parent)
    with FileLock(file.with_suffix(".lock"), mode=0o600):
        read, days = _load(file)
        before = dict(read)
        for part in trace.files(trace_file):
            _count_file(part, read, days)
        for day in sorted(days)[:-KEPT_DAYS]:
            del days[day]
        while len(read) > _FILES:
            del read[next(iter(read))]
        if read != before:
            with paths.atomic_write(file) as stream:
                json.dump({"v": FORMAT, "read": read, "days": days}, stream)
    return days


def percentile(buckets: dict[str, int], share: float) -> float:
    """The time in ms below which so large a share lies; NaN if there is none."""
    left = math.ceil(share * sum(buckets.values()))
    for bucket in sorted(buckets, key=int):
        left -= buckets[bucket]
        if left <= 0:
            return STEP ** int(bucket)
    return math.nan


def add(sums: Sums, other: Sums) -> None:
    for group, numbers in other.items():
        into = sums.setdefault(group, {})
        for name, number in numbers.items():
            into[name] = into.get(name, 0) + number


def _load(file: Path) -> tuple[dict[str, int], Days]:
    """What was counted; nothing from a file that is damaged or of another version, which is put
    aside."""
    try:
        found = json.loads(file.read_bytes())
        assert found["v"] == FORMAT
        read = {str(name): int(size) for name, size in found["read"].items()}
        days: Days = {}
        for day, languages in found["days"].items():
            for language, sums in languages.items():
                add(days.setdefault(day, {}).setdefault(language, {}), sums)
        return read, days
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError):
        file.replace(file.with_suffix(".old"))
    return {}, {}


def _count_file(file: Path, read: dict[str, int], days: Days) -> None:
    try:
        stream = file.open("rb")
    except FileNotFoundError:  # not yet there, or rotated away just now
        return
    with stream:
        first = stream.readline()
        if not first.endswith(b"\n"):
            return
        name = hashlib.sha256(first).hexdigest()[:16]
        at = read.pop(name, 0)
        stream.seek(at)
        for line in _whole_lines(stream):
            at += len(line)
            event = trace.parse(line)
            if event is not None:
                _count_event(event, days)
        read[name] = at


def _whole_lines(stream: IO[bytes]) -> Iterator[bytes]:
    for line in stream:
        if not line.endswith(b"\n"):  # it is being written
            return
        yield line


def _count_event(event: dict[str, Any], days: Days) -> None:
    try:
        day = time.strftime("%Y-%m-%d", time.localtime(event["time"]))
        counts = list(_counts(event))
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError):
        return  # somebody else's line
    for language, group, name, number in counts:
        sums = days.setdefault(day, {}).setdefault(language, {})
        add(sums, {group: {name: number}})


def _counts(event: dict[str, Any]) -> Iterator[Count]:
    """Language, group, name, number: all that an event adds."""
    details = event["details"]
    language = str(details.get("language") or "unknown")
    if event["kind"] == "completion" and event["source"] != EDITOR:
        yield "", "elsewhere", str(event["source"]), 1
    elif event["kind"] == "completion":
        yield from _request(event, details, language)
    elif event["kind"] == "outcome":
        yield from _outcome(details, language)


def _request(event: dict[str, Any], details: dict[str, Any], language: str) -> Iterator[Count]:
    yield language, "n", "requests", 1
    stages = event["stages_ms"]
    if "generate" in stages:
        yield language, "n", "asked", 1
    if event["shown"] is None:
        yield language, "reasons", str(event["reason"]), 1
    else:
        yield language, "n", "shown", 1
        if details.get("cache"):
            yield language, "cache", _label(details["cache"]), 1
        elif "generate" not in stages:
            yield language, "cache", "not said", 1
    for stage, ms in stages.items():
        if stage == "total":  # a silence may take no time, and would make answers look fast
            stage = "total, nothing shown" if event["shown"] is None else "total, shown"
        bucket = round(math.log(max(float(ms), 0.01), STEP))
        yield "", f"ms {stage}", str(bucket), 1


def _outcome(details: dict[str, Any], language: str) -> Iterator[Count]:
    outcome, characters = str(details["outcome"]), int(details["characters"])
    if outcome == "kept":
        for name in ("kept_30s", "kept_5min"):
            if name in details:
                yield language, name, "judged", characters
                yield language, name, "kept", int(details[name])
        return
    yield language, "n", "continued", len(details.get("also", ()))
    if details.get("why") == "late":
        yield language, "n", "late", 1
        return
    yield language, "outcomes", outcome, 1
    yield language, "characters", "accepted", characters
    yield language, "characters", "typed", int(details["typed"])
    if details.get("how"):
        yield language, "how", str(details["how"]), 1
    if details.get("why"):
        yield language, f"why {outcome}", str(details["why"]), 1


def _label(value: Any) -> str:
    """What a request's event calls the way its answer was known."""
    if isinstance(value, dict):
        value = value.get("kind") or value.get("how") or "cache"
    return "cache" if value is True else str(value)
