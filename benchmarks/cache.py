"""What a look-up in the suggestion cache costs, with the cache full and a file of 10,000 lines.

    python -m benchmarks.cache [--quick] [--json FILE]

The file is the standard library's argparse over and over, each line with a number of its own.
CPU microseconds of one look-up, p50, p99 and the most: of keys that type an answer through, of
places where nothing is known, and of a file of empty lines, where each place looks like the next.
"""

import argparse as source
import random
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common
from completion.cache import ENTRIES, FILES, Cache, Known

SEED = 7
LINES = 10_000
LOOK_UPS = 20_000
ANSWER = 60  # characters, as 16 tokens are
FILE = Path("/w/0.py")

Key = tuple[str, int]  # a text and the cursor's offset in it


def main() -> None:
    options = common.options("cost of a look-up in the suggestion cache")
    count = LOOK_UPS // 10 if options.quick else LOOK_UPS
    chance = random.Random(SEED)
    text = long_text()
    cache, typed = full(text, chance)
    assert all(cache.find(FILE, *key) for key in typed), "a text that was put is found"
    blank = blank_lines()

    def asked(keys: Sequence[Key], cache: Cache) -> dict[str, float]:
        return timed([chance.choice(keys) for _ in range(count)], cache)

    anywhere = [(text, chance.randrange(len(text))) for _ in range(count)]
    rows = {
        "typed through": asked(typed, cache),
        "nothing known": asked(anywhere, cache),
        "a file of empty lines": asked(
            [("\n" * LINES, chance.randrange(LINES)) for _ in range(10)], blank
        ),
    }
    common.report(
        f"Look-ups in a full cache, a file of {LINES:,} lines: CPU microseconds",
        ["look-up", "p50", "p99", "most"],
        [[name, *figures.values()] for name, figures in rows.items()],
        ("cache_lookup_us_p99", f"{rows['nothing known']['p99']:.0f}"),
        {"cpu_us": rows},
        options.json,
    )


def long_text() -> str:
    """Python code of LINES lines, in which no place is there twice."""
    lines = Path(source.__file__).read_text("utf-8").splitlines()
    return "".join(f"{lines[n % len(lines)]}  # {n}\n" for n in range(LINES))


def full(text: str, chance: random.Random) -> tuple[Cache, list[Key]]:
    """A cache with as much as it keeps, and a key typed in each answer of FILE.

    The text lacks what is suggested at a place until it is typed.
    """
    cache, keys = Cache(), []
    for number in reversed(range(FILES)):
        keys = []
        for _ in range(ENTRIES):
            place = chance.randrange(len(text) - ANSWER)
            before, answer, after = (
                text[:place],
                text[place : place + ANSWER],
                text[place:][ANSWER:],
            )
            cache.put(FILE.with_stem(f"{number}"), before + after, place, Known(answer))
            count = chance.randrange(ANSWER // 2)
            keys.append((before + answer[:count] + after, place + count))
    return cache, keys


def blank_lines() -> Cache:
    """Answers of empty lines alone, each of which nearly fits everywhere in a file of them."""
    cache = Cache()
    for number in range(ENTRIES):
        cache.put(FILE, "\n" * LINES + str(number), LINES, Known("\n" * ANSWER + "x"))
    return cache


def timed(keys: Sequence[Key], cache: Cache) -> dict[str, float]:
    found: list[float] = []
    for text, offset in keys:
        began = time.thread_time_ns()
        cache.find(FILE, text, offset)
        found.append((time.thread_time_ns() - began) / 1000)
    return {
        "p50": common.percentile(found, 0.5),
        "p99": common.percentile(found, 0.99),
        "most": max(found),
    }


if __name__ == "__main__":
    main()
