"""What is wrong with a text in its hole, judged without any code of the rules.

Brackets, strings and comments are read by patterns of our own here, one a language, over the
whole file; whether it parses, by tree-sitter, from scratch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from benchmarks.parts.fuzz_holes import Spot, special_tokens
from completion import syntax

REPEATS, UNBALANCES = "repeats the suffix", "unbalances brackets"
LEAKS, DELETES = "leaks a special token", "deletes text"
ERRORS = (REPEATS, UNBALANCES, LEAKS, DELETES)

_PAIRS = {")": "(", "]": "[", "}": "{"}
_HIDING = ("comment", "string", "template_string", "regex")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_GENERIC = re.compile(r"<\|\w[^|\n]{0,40}\|>")
_SHORT = r'"(?:[^"\\\n]|\\[\s\S])*(?P<q1>"?)|' + r"'(?:[^'\\\n]|\\[\s\S])*(?P<q2>'?)"
_C_COMMENT = r"//[^\n]*|/\*[\s\S]*?(?:\*/|\Z)"
_CHAR = r"'(?:[^'\\\n]|\\[^\n]{1,9})'"
_FORMS = {
    "python": (
        r"#[^\n]*",
        r'"""(?:[^\\]|\\[\s\S])*?(?:(?P<q3>""")|\Z)|' + r"'''(?:[^\\]|\\[\s\S])*?(?:(?P<q4>''')|\Z)|" + _SHORT,
    ),
    "go": (_C_COMMENT, r"`[^`]*(?P<q3>`?)|" + _CHAR + r'|"(?:[^"\\\n]|\\.)*(?P<q1>"?)'),
    "rust": (
        _C_COMMENT,
        r'b?r(?P<hashes>#*)"[\s\S]*?(?:(?P<q3>"(?P=hashes))|\Z)|"(?:[^"\\]|\\[\s\S])*(?P<q1>"?)|' + _CHAR,
    ),
    "javascript": (
        _C_COMMENT,
        r"`(?:[^`\\]|\\[\s\S])*(?P<q3>`?)|"
        r"(?:(?<=[=(,:!&|?\[{;])\s*|(?m:^)[ \t]*)/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/|" + _SHORT,
    ),
    "c": (_C_COMMENT, _SHORT),
}  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """`unmatched`: brackets without a partner and strings without an end. `hidden`: where
    comments and strings lie, as (start, end)."""

    unmatched: int
    hidden: tuple[tuple[int, int], ...]

    def hides(self, at: int) -> bool:
        return any(start < at < end for start, end in self.hidden)


@lru_cache(maxsize=4)
def scan(text: str, language: str) -> Scan:
    stack: list[str] = []
    unmatched, hidden = 0, []
    for match in _pattern(language).finditer(text):
        found = match[0]
        if match.lastgroup == "comment":
            closed = found.startswith("/*") and found.endswith("*/") and len(found) > 3
            unmatched += found.startswith("/*") and not closed
            hidden.append((match.start(), match.end() + (not closed)))  # also at its end
        elif match["string"] is not None:
            hidden.append((match.start(), match.end()))
            ends = [match[name] for name in ("q1", "q2", "q3", "q4") if name in match.re.groupindex]
            unmatched += any(end == "" for end in ends)
        elif found in _PAIRS:
            if _PAIRS[found] not in stack:
                unmatched += 1
                continue
            while stack.pop() != _PAIRS[found]:
                unmatched += 1
        else:
            stack.append(found)
    return Scan(unmatched + len(stack), tuple(hidden))


@lru_cache(maxsize=16)
def _pattern(language: str) -> re.Pattern[str]:
    name = {"cpp": "c"}.get(language, language)
    comment, string = _FORMS.get(name, _FORMS["javascript"])
    return re.compile(rf"(?P<comment>{comment})|(?P<string>{string})|[()\[\]{{}}]")


def errors(spot: Spot, shown: str) -> list[str]:
    """Which of the four errors this text makes. What the true text does as well is none, nor what
    its first lines do."""
    found = []
    if _repeats(spot, shown):
        found.append(REPEATS)
    if _leaks(spot, shown):
        found.append(LEAKS)
    true = scan(spot.text, spot.language)
    begins = f"{spot.middle}\n".startswith(f"{shown}\n")
    if not true.unmatched and not begins:  # these patterns understand the file
        document = spot.prefix + shown + spot.suffix
        now = scan(document, spot.language)
        before = scan(spot.prefix + spot.suffix, spot.language)
        # A bracket or quote in the text between JSX tags needs no partner.
        is_text = spot.language.endswith("react") and parses(document, spot.language)
        if now.unmatched > before.unmatched and not is_text:
            found.append(UNBALANCES)
        rest = spot.suffix.split("\n", 1)[0]
        blank = len(rest) - len(rest.lstrip())
        was, is_now = spot.end + blank, len(spot.prefix) + len(shown) + blank
        hidden = true.hides(was) or before.hides(spot.start + blank)
        hides = now.hides(is_now) and not (is_text and not _in_string(document, is_now, spot))
        if rest.strip() and hides and not hidden:
            found.append(DELETES)
    return found


def _in_string(document: str, at: int, spot: Spot) -> bool:
    """Whether the parser has a string or a comment here."""
    root = syntax.parse(document, spot.language)
    assert root is not None, f"no grammar for {spot.language}"
    place = len(document[:at].encode())
    node = root.descendant_for_byte_range(place, place + 1)
    while node is not None and node.type not in _HIDING:
        node = node.parent
    return node is not None


@lru_cache(maxsize=8)
def parses(text: str, language: str) -> bool:
    root = syntax.parse(text, language)
    assert root is not None, f"no grammar for {language}"
    return not root.has_error


def _leaks(spot: Spot, shown: str) -> bool:
    around = spot.text
    tokens = [token for token in special_tokens() if token in shown and token not in around]
    tokens += [token for token in _GENERIC.findall(shown) if token not in around]
    # An index by a constant, a template's argument: names[PREFIX], vector<s>.
    return any(
        not (token.startswith("[") or token == "<s>")
        or not re.search(rf"\w{re.escape(token)}", spot.prefix[-1:] + shown)
        for token in tokens
    )


def _repeats(spot: Spot, shown: str) -> bool:
    left = spot.prefix[spot.prefix.rfind("\n") + 1 :]
    rest = spot.suffix.split("\n", 1)[0]
    if _seam(shown, rest) > _seam(spot.middle, rest):
        return True
    lines = _whole_lines(left, shown)
    below = [line.rstrip() for line in spot.suffix.split("\n")[1:] if line.strip()]
    return _overlap(lines, below) > _overlap(_whole_lines(left, spot.middle), below)


def _seam(text: str, rest: str) -> int:
    """How many tokens at the text's end stand at the rest's start again, a real word among them."""
    ours, theirs = _TOKEN.findall(text), _TOKEN.findall(rest)
    for size in range(min(len(ours), len(theirs)), 0, -1):
        if ours[-size:] == theirs[:size] and any(
            len(t) > 2 and t[0].isalpha() for t in ours[-size:]
        ):
            return size
    return 0


def _whole_lines(left: str, text: str) -> list[str]:
    lines = text.split("\n")
    lines = [left + lines[0], *lines[1:]] if not left.strip() else lines[1:]
    return [line.rstrip() for line in lines if line.strip()]


def _overlap(lines: Sequence[str], below: Sequence[str]) -> int:
    """How many lines at the end stand below again: two, or one that says something."""
    for size in range(min(len(lines), len(below)), 0, -1):
        if list(lines[-size:]) == list(below[:size]):
            letters = sum(ch.isalnum() for line in lines[-size:] for ch in line)
            if letters >= 14 or (size > 1 and letters):
                return size
    return 0
