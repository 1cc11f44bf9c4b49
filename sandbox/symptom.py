"""What a failure looks like, without what differs from run to run, and how alike two are."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.suite import TestResult, is_test_path
from tandem.secrets import redact

MOST = 8  # symptoms of one run
FRAMES = 6  # functions of one symptom, the innermost ones
LONGEST = 300  # characters of a message or of an assertion
# What two symptoms have in common counts so much, in all 1.
KIND, MESSAGE, FUNCTIONS, ASSERTION = 0.35, 0.25, 0.2, 0.2

_VALUES = (
    (re.compile(r"(['\"])(?:\\.|(?!\1)[^\\\n]){0,200}\1"), "'…'"),
    (re.compile(r"\b0x[0-9a-fA-F]+"), "0x…"),
    (re.compile(r"(?:/[\w.\-]+){2,}"), "/…"),
    (re.compile(r"\b\d+(?:\.\d+)?(?:e[+-]?\d+)?\b"), "0"),
)
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Symptom:
    """How one test failed. `kind` is the exception's class, `functions` are those of the frames,
    from the test inwards, `assertion` is the line of the test that failed."""

    kind: str
    message: str
    functions: tuple[str, ...] = ()
    assertion: str = ""

    @classmethod
    def of(cls, result: TestResult, sources: Mapping[str, str]) -> "Symptom":
        """Of a failed test; `sources` are texts by path, the test's own among them."""
        tests = [frame for frame in result.frames if is_test_path(frame.path)]
        line = ""
        if tests:
            lines = sources.get(tests[-1].path, "").split("\n")
            line = lines[tests[-1].line - 1] if tests[-1].line <= len(lines) else ""
        functions = tuple(redact(frame.function) for frame in result.frames[-FRAMES:])
        kind = redact(result.kind) or result.outcome
        return cls(kind, normal(result.message), functions, normal(line))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Symptom":
        """Raises KeyError or TypeError for what is none."""
        functions = tuple(str(one) for one in told["functions"])
        return cls(str(told["kind"]), str(told["message"]), functions, str(told["assertion"]))

    def __str__(self) -> str:
        inner = f" in {self.functions[-1]}" if self.functions else ""
        return f"{self.kind}: {self.message.partition(chr(10))[0]}{inner}"


def of_all(results: Sequence[TestResult], sources: Mapping[str, str]) -> tuple[Symptom, ...]:
    """The different symptoms of a run's failing tests, at most `MOST`."""
    return tuple(dict.fromkeys(Symptom.of(one, sources) for one in results))[:MOST]


def normal(text: str) -> str:
    """A message or a line without its values: numbers, strings, addresses, paths, and secrets."""
    text = redact(text.strip()[: 4 * LONGEST])
    for pattern, instead in _VALUES:
        text = pattern.sub(instead, text)
    return text[:LONGEST]


def likeness(one: Symptom, other: Symptom) -> float:
    """From 0, nothing in common, to 1, the same."""
    return (
        KIND * (one.kind == other.kind)
        + MESSAGE * _shared(_words(one.message), _words(other.message))
        + FUNCTIONS * _shared(set(one.functions), set(other.functions))
        + ASSERTION * _shared(_words(one.assertion), _words(other.assertion))
    )


def likest(some: Iterable[Symptom], others: Sequence[Symptom]) -> float:
    """The greatest likeness between one of each; 0 where one side is empty."""
    return max((likeness(one, other) for one in some for other in others), default=0.0)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text))


def _shared(one: set[str], other: set[str]) -> float:
    """Jaccard's index; 1 where both are empty, as neither has what the other lacks."""
    return len(one & other) / len(one | other) if one | other else 1.0
