"""How long a person takes from key to key.

Gaps are log-normal. Their mean over a text is that of 168,000 volunteers, 239 ms (Dhakal, Feit,
Kristensson, Oulasvirta: Observations on Typing from 136 Million Keystrokes, CHI 2018); the fastest
of them took half of it, which is `speed` 2. The shares below are ours, in the order that the paper
finds: letters inside a word come fast, frequent pairs faster, symbols and starts slow. Before a
statement people think; these pauses come on top.
"""

import random
from dataclasses import dataclass

from completion.languages import words

MEAN_S = 0.239
SPREAD = 0.35  # of the logarithm
LEAST_S = 0.03
# What a gap is of the mean, by what is typed and where.
PAIR, WORD, SPACE, SYMBOL = 0.62, 0.8, 0.9, 1.4
START_OF_WORD, START_OF_LINE, DELETE = 1.1, 1.7, 1.0
THINK = 0.4  # share of lines that begin with a pause
THINK_S, THINK_SPREAD = 1.2, 0.6  # its median, and the spread of its logarithm
# The most frequent pairs of English, which are frequent in names as well.
_PAIRS = words(
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le"
)


@dataclass(frozen=True)
class Rhythm:
    """One person's; `speed` 2 takes half the time."""

    speed: float = 1.0

    def gap(self, line: str, key: str, rng: random.Random) -> float:
        """Seconds before `key`, where `line` stands left of the cursor.

        `key` is a character, "\\b" for one that is deleted.
        """
        seconds = MEAN_S * _share(line, key) * _around_one(SPREAD, rng)
        if not line.strip() and not key.isspace() and key != "\b" and rng.random() < THINK:
            seconds += THINK_S * rng.lognormvariate(0, THINK_SPREAD)
        return max(LEAST_S, seconds) / self.speed


def _around_one(spread: float, rng: random.Random) -> float:
    return rng.lognormvariate(-spread * spread / 2, spread)


def _share(line: str, key: str) -> float:
    if key == "\b":
        return DELETE
    if not line.strip() and not key.isspace():
        return START_OF_LINE
    if key.isspace():
        return SPACE
    if not key.isalpha() or key.isupper():
        return SYMBOL
    if not line[-1:].isalpha():
        return START_OF_WORD
    return PAIR if (line[-1:] + key).lower() in _PAIRS else WORD
