"""Before the model: whether to ask it at all, and how long to wait before.

A suggestion where nobody accepts one costs attention, and a request that the next key makes
worthless costs the one after it time. docs/quiet.md tells each reason in a user's words.
"""

import re
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf
from pathlib import Path

from pathspec import GitIgnoreSpec

from completion import silence, tokens
from completion.document import Document
from completion.hole import Hole, Inside
from completion.index.ignore import is_rule
from completion.keys import Keys, end_of, is_word
from completion.languages import PLAINTEXT, language_row
from tandem import secrets
from tandem.config import CompletionConfig
from tandem.workspace import root_of

# After a paste or undo the editor asks at once; who asks later has looked at the place.
SETTLED_MS = 1500.0
# A suggestion seen for less was not read, so it was not turned down either (Cody counts the same).
SEEN_MS = 750.0
IN_A_ROW = 6
WITHIN_S = 60.0
FIRST_QUIET_S, LONGEST_QUIET_S = 2.0, 30.0
_BLOCK_REMARK = 4000  # characters above a line in which the comment that it stands in may begin

LONGEST_WAIT_MS = 500.0
# What asking in vain costs, as a share of what an answer in time is worth: the engine is busy for
# a moment when the next key asks. Behind a stop answers are taken more often. With these a model
# that needs 300 ms is asked at half of the keys and its answers are seen for 95% of the time
# (benchmarks/debounce.py).
_COST_STOP, _COST_WORD = 0.03, 0.1
# An answer is worth less the later it comes: part of it has been typed, or thought of, by then.
_WORTH_MS = 1000.0
# Until a user's rhythm is known: gaps between keys of 168,000 typists had a mean of 238 ms and a
# standard deviation of 112 (Dhakal et al. 2018); the pauses are those of code.
_USUAL_MS = (110, 130, 150, 160, 180, 190, 210, 230, 260, 300, 400, 600, 1500, 3000)


class Rejections:
    """Suggestions in a row that the user saw and did not take. Times are of one clock, in seconds.

    After IN_A_ROW of them within WITHIN_S it is quiet for a while, twice as long after each more.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self._times: list[float] = []
        self._until = -inf

    def rejected(self, now: float, seen_ms: float = inf) -> None:
        """One was turned down, or typed past after it was seen for so long."""
        if seen_ms < SEEN_MS:
            return
        self.in_a_row += 1
        self._times = [at for at in self._times if now - at <= WITHIN_S] + [now]
        surplus = len(self._times) - IN_A_ROW
        if surplus >= 0:
            quiet = min(FIRST_QUIET_S * 2.0 ** min(surplus, 30), LONGEST_QUIET_S)
            self._until = now + quiet

    def reset(self) -> None:
        """One was accepted, or the user asked for one."""
        self.in_a_row, self._times, self._until = 0, [], -inf

    def quiet(self, now: float) -> bool:
        return now < self._until


@dataclass(frozen=True)
class Ask:
    """How a request came. `popup`: the editor's own list is open. `now` is by the clock of `keys`.
    `last`: outcomes in the document, the newest first."""

    now: float
    invoked: bool = False
    popup: bool = False
    snoozed: bool = False
    keys: Keys | None = None
    rejections: Rejections | None = None
    last: Sequence[str] = ()


def refusal(
    document: Document, offset: int, hole: Hole, ask: Ask, options: CompletionConfig
) -> str:
    """Why the model is not asked: a reason of `silence`, "" if it may be."""
    refused = _never(document, options)
    if refused or ask.invoked:
        return refused
    return _by_setting(document, offset, hole, ask, options) or (
        _by_typing(document.text, offset, ask) if options.gate else ""
    )


def _never(document: Document, options: CompletionConfig) -> str:
    """What holds even for who asks by a key."""
    if not options.enabled:
        return silence.DISABLED
    if document.language in options.disabled_languages:
        return silence.DISABLED_LANGUAGE
    if options.disabled_paths and _is_disabled(document, tuple(options.disabled_paths)):
        return silence.DISABLED_PATH
    return silence.PROTECTED_FILE if secrets.is_secret_file(document.path) else ""


def _by_setting(
    document: Document, offset: int, hole: Hole, ask: Ask, options: CompletionConfig
) -> str:
    if options.trigger == "manual":
        return silence.MANUAL
    if ask.snoozed:
        return silence.SNOOZED
    if ask.popup and not options.with_popup:
        return silence.POPUP
    inside = _inside(document, offset, hole)
    if inside == "comment" and not options.in_comments:
        return silence.IN_COMMENT
    return silence.IN_STRING if inside == "string" and not options.in_strings else ""


def _inside(document: Document, offset: int, hole: Hole) -> Inside:
    """What the cursor stands in. In prose and data all is code: there nearly all is quoted."""
    row, text = language_row(document.language), document.text
    if row.has_statements:
        return hole.inside
    if row.name == PLAINTEXT.name:
        return "code"
    start = text.rfind("\n", 0, offset) + 1
    if row.block_remark:
        opener, closer = row.block_remark
        window = text[max(0, start - _BLOCK_REMARK) : start]
        # In the middle of a line it is more often part of a path or a pattern.
        opened = [match.end() for match in re.finditer(rf"(?m)^[ \t]*{re.escape(opener)}", window)]
        if opened and closer not in window[opened[-1] :]:
            start -= len(window) - opened[-1] + len(opener)
    return tokens.read(text, start, offset, 0, document.language).inside


def _by_typing(text: str, offset: int, ask: Ask) -> str:
    keys = ask.keys
    in_word = is_word(text[offset - 1 : offset]) and is_word(text[offset : offset + 1])
    if in_word and not (keys and keys.retyping and _is_at(keys, text, offset)):
        return silence.IN_WORD
    if keys is not None and keys.since_ms(ask.now) < SETTLED_MS:
        if keys.kind == "pasted" and _is_at(
            keys, text, offset
        ):  # elsewhere it was a tool, or another cursor
            return silence.PASTED
        if keys.kind == "undone":
            return silence.UNDONE
    if ask.rejections is not None and ask.rejections.quiet(ask.now):
        return silence.REJECTED
    return ""


def _is_at(keys: Keys, text: str, offset: int) -> bool:
    """Whether the cursor is behind the last change. Reads the text up to it."""
    return keys.place == end_of((0, 0), text[:offset])


def _is_disabled(document: Document, patterns: tuple[str, ...]) -> bool:
    """By the path in the repository, else in the editor's folder, else by the whole path."""
    path = document.path
    root = (root_of(path) if path.is_absolute() else None) or document.root or Path("/")
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return _spec(patterns).match_file(inside.as_posix().lstrip("/"))


