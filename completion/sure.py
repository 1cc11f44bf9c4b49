"""How much of a suggestion is worth showing: its start, up to where it is likely to go wrong.

A suggestion is taken as a whole or not at all, so a doubtful end costs its sure start. Shown is the
start that saves the most keys on average: its chance to be right, by the model's own word, times the
keys that taking it saves. What is left out is known, and follows as soon as the start is taken.
"""

import math
from collections.abc import Callable, Iterator, Sequence

# The model's log-probabilities are too sure of long texts and too unsure of short ones; this
# factor did best on the training repositories of the display gate (docs/LOG.md, 2026-11-26).
CALIBRATION = 0.7
LEAST = 3  # characters; less is quicker typed


def sure_part(
    text: str, tokens: Sequence[tuple[int, float]], may_end: Callable[[str], bool]
) -> int:
    """How many characters of `text` to show.

    `tokens`: where each ends in the text, in characters, and its log-probability in nats; without
    any it is the whole text. It is cut between words only, and where `may_end` of the start allows
    it.
    """
    sums: list[tuple[int, float]] = []
    total = 0.0
    for end, nats in tokens:
        total += nats
        sums.append((min(end, len(text)), total))
        if end >= len(text):
            break
    least = _saved(len(text.rstrip()), sums[-1][1] if sums else 0.0)
    starts = [(_saved(kept, nats), kept) for kept, nats in _starts(text, sums)]
    # The best first: whether a text may end somewhere costs more to say than what it saves.
    for saves, kept in sorted(starts, key=lambda start: -start[0]):
        if saves <= least:
            break
        if may_end(text[:kept]):
            return kept
    return len(text)


def _starts(text: str, sums: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Where it could be cut, in characters, and the nats up to there."""
    for end, nats in sums:
        kept = len(text[:end].rstrip())
        if kept >= LEAST and _is_border(text, kept):
            yield kept, nats


def _saved(characters: int, nats: float) -> float:
    """Keys on average: all but the one that takes it, if it is right."""
    return math.exp(CALIBRATION * nats) * (characters - 1)


def _is_border(text: str, at: int) -> bool:
    return at == len(text) or not (_is_word(text[at - 1]) and _is_word(text[at]))


def _is_word(ch: str) -> bool:
    return ch.isalnum() or ch == "_"
