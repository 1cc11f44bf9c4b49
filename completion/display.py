"""Is a suggestion worth showing? A small logistic model on what is known when it is made.

The features are defined here and nowhere else: the session writes them into the trace, training
reads them from there. A model file is JSON; one learned on this machine (`tandem gate train`)
goes before the one that we ship, which was learned from replays of public code.
"""

import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from completion.hole import Hole
from completion.keys import Keys, is_word
from tandem import paths

FORMAT = 1
SHIPPED = Path(__file__).parent / "data" / "display_gate.json"
# Of what would be hidden one in so many is shown all the same, or nothing could ever be learned
# about what is hidden.
EXPLORED = 20
LAST_OUTCOMES = 10
_LOWEST = -10.0  # log-probability, in nats; lower ones say nothing more
_LANGUAGES = ("python", "javascript", "typescript", "go", "rust")
_PLACES = ("import", "argument", "body", "member", "string", "comment")
_NAMES = re.compile(r"[^\W\d]\w*")


def features(
    shown: str,
    text: str,
    offset: int,
    hole: Hole,
    language: str,
    logprobs: Sequence[float] = (),
    place: str = "",
    last: Sequence[str] = (),
    keys: Keys | None = None,
    now: float = 0.0,
) -> dict[str, float]:
    """What is known of `shown`, a suggestion for the cursor at `offset` of `text`.

    `logprobs`: of its tokens, in nats. `place`: by `scope.Scope`. `last`: outcomes in this
    document, the newest first (accepted, typed, rejected, ignored). What is not known (no
    log-probabilities, no outcomes, no keys) is left out, and then says nothing either way.
    """
    line, _, more = shown.partition("\n")
    left = text[text.rfind("\n", 0, offset) + 1 : offset]
    end = text.find("\n", offset)
    right = text[offset : len(text) if end < 0 else end]
    names = [match[0] for match in _NAMES.finditer(shown)]
    if names and shown[:1] and is_word(shown[0]) and is_word(left[-1:]):
        names[0] = _word_before(left) + names[0]  # the rest of a name that is begun
    found: dict[str, float] = {
        "characters": math.log1p(len(shown)),
        "line_characters": math.log1p(len(line)),
        "lines": min(shown.rstrip("\n").count("\n"), 10),
        "more": bool(more.strip()),
        "words": math.log1p(len(names)),
        "new_names": sum(name not in text for name in names) / max(1, len(names)),
        "seen_line": len(line.strip()) > 3 and line.strip() in text,
        "column": math.log1p(len(left.strip())),
        "blank_line": not left.strip(),
        "in_word": is_word(left[-1:]),
        "after_space": left[-1:] == " " and bool(left.strip()),
        "after_opener": left[-1:] in ("(", "[", "{", ","),
        "after_dot": left[-1:] == ".",
        "right": bool(right.strip()),
        "statement": hole.kind == "statement",
        "block": hole.kind == "block",
        "not_code": hole.inside != "code",
    }
    found |= {f"in_{name}": language.startswith(name) for name in _LANGUAGES}
    if place:
        found |= {f"at_{name}": place == name for name in _PLACES}
    if logprobs:
        found |= _likelihood(logprobs, len(line) / max(1, len(shown)))
    if last:
        took = [one in ("accepted", "typed") for one in last[:LAST_OUTCOMES]]
        found["took_last"] = took[0]
        found["took"] = sum(took) / len(took)
        found["left_in_a_row"] = took.index(True) if True in took else len(took)
    rhythm = keys.rhythm() if keys else None
    if keys is not None and keys.kind:
        found["since_key"] = math.log1p(min(keys.since_ms(now), 60_000))
        found["deleted"] = keys.kind == "deleted"
    if rhythm is not None:
        found["rhythm"] = math.log1p(rhythm.median_ms)
    return {name: round(float(value), 4) for name, value in found.items()}


def of_shown(
    marks: Sequence[tuple[int, int]], logprobs: Sequence[float], shown: str
) -> list[float]:
    """Of an answer's log-probabilities those of what is shown, which is often less.

    `marks`: after each piece of the stream, the characters and the log-probabilities until then.
    """
    for characters, count in marks:
        if characters >= len(shown):
            return list(logprobs[:count])
    return list(logprobs)