@lru_cache(maxsize=8)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(line for line in patterns if is_rule(line))


def wait_ms(
    keys: Keys | None, expected_ms: float, hole: Hole, options: CompletionConfig, now: float
) -> float:
    """How long to wait before asking, so that a key that comes meanwhile asks instead.

    Tabby waits a multiple of the mean gap between keys less the expected response (debouncer.ts);
    that delays answers which would have been in time. Here the user's own last gaps tell how
    likely the next key comes before the answer, for each wait that could be chosen, and the one
    is taken that is worth most: an answer in time is worth 1, less the later it comes, and a
    request costs a share of it. So nothing waits where the answer comes before the next key
    anyway; where fingers are faster than the model, the wait ends when the burst of keys would
    have gone on. At most LONGEST_WAIT_MS; 0 without a known last key, or where one has settled.
    """
    if not options.debounce or keys is None or not keys.kind:
        return 0.0
    passed, rhythm = keys.since_ms(now), keys.rhythm()
    if keys.kind == "deleted":  # who deletes goes on, or types
        median = rhythm.median_ms if rhythm else statistics.median(_USUAL_MS)
        return min(max(0.0, median - passed), LONGEST_WAIT_MS)
    stop = hole.kind == "block" or keys.at_stop
    gaps = keys.gaps_ms(stop) if rhythm else _USUAL_MS
    coming = sorted(gap - passed for gap in gaps if gap > passed)
    cost = _COST_STOP if stop else _COST_WORD
    return _best_wait(coming, max(0.0, expected_ms), cost) if coming else 0.0


def _best_wait(coming: Sequence[float], expected: float, cost: float) -> float:
    """`coming`: sorted milliseconds from now until the next key, each as likely."""
    best, most = 0.0, -inf
    for wait in (0.0, *(gap for gap in coming if gap <= LONGEST_WAIT_MS)):
        in_time = len(coming) - bisect_right(coming, wait + expected)
        asked = len(coming) - bisect_right(coming, wait)
        worth = in_time * exp(-(wait + expected) / _WORTH_MS) - cost * asked
        if worth > most:
            best, most = wait, worth
    return best
