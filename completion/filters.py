"""What may be shown of an answer: repairs and rejections after generation.

Each rule of `rules/` takes the text and gives what is left of it; `finish` runs them until none
changes anything, and names those that acted and the one that left nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from completion.hole import Hole
from completion.overlap import trim_trailing_space
from completion.rules.brackets import (
    balance_brackets,
    cut_what_unbalances,
    drop_partial_line,
    unclosed,
)
from completion.rules.indentation import fit_indentation
from completion.rules.leaks import cut_special_tokens, drop_secrets
from completion.rules.pairs import Pairs
from completion.rules.parses import Parses, cut_to_what_parses
from completion.rules.remarks import cut_open_comment
from completion.rules.repeats import cut_repeated_lines, cut_token_loops, drop_text_above
from completion.rules.suffix import trim_suffix_overlap
from completion.stop import StopRule

__all__ = ["Filtered", "Reason", "StopRule", "blank", "finish", "may_end"]

Reason = Literal[
    "",
    "empty answer",
    "special token",
    "cut off",
    "repeats itself",
    "already above",
    "wrong indentation",
    "comments out the suffix",
    "repeats the suffix",
    "unbalanced brackets",
    "does not parse",
    "holds a secret",
]
# Each round but the last made the text shorter; more than three are rare.
ROUNDS = 8
Rule = tuple[Reason, Callable[[str], str]]


@dataclass(frozen=True)
class Filtered:
    """What is left of an answer. `reason` says why there is nothing, else it is "". `rules` are
    the reasons of those that changed the text, in order, each once."""

    text: str
    reason: Reason
    rules: tuple[Reason, ...] = ()


def finish(
    text: str,
    prefix: str,
    suffix: str,
    hole: Hole,
    complete: bool,
    special_tokens: Iterable[str] = (),
) -> Filtered:
    """What to show of `text`, an answer for the hole between `prefix` and `suffix`, which are
    best the document's whole.

    `complete`: the model or the stop rule ended it; false when the token limit did.
    `special_tokens`: the served model's, if it has others than the templates know. Reasons:
    - "empty answer": nothing but white space, or nothing that belongs to this place
    - "special token": it begins with one
    - "cut off": the token limit came before a first line that can stand alone
    - "repeats itself": the same lines or tokens over and over, from the start
    - "already above": a copy of the lines above
    - "wrong indentation": no column of the scope fits
    - "comments out the suffix": the rest of the cursor's line would be part of a comment
    - "repeats the suffix": all of it stands right of the cursor or below it already (a stop rule
      that left nothing says so by `StopRule.repeats_suffix`)
    - "unbalanced brackets": it opened brackets or a string that nothing closes
    - "does not parse": the file had no error here without it
    - "holds a secret": what looks like a key or a password
    """
    if blank(text):
        return Filtered("", "empty answer")
    pairs = Pairs(prefix, suffix, hole.lexer.language)
    parses = Parses(prefix, suffix, hole, pairs)

    def balanced(kept: str) -> str:
        if hole.lexer.language.has_statements:
            kept = balance_brackets(kept, suffix, hole)
        # A file that parses is the best proof of balance.
        return kept if parses.prove(kept) else cut_what_unbalances(kept, pairs, hole)

    once: list[Rule] = [
        ("special token", lambda t: cut_special_tokens(t, prefix, suffix, special_tokens)),
        ("cut off", lambda t: t if complete else drop_partial_line(t, suffix, hole)),
    ]
    repeatedly: list[Rule] = [
        ("repeats itself", lambda t: cut_repeated_lines(t, prefix, suffix)),
        ("repeats itself", lambda t: cut_token_loops(t, prefix, suffix)),
        ("already above", lambda t: drop_text_above(t, prefix)),
        ("wrong indentation", lambda t: fit_indentation(t, prefix, hole)),
        ("comments out the suffix", lambda t: cut_open_comment(t, prefix, suffix, hole)),
        ("repeats the suffix", lambda t: trim_suffix_overlap(t, prefix, suffix, hole)),
        ("unbalanced brackets", balanced),
        ("does not parse", lambda t: cut_to_what_parses(t, parses)),
        ("holds a secret", lambda t: drop_secrets(t, prefix, suffix)),
    ]
    acted: list[Reason] = []
    # What one rule leaves may be another's: before a surplus bracket may stand the suffix's start.
    for rules in (once, *[repeatedly] * ROUNDS):
        before = text
        for reason, rule in rules:
            kept = rule(text)
            if kept != text and reason not in acted:
                acted.append(reason)
            if blank(kept):
                return Filtered("", reason, tuple(acted))
            text = kept
        text = trim_trailing_space(text, suffix)
        if rules is repeatedly and text == before:
            break
    return Filtered(text, "", tuple(acted))


def may_end(prefix: str, suffix: str, hole: Hole) -> Callable[[str], bool]:
    """Tells whether a start of an answer, which `finish` left, may be shown before the rest of it:
    whether it leaves nothing open, and does not repeat what follows, as a longer text may not.

    That it parses alone is not asked: it is the start of what does, and would be typed in any
    case (docs/quiet.md tells what asking for it costs)."""

    def may(start: str) -> bool:
        if unclosed(start, suffix, hole):
            return False
        return trim_suffix_overlap(start, prefix, suffix, hole) == start

    return may


def blank(text: str) -> bool:
    """Nothing but white space."""
    return not text.strip()
