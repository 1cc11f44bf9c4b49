"""What must never be shown, checked apart from the rules that are to prevent it.

Of a suggestion that is not what the file holds there (what it holds is right, whatever it looks
like) the text before, the text after and the suggestion in between are looked at as a person would:
does its end stand below or right of it already, does it leave more brackets open or closed too
often than without it, is a token of the model's in it, does it take away what it does not bring
again?
"""

import re
from collections import Counter

from completion.languages import language_row
from completion.lexer import Lexer

REPEATS, BRACKETS, TOKEN, DELETES = "repeats the suffix", "brackets", "special token", "deletes"
_SPECIAL = re.compile(
    r"<\|[\w▁]+\|>|</?s>|<(?:fim|repo|file|gh|jupyter|issue)_\w+>|<(?:PRE|SUF|MID|EOT|unk|pad)>"
    r"|<｜[\w▁]+｜>"
)
SHORTEST = 3  # characters that stand twice beside each other: fewer are chance
_ALPHANUMERIC = re.compile(r"\w")


def mistakes(before: str, text: str, replaced: str, after: str, language: str) -> list[str]:
    """The names of what is wrong with `text` where `replaced` stood between `before` and `after`."""
    found = []
    if not _holds(text, replaced):
        found.append(DELETES)
    if _repeats(before, text, after):
        found.append(REPEATS)
    if not _open(before + text + after, language) <= _open(before + replaced + after, language):
        found.append(BRACKETS)
    if any(token not in before + after for token in _SPECIAL.findall(text)):
        found.append(TOKEN)
    return found


def _repeats(before: str, text: str, after: str) -> bool:
    """Its end is what stands right of it, or its last lines are the next ones below."""
    rest, _, below = after.partition("\n")
    if _runs_into(text.rstrip(), rest.strip()):
        return True
    left = before[before.rfind("\n") + 1 :]
    lines = (left + text + rest).split("\n")
    lines = _solid(lines[1:] if left.strip() else lines)
    following = _solid(below.split("\n"))[: len(lines)]
    return any(
        lines[-size:] == following[:size] and _ALPHANUMERIC.search("".join(following[:size]))
        for size in range(1, len(following) + 1)
    )


def _runs_into(text: str, rest: str) -> bool:
    """Whether the end of `text` is the beginning of `rest`, by whole words."""
    for size in range(min(len(text), len(rest)), SHORTEST - 1, -1):
        shared = rest[:size]
        whole = not re.match(r"\w\w", rest[size - 1 : size + 1])
        if text.endswith(shared) and whole and _ALPHANUMERIC.search(shared):
            return not re.search(r"\w\w\Z", text[: len(text) - size] + shared[0])
    return False


def _solid(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines if line.strip()]


def _open(text: str, language: str) -> Counter[str]:
    """Brackets that nothing closes and closers that close nothing."""
    lexer = Lexer(language_row(language))
    for char in text:  # `feed` would forgive a bracket that is open where a statement starts
        lexer.step(char)
    return Counter(lexer.stack) + Counter(lexer.extra)


def _holds(text: str, part: str) -> bool:
    """Whether all characters of `part` come again in this order."""
    letters = iter(text)
    return all(letter in letters for letter in part)
