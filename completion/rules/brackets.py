"""Brackets and strings: what the answer opens it closes, and it closes no more than that."""

from completion.hole import Hole, closers_in, closes_string
from completion.lexer import CLOSERS, OPENERS
from completion.rules.pairs import Pairs, Unpaired

# Brackets of the cursor's line and the answer that a statement may have open at once.
_MOST_BROKEN = 8


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


def unclosed(text: str, suffix: str, hole: Hole) -> int:
    """Brackets and strings that a start of an answer opened and that nothing closes.

    What was open at the cursor may be what the rest of the answer closes.
    """
    balance = _Balance(hole, suffix)
    for ch in text:
        balance.step(ch)
    return balance.unclosed_by_suffix(most_broken=_MOST_BROKEN)


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

    def unclosed_by_suffix(self, most_broken: int = 0) -> int:
        """Those of them that the suffix does not close either; see `_left_open`."""
        if not self.unclosed:
            return 0
        lexer, before = self._lexer, self._hole.lexer.stack
        own_string = bool(lexer.quote) and not self._first_string
        closers = closers_in(self._suffix, lexer, self._hole.indent)
        opened = _left_open(lexer.stack, closers, most_broken)
        opened -= _left_open(before, closers, most_broken)
        open_string = own_string and not closes_string(lexer.quote, self._suffix)
        return max(0, opened) + open_string

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


def drop_partial_line(text: str, suffix: str, hole: Hole) -> str:
    """Whole lines only; a first line that the token limit cut stays if it, or what follows on the
    cursor's line, closes its brackets."""
    newline = text.rfind("\n")
    if not text[: max(newline, 0)].strip():
        rest = suffix.split("\n", 1)[0]
        return text if balance_brackets(text, rest, hole) == text else ""
    return text[:newline]


def _left_open(stack: list[str], closers: str, most_broken: int) -> int:
    """How many of these brackets the closers leave open at least. They close the innermost first;
    but so many of the innermost may be broken, and they close those around them."""
    return min(
        broken + len(rest) - _closed(rest, closers)
        for broken in range(min(len(stack), most_broken) + 1)
        for rest in [stack[: len(stack) - broken]]
    )


def _closed(stack: list[str], closers: str) -> int:
    for closed in range(min(len(stack), len(closers))):
        if OPENERS[stack[-1 - closed]] != closers[closed]:
            return closed
    return min(len(stack), len(closers))


def cut_what_unbalances(text: str, pairs: Pairs, hole: Hole) -> str:
    """The text without the last lines that leave a bracket, a string or a comment of the whole
    file without its partner, unless that had none without the answer either.

    A bracket that the suffix closes and nobody opened has to be opened: someone who edits the head
    of `if (a) {` above its body wants a head with its bracket.
    """
    before = _with_end("", pairs, hole)
    while text and not _is_sound(text, before, pairs, hole):
        text = text[: max(0, text.rfind("\n"))].rstrip()
    return text


def _is_sound(text: str, before: Unpaired, pairs: Pairs, hole: Hole) -> bool:
    now = _with_end(text, pairs, hole)
    if now.hides and not (pairs.awaits_comment() if now.hides == "comment" else not before.told):
        return False
    if now.none:
        return True
    if not now.told or not before.told:
        # What is code and what is not is anybody's guess. Where we know the language, a string of
        # the answer's own has an end by now.
        return hole.lexer.language.has_statements and not before.told
    if now.closers > before.closers or now.others > before.others:
        return False
    surplus = len(hole.closers) - hole.floor
    awaited = surplus > 0 if hole.lexer.language.has_statements else before.closers > 0
    # What closes them on this very line leaves no room for more than this text.
    if awaited and now.closers and pairs.suffix.split("\n", 1)[0].strip():
        return False
    waits = surplus > 0 and before == Unpaired(surplus, surplus, 0, 0)
    return not waits or now.brackets < surplus


def _with_end(text: str, pairs: Pairs, hole: Hole) -> Unpaired:
    """With the end of the string that the cursor is in, if nobody else ends it."""
    found = pairs.with_text(text)
    if found.told or hole.string_closed:
        return found
    lexer, at = hole.lexer.copy(), 0
    while lexer.quote and at < len(text):
        lexer.step(text[at])
        at += 1
    return pairs.with_text(text + lexer.quote)
