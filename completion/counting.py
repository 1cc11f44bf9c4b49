"""How many tokens a text has: exactly where the tokenizer is at hand, else a safe guess."""

import re
from collections.abc import Callable
from functools import lru_cache

from tandem.config import Config
from tandem.errors import TandemError

Counter = Callable[[str], int]

# Code has 3 to 4 characters a token in the vocabularies we know; 2.5 errs on the short side.
CHARACTERS_PER_TOKEN = 2.5
# Lines whose counts are kept, and from how many characters on none is.
KEPT, LONGEST = 50_000, 500
# Where vocabularies split a text whatever stands around: a line break begins a word with the blanks
# around it, or it ends one with the signs before it.
_SPLITS = (re.compile(r"(?<!\s)(?=\s*\n)"), re.compile(r"(?<=\n)(?![ \t]*\n)"))
_SAMPLE = '''\
import os

@cache
def longest(names: list[str], limit=12):
    """The longest name.\n\n    None if there is none."""
    found = [
        name.strip() for name in names if len(name) < limit
    ]
\tif not found:


\t\treturn None  # it's empty

    return max(found, key=len)
for (let i = 0; i < n; i++) {
    call(items[i], { a: 1 }, "text");
}
'''


def estimate(text: str) -> int:
    return int(len(text) / CHARACTERS_PER_TOKEN) + 1 if text else 0


def by_lines(count: Counter) -> Counter:
    """The same counts for a fraction of the time, where lines can be counted one by one.

    A prompt is much like the last one, and a tokenizer takes 0.3 ms for 1,000 characters. Which
    split its vocabulary bears is seen on a sample: lines of others add up to a token more here
    and there, so one that bears none is asked for whole texts.
    """
    for split in _SPLITS:
        if sum(map(count, split.split(_SAMPLE))) == count(_SAMPLE):
            return _ByLines(count, split)
    return count


class _ByLines:
    def __init__(self, count: Counter, split: re.Pattern[str]) -> None:
        self._count = count
        self._known = lru_cache(KEPT)(count)
        self._split = split

    def __call__(self, text: str) -> int:
        tokens = 0
        for line in self._split.split(text):
            tokens += self._known(line) if len(line) < LONGEST else self._count(line)
        return tokens


def counter_for(config: Config) -> Counter:
    """Reads the tokenizer of a local model; takes some 100 ms."""
    if config.endpoint:
        return estimate
    # Imported here: reading them takes longer than a remote model's whole start.
    from completion import models
    from completion.engine.tokenizer import Tokenizer

    try:
        return by_lines(Tokenizer.load(models.resolve(config.model).folder).count)
    except TandemError:
        return estimate
