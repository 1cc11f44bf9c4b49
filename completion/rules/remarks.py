"""A comment in the answer must not swallow the code that follows."""

import re
from functools import lru_cache

from completion.hole import Hole
from completion.languages import Language
from completion.overlap import remainder
from completion.tokens import read


def cut_open_comment(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    """The text before a comment that would go on over the rest of the cursor's line, or below."""
    row = hole.lexer.language
    line = prefix[prefix.rfind("\n") + 1 :]
    whole = line + text
    if hole.inside != "code" or _comments(line, row) or not _comments(whole, row):
        return text
    if not remainder(suffix) and (not _comments(whole + "\n", row) or _ends_comment(suffix, row)):
        return text
    for mark in _marks(row).finditer(whole, len(line)):
        if _comments(whole[: mark.end()], row):
            return whole[len(line) : mark.start()]
    return ""


def _ends_comment(suffix: str, row: Language) -> bool:
    """Whether the suffix ends a comment of many lines that it did not begin."""
    assert row.block_remark, "only such a comment goes on over a line's end"
    opening, closing = (suffix.find(mark) for mark in row.block_remark)
    return closing >= 0 and (opening < 0 or closing < opening)


def _comments(text: str, row: Language) -> bool:
    """Whether a comment is open at the end of this text, which begins in code."""
    return read(text, 0, len(text), 0, row.name).inside == "comment"


@lru_cache(maxsize=32)
def _marks(row: Language) -> re.Pattern[str]:
    block = [re.escape(row.block_remark[0])] if row.block_remark else []
    return re.compile("|".join([*row.remarks, *block]))
