"""From the text around the cursor to the prompt a model sees. The one place that builds it.

Training and inference share this code, so that the model meets at the cursor what it learned.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from completion.cut import Count, Cut, cut
from completion.hole import Kind
from completion.templates import Snippet, Template
from tandem import secrets

# Of the prompt's tokens, for a model that was trained to read what follows the cursor.
SUFFIX_SHARE = 0.25
# Tokens for the text around the cursor, however much the path and the snippets take.
LEAST_TEXT = 32

# What may still become another token as the user types on: the white space before the cursor,
# a half-typed name, or a run of operators; each with the white space before it, which most
# vocabularies join to the next word.
_UNFINISHED = re.compile(r"\s*(?:\w+|[^\w\s]+)?\Z")
_BLANKS = re.compile(r"\s*\Z")
# Nobody types a name this long; a longer run is data, and healing it token by token is slow.
_LONGEST_HEAL = 200


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    `heal` is text taken off its end that the answer must begin with: the server spells it out
    where it can (`heal` capability), else `Lead` finds it in the answer.
    """

    text: str
    heal: str
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Fitted:
    """A prompt within its budget, and the text it was made of, as that stands in the file."""

    prompt: Prompt
    cut: Cut
    redacted: bool


def fit(
    text: str,
    offset: int,
    language: str,
    template: Template,
    budget: int,
    count: Count,
    can_heal: bool,
    kind: Kind = "statement",
    path: str = "",
    snippets: Sequence[Snippet] = (),
    for_snippets: int = 0,
) -> Fitted | None:
    """The prompt of `budget` tokens for the cursor at `offset`; None inside a secret.

    `count` gives a text's length in tokens. What the path and the snippets take, the text
    around the cursor does without, but for `for_snippets` tokens that the prompt may have more.
    """
    named = count(template.render_path(path, bool(snippets)))
    shown = count("".join(map(template.render_snippet, snippets)))
    room = max(LEAST_TEXT, budget - named - max(0, shown - for_snippets))
    share = SUFFIX_SHARE if template.uses_suffix else 0.0
    around = cut(text, offset, language, room, count, share)
    clean = redact(around.prefix, around.suffix)
    if clean is None:
        return None
    built = build(*clean, template, can_heal, kind, path, snippets)
    return Fitted(built, around, clean != (around.prefix, around.suffix))


def build(
    prefix: str,
    suffix: str,
    template: Template,
    can_heal: bool,
    kind: Kind = "statement",
    path: str = "",
    snippets: Sequence[Snippet] = (),
) -> Prompt:
    """Render the prompt for a cursor between `prefix` and `suffix` that waits for `kind`.

    `path` is the file's, relative to the repository.
    """
    head, tail = split_unfinished(prefix) if can_heal else split_blanks(prefix)
    text = template.render(head, suffix, kind, path, snippets)
    return Prompt(text, tail, template.stop)


def split_unfinished(prefix: str) -> tuple[str, str]:
    """The prefix up to its last finished token, and the rest."""
    window = prefix[-_LONGEST_HEAL:]
    match = _UNFINISHED.search(window)
    assert match
    return _split(prefix, len(window) - match.start())


def split_blanks(prefix: str) -> tuple[str, str]:
    """The prefix without trailing white space, and that white space."""
    match = _BLANKS.search(prefix[-_LONGEST_HEAL:])
    assert match
    return _split(prefix, len(match[0]))


def _split(prefix: str, length: int) -> tuple[str, str]:
    # With nothing before the tail there would be no prompt left.
    if length >= len(prefix) or length == _LONGEST_HEAL:
        length = 0
    return prefix[: len(prefix) - length], prefix[len(prefix) - length :]


def redact(prefix: str, suffix: str) -> tuple[str, str] | None:
    """Both sides without secrets; None if the cursor stands inside one."""
    cursor = len(prefix)
    found = secrets.find(prefix + suffix)
    if any(secret.start < cursor < secret.end for secret in found):
        return None
    before = [secret for secret in found if secret.end <= cursor]
    after = found[len(before) :]
    return secrets.without(prefix, before), secrets.without(suffix, after, start=cursor)


class Lead:
    """Finds the white space a prompt was cut short of at the start of a streamed answer.

    The fallback for servers that cannot heal tokens: there the answer begins with the white
    space again, or with more of it.
    """

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._seen = ""
        self.failed = False

    def feed(self, piece: str) -> str:
        """The part of the answer that goes after the cursor."""
        if not self._expected or self.failed:
            return "" if self.failed else piece
        self._seen += piece
        blanks = len(self._seen) - len(self._seen.lstrip())
        if blanks == len(self._seen):
            return ""
        expected, self._expected = self._expected, ""
        if self._seen.startswith(expected):
            return self._seen[len(expected) :]
        # A server may drop the blanks it was not shown; a line break it may not add or miss.
        if "\n" in expected or "\n" in self._seen[:blanks]:
            self.failed = True
            return ""
        return self._seen[blanks:]
