"""A comment in the answer must not swallow the code right of the cursor."""

import re
from functools import lru_cache

from completion.hole import Hole
from completion.languages import Language
from completion.overlap import remainder
from completion.tokens import read


def cut_open_comment(text: str, prefix: str, suffix: str, hole: Hole) -> str:
    """The text before a comment that would go on over the rest of the cursor's line."""
    if not remainder(suffix) or hole.inside != "code":
        return text
    row = hole.lexer.language
    line = prefix[prefix.rfind("\n") + 1 :]
    if _comments(line, row):
        return text
    whole = line + text
    if not _comments(whole, row):
        return text
    for mark in _marks(row).finditer(whole, len(line)):
        if _comments(whole[: mark.end()], row):
            return whole[len(line) : mark.start()]
    return ""


def _comments(text: str, row: Language) -> bool:
    """Whether a comment is open at the end of this text, which begins in code."""
    return read(text, 0, len(text), 0, row.name).inside == "comment"


@lru_cache(maxsize=32)
def _marks(row: Language) -> re.Pattern[str]:
    block = [re.escape(row.block_remark[0])] if row.block_remark else []
    return re.compile("|".join([*row.remarks, *block]))