def _likelihood(logprobs: Sequence[float], line_share: float) -> dict[str, float]:
    """`line_share`: how much of the suggestion is its first line."""
    clipped = [max(one, _LOWEST) for one in logprobs]
    mean = sum(clipped) / len(clipped)
    head = clipped[: max(1, round(line_share * len(clipped)))]
    return {
        "logprob_mean": mean,
        "logprob_min": min(clipped),
        "logprob_first": clipped[0],
        "logprob_second": clipped[1] if len(clipped) > 1 else clipped[0],
        "logprob_line": max(sum(head), 2 * _LOWEST),
        "line_min": min(head),
        "line_chance": math.exp(sum(head)),
        "tokens": math.log1p(len(clipped)),
    }


def _word_before(left: str) -> str:
    at = len(left)
    while at and is_word(left[at - 1]):
        at -= 1
    return left[at:]


@dataclass(frozen=True)
class Figures:
    """On suggestions that the model has not seen: how many were shown and accepted without it,
    how many of them it hides. `gain` is that of the share accepted, with its 95% interval; `lost`
    the share of accepted characters that it hides."""

    shown: int
    accepted: int
    hidden: int
    gain: float
    low: float
    high: float
    lost: float

    def __post_init__(self) -> None:
        assert 0 <= self.accepted <= self.shown
        assert 0 <= self.hidden <= self.shown


@dataclass(frozen=True)
class Gate:
    """A logistic model. A feature that is missing counts as its mean. `trained`: how, on what."""

    weights: Mapping[str, float]
    means: Mapping[str, float]
    scales: Mapping[str, float]
    bias: float
    threshold: float
    figures: Figures
    trained: Mapping[str, Any] = field(default_factory=dict)

    def score(self, known: Mapping[str, float]) -> float:
        """The chance that the suggestion is accepted, 0 to 1."""
        z = self.bias
        for name, weight in self.weights.items():
            if name in known:
                z += weight * (known[name] - self.means[name]) / self.scales[name]
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, z))))

    def likely(self, known: Mapping[str, float]) -> bool:
        """Whether it is worth showing. A gate that lacks most of what it goes by hides nothing:
        a server may not tell log-probabilities."""
        weighed = sum(abs(weight) for name, weight in self.weights.items() if name in known)
        informed = weighed >= sum(map(abs, self.weights.values())) / 2
        return not informed or self.score(known) >= self.threshold

    def verdict(self, known: Mapping[str, float], shown: str) -> "Verdict":
        score = self.score(known)
        unlikely = not self.likely(known)
        # By the text, so that the same suggestion is not shown at one key and hidden at the next.
        explored = unlikely and zlib.crc32(shown.strip().encode("utf-8", "replace")) % EXPLORED == 0
        return Verdict(round(score, 4), not unlikely or explored, explored)

    def save(self, file: Path) -> None:
        """Raises OSError."""
        with paths.atomic_write(file) as stream:
            json.dump({"v": FORMAT, **asdict(self)}, stream, indent=1)
            stream.write("\n")


@dataclass(frozen=True)
class Verdict:
    """`explored`: shown although it is unlikely, to learn from it."""

    score: float
    show: bool
    explored: bool


def own_file() -> Path:
    """Where a model learned on this machine lies."""
    return paths.state_dir() / "display_gate.json"


def current() -> Gate:
    """The user's own model if there is one that can be read, else the shipped one. Cheap."""
    return _loaded(own_file(), _stamp(own_file())) or shipped()


@lru_cache(maxsize=1)
def shipped() -> Gate:
    gate = load(SHIPPED)
    assert gate is not None, "the shipped model is part of the package"
    return gate


def load(file: Path) -> Gate | None:
    """None if there is none, or not one of ours."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.pop("v", None) != FORMAT:
        return None
    try:
        gate = Gate(**{**found, "figures": Figures(**found["figures"])})
        return gate if _sane(gate) else None
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError):
        return None


def _sane(gate: Gate) -> bool:
    numbers = [gate.bias, gate.threshold, *gate.weights.values(), *gate.means.values()]
    scaled = all(map(math.isfinite, numbers)) and min(gate.scales.values(), default=1.0) > 0
    return scaled and gate.weights.keys() <= gate.means.keys() & gate.scales.keys()


@lru_cache(maxsize=2)
def _loaded(file: Path, stamp: tuple[int, int] | None) -> Gate | None:
    return load(file) if stamp else None


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
