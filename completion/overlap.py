"""Where an answer types again what already stands right of the cursor or below it."""

import re

from completion.hole import Hole
from completion.lexer import CLOSERS

# Letters and digits in a line that is not there twice by chance: `return None` has 10.
DISTINCT = 14
_WORD = re.compile(r"\w{3,}")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_SEPARATORS = ",;:"


def remainder(suffix: str) -> str:
    """The text right of the cursor on its line, without the space around it."""
    return suffix.split("\n", 1)[0].strip()


def next_lines(suffix: str, limit: int) -> list[str]:
    """The first lines below the cursor that have text on them, without trailing space."""
    found: list[str] = []
    start = suffix.find("\n") + 1
    while start and len(found) < limit:
        end = suffix.find("\n", start)
        line = suffix[start : end if end >= 0 else len(suffix)].rstrip()
        if line:
            found.append(line)
        start = end + 1
    return found


def is_distinct(line: str) -> bool:
    """Whether one repeated line is proof enough; `else:` or `return None` is not."""
    return sum(ch.isalnum() for ch in line) >= DISTINCT


def trim_trailing_space(text: str, suffix: str) -> str:
    """Space at the end goes, unless text follows on the line, which it then keeps apart."""
    kept = text.rstrip()
    space = text[len(kept) :]
    glued = suffix[:1] and not suffix[0].isspace()
    return text if kept and glued and "\n" not in space else kept


def trim_remainder(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    """Without the end of `text` that equals the start of the suffix's first line."""
    rest = remainder(suffix)
    kept = text.rstrip()
    for size in range(min(len(rest), len(kept)), 0, -1):
        again = rest[:size]
        if again[-1].isspace() or not kept.endswith(again):
            continue
        trimmed = kept[:-size]
        if _is_repeat(trimmed, again, rest, prefix, hole):
            return trimmed
    return _trim_respaced(kept, rest) or text


def _trim_respaced(kept: str, rest: str) -> str:
    """The same where the two are spaced differently: `res){` before `res) {`; "" if they are not."""
    ours, theirs = list(_TOKEN.finditer(kept)), list(_TOKEN.finditer(rest))
    for size in range(min(len(ours), len(theirs)), 1, -1):
        again = [match[0] for match in ours[-size:]]
        if again == [match[0] for match in theirs[:size]] and _WORD.search(" ".join(again)):
            return kept[: ours[-size].start()]
    return ""


def _is_repeat(trimmed: str, again: str, rest: str, prefix: str, hole: Hole) -> bool:
    """Whether `trimmed + again`, then `rest`, has `again` twice where once was meant.

    A closer is a repeat only if the answer closes too much with it and not without.
    """
    before = (prefix + trimmed)[-1:]
    # An answer that is nothing else may begin inside a word: the one that the cursor stands in.
    starts_word = not trimmed or not (_is_name(before) and _is_name(again[0]))
    ends_word = again == rest or not (_is_name(again[-1]) and _is_name(rest[len(again)]))
    if starts_word and ends_word and _WORD.search(again):
        return True
    if again in _SEPARATORS:
        lexer = hole.lexer.copy()
        lexer.feed(trimmed)
        # `a[1:|:2]` is the one place where two separators may meet.
        return lexer.in_code and not (again == ":" and lexer.stack[-1:] == ["["])
    whole, without = trimmed + again, trimmed
    if _breaks_string(whole, rest, hole):
        return not _breaks_string(without, rest, hole)
    return _closes_too_much(whole, hole) and not _closes_too_much(without, hole)


def _is_name(ch: str) -> bool:
    return ch.isalnum() or ch == "_"


def _closes_too_much(text: str, hole: Hole) -> bool:
    lexer, floor = hole.lexer.copy(), hole.floor
    for ch in text:
        if lexer.in_code and ch in CLOSERS and len(lexer.stack) <= floor:
            return True
        lexer.step(ch)
    return False


def _breaks_string(text: str, rest: str, hole: Hole) -> bool:
    lexer = hole.lexer.copy()
    lexer.feed(text + rest + "\n")
    return lexer.broken
