"""Waiting before the model is asked: requests saved and answers lost, for rules of many tools.

    python -m benchmarks.debounce [--json FILE]

No model: keys of this repository's code at a seeded human rhythm, answers that take a given time.
Within words gaps are lognormal with a median of 170 ms; behind a space, a bracket or a line break
one in four is a pause, with a median of 1 s. An answer is in time if it comes before the next key;
a request is asked unless a key came during the wait. `seen` is for how long an answer stands before
the next key comes, at most a second, which is what it takes to read and accept one.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import common
from completion.gate import wait_ms
from completion.hole import hole_kind
from completion.keys import Change, Keys, is_word
from tandem.config import CompletionConfig

SEED = 11
RESPONSES = (30, 100, 200, 300, 600)
READ_MS = 1000.0
_SOURCE = common.REPOSITORY / "completion" / "lexer.py"
_OPTIONS = CompletionConfig()
_HOLE = hole_kind("x = a\n", 5, "python")

# Of a document's keys, the expected response and the time: milliseconds.
Rule = Callable[[Keys, float, float], float]


def fixed(ms: float) -> Rule:
    return lambda keys, expected, now: ms


def tabby(keys: Keys, expected: float, now: float) -> float:
    """debouncer.ts: 3 mean gaps, 1.5 times fewer by a score (half behind a trigger, 0.4 at a
    line's end, where we always are), less the response; 100 to 1000 ms."""
    gaps = [min(gap, 2000.0) for gap in keys.gaps_ms(keys.at_stop)]
    mean = min(400.0, max(100.0, sum(gaps) / len(gaps))) if len(gaps) >= 20 else 200.0
    return min(1000.0, max(100.0, mean * (1.65 if keys.at_stop else 2.4) - expected))


def ours(keys: Keys, expected: float, now: float) -> float:
    return wait_ms(keys, expected, _HOLE, _OPTIONS, now)


RULES: dict[str, Rule] = {
    "none": fixed(0),
    "fixed 75 ms": fixed(75),
    "fixed 350 ms": fixed(350),
    "Tabby's": tabby,
    "ours": ours,
}


@dataclass
class Tally:
    keys: int = 0
    asked: int = 0
    in_time: int = 0
    seen_ms: float = 0.0


def gap_s(before: str, rng: random.Random) -> float:
    """To the next key, after a character."""
    if not is_word(before) and rng.random() < 0.25:
        return rng.lognormvariate(math.log(1.0), 0.7)
    return rng.lognormvariate(math.log(0.17), 0.35)


def typed(rule: Rule, response_ms: float, count: int) -> Tally:
    text = _SOURCE.read_text("utf-8")[:count]
    rng, keys, tally = random.Random(SEED), Keys(), Tally()
    now, row, column = 0.0, 0, 0
    for number, ch in enumerate(text):
        keys.changed(Change((row, column), "", ch), number + 1, now)
        row, column = (row + 1, 0) if ch == "\n" else (row, column + 1)
        took = response_ms * rng.lognormvariate(0, 0.3)
        gap = gap_s(ch, rng)
        wait = rule(keys, response_ms, now)
        tally.keys += 1
        tally.asked += gap * 1000 > wait
        left = gap * 1000 - wait - took
        tally.in_time += left > 0
        tally.seen_ms += min(max(0.0, left), READ_MS)
        now += gap
    return tally


def main() -> None:
    arguments = common.options(__doc__ or "")
    count = 1000 if arguments.quick else 6000
    rows, figures = [], {}
    for response in RESPONSES:
        for name, rule in RULES.items():
            found = typed(rule, response, count)
            seen = found.seen_ms / found.keys
            shares = found.asked / found.keys, found.in_time / max(1, found.asked)
            rows.append([response, name, f"{shares[0]:.0%}", f"{shares[1]:.0%}", f"{seen:.0f}"])
            figures[f"{name} at {response}"] = vars(found)
    none, own = (figures[f"{name} at 300"] for name in ("none", "ours"))
    common.report(
        f"Waiting before asking, {count} keys",
        ["response, ms", "rule", "keys asked", "asked in time", "seen, ms a key"],
        rows,
        ("debounce_requests_saved_at_300_ms", f"{1 - own['asked'] / none['asked']:.0%}"),
        figures,
        arguments.json,
    )


if __name__ == "__main__":
    main()
