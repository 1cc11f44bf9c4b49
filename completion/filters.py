"""What may be shown of an answer: repairs and rejections after generation.

Each rule takes the text and gives what is left of it; `finish` runs them in order and names the
one that left nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from completion.hole import Hole, closers_in, closes_string
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

    `complete`: the model or the stop rule ended it; false when the token limit did. Reasons:
    - "empty answer": nothing but white space, or nothing that belongs to this place
    - "repeats the suffix": all of it stands right of the cursor or below it already (a stop rule
      that left nothing says so by `StopRule.repeats_suffix`)
    - "unbalanced brackets": it opened brackets or a string that nothing closes
    - "cut off": the token limit came before a first line that can stand alone
    """
    if blank(text):
        return Filtered("", "empty answer")
    rules: list[tuple[Reason, Callable[[str], str]]] = [
        ("cut off", lambda t: t if complete else drop_partial_line(t, suffix, hole)),
        ("repeats the suffix", lambda t: trim_suffix_overlap(t, prefix, suffix, hole)),
        ("unbalanced brackets", lambda t: balance_brackets(t, suffix, hole)),
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


def drop_partial_line(text: str, suffix: str, hole: Hole) -> str:
    """Whole lines only; a first line that the token limit cut stays if its brackets are closed."""
    newline = text.rfind("\n")
    if blank(text[: max(newline, 0)]):
        return text if balance_brackets(text, suffix, hole) == text else ""
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
            if _unclosed(trimmed, suffix, hole) <= _unclosed(text, suffix, hole):
                return trimmed
    return text


def balance_brackets(text: str, suffix: str, hole: Hole) -> str:
    """Cut where the answer closes too much, or back to where it has all it opened closed.

    Too much is what the suffix closes, or what nobody opened. An answer that leaves open what it
    opened itself (and that the suffix does not close) is cut to its last line without that.
    """
    balance = _Balance(hole, suffix)
    whole_lines = 0
    for at, ch in enumerate(text):
        if ch == "\n" and not balance.unclosed:
            whole_lines = at
        if not balance.step(ch):
            if balance.broken:
                break
            text = text[: at - balance.overshoot]
            break
    if balance.broken or balance.unclosed_by_suffix():
        return text[:whole_lines].rstrip()
    return text


def _unclosed(text: str, suffix: str, hole: Hole) -> int:
    """Brackets and strings that the answer opened and that nothing closes."""
    balance = _Balance(hole, suffix)
    for ch in text:
        balance.step(ch)
    return balance.unclosed_by_suffix()


class _Balance:
    """Follows an answer's brackets and strings against those around the hole."""

    def __init__(self, hole: Hole, suffix: str) -> None:
        self._hole = hole
        self._suffix = suffix
        self._lexer = hole.lexer.copy()
        self._floor = hole.floor
        self._lowest = len(self._lexer.stack)
        self._first_string = hole.lexer.quote
        self.broken = False
        self.overshoot = 0  # characters of a closing delimiter before its last

    @property
    def unclosed(self) -> int:
        """Brackets and strings that the answer opened and has not closed."""
        own_string = bool(self._lexer.quote) and not self._first_string
        return len(self._lexer.stack) - self._lowest + own_string

    def unclosed_by_suffix(self) -> int:
        """Those of them that the suffix does not close either."""
        if not self.unclosed:
            return 0
        lexer = self._lexer
        own_string = bool(lexer.quote) and not self._first_string
        closers = closers_in(self._suffix, lexer, self._hole.indent)
        kept_open = max(self._lowest, len(closers))
        open_string = own_string and not closes_string(lexer.quote, self._suffix)
        return max(0, len(lexer.stack) - kept_open) + open_string

    def step(self, ch: str) -> bool:
        """False at a character that must not be shown, with `overshoot` before it."""
        lexer = self._lexer
        if lexer.in_code and ch in CLOSERS:
            if len(lexer.stack) <= self._floor:
                return False
            self.broken = OPENERS[lexer.stack[-1]] != ch
            if self.broken:
                return False
        lexer.step(ch)
        self._lowest = min(self._lowest, len(lexer.stack))
        self.broken = lexer.broken
        if self._first_string and not lexer.quote and not self.broken:
            delimiter, self._first_string = self._first_string, ""
            self.overshoot = len(delimiter) - 1
            return not self._hole.string_closed
        return not self.broken
