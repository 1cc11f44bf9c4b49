"""What comes out of the container, checked message by message: shapes, sizes, paths, characters."""

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, cast

from sandbox.suite import OUTCOMES, Frame, Outcome, TestResult

MOST_TESTS = 200_000
MOST_FRAMES = 40
MOST_LINES = 200_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Run:
    """What one job gave. `broken` are files that could not be collected."""

    results: tuple[TestResult, ...] = ()
    covered: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    collected: tuple[str, ...] = ()
    broken: tuple[TestResult, ...] = ()
    why: str = "done"  # done, stopped, died, refused: how it ended
    seconds: float = 0.0
    message: str = ""
    foreign: int = 0  # messages that came without the word that the run was given

    @property
    def passed(self) -> bool:
        """Every test that ran passed or was skipped, at least one passed, and all was said."""
        fine = all(result.outcome in ("passed", "skipped") for result in self.results)
        fine = fine and not self.foreign
        some = any(result.outcome == "passed" for result in self.results)
        return fine and some and not self.broken and self.why == "done"


class Reader:
    """Messages from inside, checked one by one; what makes no sense is left out."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.foreign = 0
        self.results: list[TestResult] = []
        self.covered: dict[str, dict[str, frozenset[int]]] = {}
        self.collected: list[str] = []
        self.broken: list[TestResult] = []

    def take(self, message: dict[str, Any]) -> None:
        kind = message.get("ev")
        if self.word and not compare_digest(str(message.get("word")), self.word):
            self.foreign += 1
        elif kind == "collected" and isinstance(ids := message.get("ids"), list):
            self.collected = [_clean(i, 2000) for i in ids[:MOST_TESTS] if isinstance(i, str)]
        elif kind == "broken" and len(self.broken) < 1000:
            self.broken.append(_result(message, "error"))
        elif (
            kind == "test" and message.get("outcome") in OUTCOMES and len(self.results) < MOST_TESTS
        ):
            result = _result(message, cast(Outcome, message["outcome"]))
            self.results.append(result)
            if isinstance(lines := message.get("lines"), dict):
                self.covered[result.id] = _lines(lines)

    def run(self, end: dict[str, Any]) -> Run:
        """All of it; `end` is the last message."""
        return Run(
            tuple(self.results),
            self.covered,
            tuple(self.collected),
            tuple(self.broken),
            _clean(end.get("why"), 40) or "died",
            _seconds(end.get("seconds")),
            _clean(end.get("message"), 400),
            self.foreign,
        )


def message(line: bytes) -> dict[str, Any]:
    """A line's JSON object; {} for anything else."""
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(line)
        if isinstance(told, dict):
            return told
    return {}


def _result(message: dict[str, Any], outcome: Outcome) -> TestResult:
    return TestResult(
        _clean(message.get("id"), 2000),
        outcome,
        _seconds(message.get("seconds")),
        _clean(message.get("message"), 2000),
        _clean(message.get("kind"), 200),
        _frames(message.get("frames")),
        _frames(message.get("returned")),
    )


def _frames(told: object) -> tuple[Frame, ...]:
    found = []
    for one in told[-MOST_FRAMES:] if isinstance(told, list) else []:
        if not isinstance(one, dict) or not is_clean_path(one.get("path")):
            continue
        line, values = one.get("line"), one.get("values")
        if isinstance(line, int) and 0 < line < MOST_LINES:
            items = list(values.items())[:40] if isinstance(values, dict) else []
            kept = {_clean(name, 100): _clean(value, 200) for name, value in items}
            found.append(Frame(one["path"], line, _clean(one.get("function"), 200), kept))
    return tuple(found)


def _lines(told: dict[str, Any]) -> dict[str, frozenset[int]]:
    found = {}
    for path, lines in list(told.items())[:5000]:
        if is_clean_path(path) and isinstance(lines, list):
            kept = (line for line in lines[:MOST_LINES] if isinstance(line, int))
            found[path] = frozenset(line for line in kept if 0 < line < MOST_LINES)
    return found


def is_clean_path(path: object) -> bool:
    """A relative path with "/" that stays inside, as files of a repository are named here."""
    if not isinstance(path, str) or not 0 < len(path) < 1000 or _CONTROL.search(path):
        return False
    return not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))


def _clean(text: object, most: int) -> str:
    """Nothing that moves a terminal's cursor or hides text."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:most]) if isinstance(text, str) else ""


def _seconds(told: object) -> float:
    good = isinstance(told, int | float) and math.isfinite(told) and 0 <= told < 1e6
    return float(cast(float, told)) if good else 0.0
