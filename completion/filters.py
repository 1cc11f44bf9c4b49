"""What may be shown of an answer: repairs and rejections after generation.

Each rule takes the text and gives what is left of it; `finish` runs them in order and names the
one that left nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from completion.hole import Hole
from completion.lexer import CLOSERS, OPENERS
from completion.overlap import next_lines, trim_remainder, trim_trailing_space
from completion.stop import StopRule

__all__ = [
    "Filtered",
    "Reason",
    "StopRule",
    "balance_brackets",
    "blank",
    "drop_partial_line",
    "finish",
    "trim_suffix_overlap",
]

Reason = Literal["", "empty answer", "repeats the suffix", "unbalanced brackets", "cut off"]


@dataclass(frozen=True)
class Filtered:
    """What is left of an answer. `reason` says why there is nothing, else it is ""."""

    text: str
    reason: Reason


def finish(text: str, prefix: str, suffix: str, hole: Hole, complete: bool) -> Filtered:
    """What to show of `text`, an answer for the hole between `prefix` and `suffix`.

    `complete`: the model or the stop rule ended it; false when the token limit did.
    """
    if blank(text):
        return Filtered("", "empty answer")
    rules: list[tuple[Reason, Callable[[str], str]]] = [
        ("cut off", lambda t: t if complete else drop_partial_line(t, hole)),
        ("repeats the suffix", lambda t: trim_suffix_overlap(t, prefix, suffix, hole)),
        ("unbalanced brackets", lambda t: balance_brackets(t, hole)),
        # What stood before a surplus bracket may be the suffix's start.
        ("repeats the suffix", lambda t: trim_suffix_overlap(t, prefix, suffix, hole)),
    ]
    for reason, rule in rules:
        text = rule(text)
        if blank(text):
            return Filtered("", reason)
    return Filtered(trim_trailing_space(text, suffix), "")


def blank(text: str) -> bool:
    """Nothing but white space."""
    return not text.strip()


def drop_partial_line(text: str, hole: Hole) -> str:
    """Whole lines only; a first line that the token limit cut stays if its brackets are closed."""
    newline = text.rfind("\n")
    if blank(text[: max(newline, 0)]):
        return text if balance_brackets(text, hole) == text else ""
    return text[:newline]


def trim_suffix_overlap(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    """Without an end that repeats the rest of the cursor's line, or the lines below it."""
    return trim_remainder(_trim_next_lines(text, prefix, suffix, hole), prefix, suffix, hole)


def _trim_next_lines(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    left = prefix[prefix.rfind("\n") + 1 :]
    starts = [0, *(i + 1 for i, ch in enumerate(text) if ch == "\n")]
    # The first line is a whole line of the document only if nothing stands left of it.
    lines = [
        (start, ("" if start else left) + text[start:].split("\n", 1)[0].rstrip())
        for start in starts
        if start or blank(left)
    ]
    lines = [(start, line) for start, line in lines if line.strip()]
    below = next_lines(suffix, len(lines))
    for size in range(min(len(lines), len(below)), 0, -1):
        if [line for _, line in lines[-size:]] == below[:size]:
            trimmed = text[: lines[-size][0]].rstrip()
            # A closer that stands below as well may still be one that the answer owes.
            if _unclosed(trimmed, hole) <= _unclosed(text, hole):
                return trimmed
    return text


def _unclosed(text: str, hole: Hole) -> int:
    """Brackets and strings that the answer leaves open."""
    balance = _Balance(hole)
    for ch in text:
        balance.step(ch)
    return balance.unclosed


def balance_brackets(text: str, hole: Hole) -> str:
    """Cut where the answer closes too much, or back to where it has all it opened closed.

    Too much is what the suffix closes, or what nobody opened. An answer that leaves open what it
    opened itself (and that the suffix does not close) is cut to its last line without that.
    """
    balance = _Balance(hole)
    whole_lines = 0
    end = len(text)
    for at, ch in enumerate(text):
        if ch == "\n" and not balance.unclosed:
            whole_lines = at
        if not balance.step(ch):
            end = at - balance.overshoot
            break
    if balance.unclosed and end == len(text):
        return text[:whole_lines].rstrip()
    if balance.broken:
        return text[:whole_lines].rstrip()
    return text[:end]


class _Balance:
    """Follows an answer's brackets and strings against those around the hole."""

    def __init__(self, hole: Hole) -> None:
        self._lexer = hole.lexer.copy()
        self._lexer.broken = False
        self._floor = hole.floor
        self._closed_below = len(hole.closers)
        self._lowest = len(self._lexer.stack)
        self._first_string = hole.lexer.quote
        self._string_closed = hole.string_closed
        self.broken = False
        self.overshoot = 0

    @property
    def unclosed(self) -> int:
        """Brackets and strings that the answer opened and that nothing closes yet."""
        depth = len(self._lexer.stack)
        own_string = bool(self._lexer.quote) and not self._first_string
        return max(0, depth - max(self._lowest, self._closed_below)) + own_string

    def step(self, ch: str) -> bool:
        """False at a character that must not be shown; `overshoot` before it neither."""
        lexer = self._lexer
        if lexer.in_code and ch in CLOSERS:
            if len(lexer.stack) <= self._floor:
                return False
            if OPENERS[lexer.stack[-1]] != ch:
                self.broken = True
                return False
        lexer.step(ch)
        self._lowest = min(self._lowest, len(lexer.stack))
        if lexer.broken:
            self.broken = True
            return False
        if self._first_string and not lexer.quote:
            delimiter, self._first_string = self._first_string, ""
            if self._string_closed:
                self.overshoot = len(delimiter) - 1
                return False
        return True
