"""How much of a suggestion is worth showing: its start, up to where it is likely to go wrong.

A suggestion is taken as a whole or not at all, so a doubtful end costs its sure start. But what is
left out is known, and follows as soon as the start is taken, for one key more. So a suggestion is
shown in the parts that save the most keys on average: all that a part brings but the key that takes
it, times its chance to be right by the model's own word, and what the parts behind it save then.
"""

import math
from collections.abc import Callable, Iterator, Sequence

# Chosen on the training repositories of the display gate (docs/LOG.md, 2026-11-26).
CALIBRATION = 1.0  # times a log-probability
LOOK = 1.0  # keys; what it costs to read one more part
LEAST = 3  # characters; less is quicker typed
_UNLIKELY = -300.0  # nats; less is as good as never, and could not be divided by


def sure_part(
    text: str, tokens: Sequence[tuple[int, float]], may_end: Callable[[str], bool]
) -> int:
    """How many characters of `text` to show.

    `tokens`: where each ends in the text, in characters, and its log-probability in nats; without
    any it is the whole text. It is cut between words and parts of names only, and where `may_end` of the start allows
    it.
    """
    if not tokens:
        return len(text)
    cuts = list(_cuts(text, tokens))
    while True:
        first = _first(cuts)
        # Whether a text may end somewhere costs more to say than where it had best end.
        if first == len(cuts) - 1:
            return len(text)
        if may_end(text[: cuts[first][0]]):
            return cuts[first][0]
        del cuts[first]


def _cuts(text: str, tokens: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Where it could be cut, in characters, and its chance up to there; last the whole of it."""
    whole, nats = len(text.rstrip()), 0.0
    for end, token in tokens:
        nats = max(nats + token, _UNLIKELY)
        kept = len(text[:end].rstrip())
        if LEAST <= kept < whole and _is_border(text, kept):
            yield kept, math.exp(CALIBRATION * nats)
        if end >= len(text):
            break
    yield whole, math.exp(CALIBRATION * nats)


def _first(cuts: Sequence[tuple[int, float]]) -> int:
    """The end of the first part of those that save the most keys."""
    points = [(0, 1.0), *cuts]
    last = len(points) - 1
    saves, best = [0.0] * len(points), last
    for start in range(last - 1, -1, -1):
        at, sure = points[start]
        most = -math.inf
        for end in range(start + 1, len(points)):
            kept, chance = points[end]
            if kept - at < LEAST and end < last:
                continue
            keys = chance / sure * (kept - at - 1 + saves[end]) - LOOK
            if keys > most:
                most, best = keys, end
        saves[start] = most
    return best - 1


def _is_border(text: str, at: int) -> bool:
    """Between words, or between the words of a name, as in `row_count` and `rowCount`."""
    if at == len(text):
        return True
    one, other = text[at - 1], text[at]
    within = _is_word(one) and _is_word(other)
    return not within or (one == "_" != other) or (one.islower() and other.isupper())


def _is_word(ch: str) -> bool:
    return ch.isalnum() or ch == "_"
