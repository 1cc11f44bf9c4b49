"""Brackets and strings: what the answer opens it closes, and it closes no more than that."""

import re
from functools import lru_cache

from completion.hole import Hole, closers_in, closes_string
from completion.languages import Language, language_row, words
from completion.lexer import CLOSERS, OPENERS

# Where an apostrophe begins a string, not a single character or a lifetime.
_LONG_SINGLE = words(
    "javascript javascriptreact typescript typescriptreact python ruby php shellscript lua plaintext"
)


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
        lexer, before = self._lexer, self._hole.lexer.stack
        own_string = bool(lexer.quote) and not self._first_string
        closers = closers_in(self._suffix, lexer, self._hole.indent)
        opened = _left_open(lexer.stack, closers) - _left_open(before, closers)
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


def _left_open(stack: list[str], closers: str) -> int:
    """How many of these brackets the closers leave open, the innermost being closed first."""
    closed = 0
    while closed < min(len(stack), len(closers)):
        if OPENERS[stack[-1 - closed]] != closers[closed]:
            break
        closed += 1
    return len(stack) - closed


def keeps_balance(text: str, prefix: str, suffix: str, language: str) -> bool:
    """Whether the file is as balanced with the text as without, if that can be said at all: where
    a string of it has no end, what is code and what is not is anybody's guess."""
    strings = _unpaired(prefix + suffix, language_row(language))[1]
    return not strings and cut_what_unbalances(text, prefix, suffix, language) == text


def cut_what_unbalances(text: str, prefix: str, suffix: str, language: str) -> str:
    """The text without the last lines that leave the whole file with more brackets that have no
    partner, strings and comments that have no end, than it has without the answer.

    For languages of which our lexer knows little: it reads their comments and strings.
    """
    row = language_row(language)
    brackets, strings = _unpaired(prefix + suffix, row)
    while text:
        more_brackets, more_strings = _unpaired(prefix + text + suffix, row)
        if more_brackets <= brackets and more_strings <= strings:
            break
        text = text[: max(0, text.rfind("\n"))].rstrip()
    return text


def drop_if_closers_stay_alone(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    """Nothing, if the suffix closes brackets that nobody opened, and the text opens none of them.

    Someone who edits the head of `if (a) {` above its body wants a head with its bracket.
    """
    surplus, row = len(hole.closers) - hole.floor, hole.lexer.language
    if surplus <= 0 or _unpaired(prefix + suffix, row) != (surplus, 0):
        return text
    return text if _unpaired(prefix + text + suffix, row)[0] < surplus else ""


def _unpaired(text: str, row: Language) -> tuple[int, int]:
    """Brackets without a partner; strings and comments without an end."""
    stack: list[str] = []
    brackets = strings = 0
    for match in _pairing(row).finditer(text):
        found = match[0]
        if match.lastgroup:
            strings += match.lastgroup == "open"
        elif found in OPENERS:
            stack.append(found)
        elif CLOSERS[found] not in stack:
            brackets += 1
        else:
            while stack.pop() != CLOSERS[found]:
                brackets += 1
    return brackets + len(stack), strings


@lru_cache(maxsize=16)
def _pairing(row: Language) -> re.Pattern[str]:
    """Brackets in code, whole strings and comments, and what opens one that has no end."""
    whole = [rf"(?:{mark})[^\n]*" for mark in row.remarks]
    opened: list[str] = []
    if row.block_remark:
        opening, closing = map(re.escape, row.block_remark)
        whole.append(rf"{opening}[\s\S]*?{closing}")
        opened.append(opening)
    if row.name == "rust":
        whole.append(r'r(?P<hashes>#*)"[\s\S]*?"(?P=hashes)')
    if row.name not in _LONG_SINGLE:
        whole.append(r"'(?:\\[^\n]{1,9}?|[^\\'\n])'")
    for quote in row.strings:
        if quote != "'" or row.name in _LONG_SINGLE:
            whole.append(_string(quote, row))
        opened.append(re.escape(quote))
    return re.compile(rf"(?P<whole>{'|'.join(whole)})|(?P<open>{'|'.join(opened)})|[()\[\]{{}}]")


def _string(quote: str, row: Language) -> str:
    if row.name == "go" and quote == "`":
        return "`[^`]*`"
    many_lines = len(quote) > 1 or quote == "`" or row.name == "rust"
    plain = rf"[^\\{quote[0]}]" if many_lines else rf"[^\\{quote[0]}\n]"
    inner = rf"(?!{quote}){quote[0]}|" if len(quote) > 1 else ""
    return rf"{quote}(?:{inner}{plain}|\\[\s\S])*{quote}"
