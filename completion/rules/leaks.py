"""What a model must not say: its own special tokens, and secrets."""

import re
from collections.abc import Iterable
from functools import lru_cache

from completion.templates import templates
from tandem import secrets

# Any family's form of them, whether we know the word or not.
_GENERIC = r"<\|\w[^|\n]{0,40}\|>|<｜[^\s<>｜]{1,40}｜>"
# The start of one that the token limit cut: no code begins so.
_MARKED = ("<|", "<｜", "<fim_", "▁<")
_SHORTEST_START = 4
_BEFORE = 2000  # characters of the prefix that a secret may begin in


def cut_special_tokens(
    text: str, prefix: str, suffix: str, special_tokens: Iterable[str] = ()
) -> str:
    """The text before the first special token of any template's family, or of `special_tokens`.

    A document that holds the same token is about such tokens, so there it may be written.
    """
    words, pattern = _tokens(tuple(special_tokens))
    for match in pattern.finditer(text):
        word, before = match[0], (prefix + text[: match.start()])[-1:]
        # `names[PREFIX]` and `vector<s>` are code.
        in_code = word[0] == "[" or word == "<s>"
        continues_name = in_code and (before.isalnum() or before == "_")
        if not continues_name and word not in prefix and word not in suffix:
            return text[: match.start()]
    for word in words:
        for size in range(min(len(word) - 1, len(text)), _SHORTEST_START - 1, -1):
            if text.endswith(word[:size]) and not suffix.startswith(word[size]):
                return text[:-size]
    return text


@lru_cache(maxsize=8)
def _tokens(more: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """Those that a cut may leave the start of, and the pattern of all."""
    rows = templates().values()
    words = {word for row in rows for word in (*row.sentinels, *row.specials)} | set(more)
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    pattern = re.compile("|".join([*map(re.escape, longest_first), _GENERIC]))
    return tuple(word for word in longest_first if word.startswith(_MARKED)), pattern


def holds_secret(text: str, prefix: str, suffix: str) -> bool:
    """Whether a secret lies in the text, read together with what stands around it."""
    before, after = prefix[-_BEFORE:], suffix.split("\n", 1)[0]
    start, end = len(before), len(before) + len(text)
    found = secrets.find(before + text + after)
    return any(secret.start < end and secret.end > start for secret in found)


def drop_secrets(text: str, prefix: str, suffix: str) -> str:
    return "" if holds_secret(text, prefix, suffix) else text
